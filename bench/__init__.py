"""`make bench`: Limpet against naive queues and against the limits of its servers, as ratios in one run."""
