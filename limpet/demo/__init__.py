"""``limpet demo``: the whole system once through, on real servers."""
