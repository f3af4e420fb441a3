"""What every room of the local stack goes by: its host, and the names that are an account's on AWS."""

HOST = "127.0.0.1"
REGION = "us-east-1"
STAGE = "local"
ACCOUNT = "123456789012"
"""The one that moto plays."""
