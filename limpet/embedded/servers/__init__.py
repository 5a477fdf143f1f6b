"""Servers: the command line, configuration and probe of each part."""
