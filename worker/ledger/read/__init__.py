"""Read the ledger: how batches and items ended, why an item waits, and how much is open."""
