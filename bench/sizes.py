"""Sizes: how much a run measures, and how often."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """Counts of one run; ``rounds`` is how often each candidate takes its turn."""

    rounds: int = 3
    large_batches: int = 40  # of 1,000 records
    small_batches: int = 800  # of 10 records
    peer_items: int = 3000
    singles: int = 100
    accepts: int = 15
    import_rows: int = 1_000_000
    small_files: int = 4000
    large_files: int = 24
    base64_mb: int = 200
    records: int = 1_000_000
    finished_batches: int = 10_000


FULL = Sizes()
QUICK = Sizes(
    rounds=1,
    large_batches=8,
    small_batches=80,
    peer_items=300,
    singles=20,
    accepts=3,
    import_rows=20_000,
    small_files=200,
    large_files=4,
    base64_mb=40,
    records=20_000,
    finished_batches=200,
)
