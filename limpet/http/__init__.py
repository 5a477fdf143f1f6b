"""HTTP as a client of Limpet speaks it."""
