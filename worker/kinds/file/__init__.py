"""Files of an item: parsed, applied and stored."""
