"""Submit a batch, publish its chunks, and wait for its end."""
