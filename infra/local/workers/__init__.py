"""Processes that run functions, one call at a time each, as Lambda's execution environments do."""
