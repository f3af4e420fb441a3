"""Starts the local stack in order, watches it and ends all of it."""
