"""What commands show on a terminal, and how they end."""
