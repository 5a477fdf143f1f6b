"""Home: a stack's data folder, with its secrets, ports and files of variables."""
