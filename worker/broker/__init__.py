"""The broker: messages with ids go out, notifications of finished batches come back."""
