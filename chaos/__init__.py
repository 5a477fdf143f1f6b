"""The fault harness: clients send, faults hit the stack, and the result is compared with serial models."""
