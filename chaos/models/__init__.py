"""Models: what items mean when a serial program carries them out one after another."""
