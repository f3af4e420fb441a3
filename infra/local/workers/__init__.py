"""Runs the functions as Lambda does, for serverless-offline."""
