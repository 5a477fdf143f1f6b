"""Read the ledger: what became of batches and items, why an item waits, and how much is open."""
