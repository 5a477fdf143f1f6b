"""Who sends a request, and which databases they may use."""
