"""Home: the data folder of a stack, with its secrets, ports and files of variables."""
