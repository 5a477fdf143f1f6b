"""The fault harness: clients send, faults strike, and at the end all is held against the serial models."""
