"""Providers played on this machine, each a small product of its own; nothing of the service imports them."""
