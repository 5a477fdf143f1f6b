"""Faults: signals and flushes that hit the stack, and probes that measure its recovery."""
