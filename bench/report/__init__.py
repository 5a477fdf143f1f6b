"""Report: the table and the plots of a run."""
