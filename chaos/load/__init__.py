"""Load: the requests, the clients that send them, and what each answer said."""
