"""The ledger: batches, chunks and items, from acceptance to retention; only this package changes their states."""
