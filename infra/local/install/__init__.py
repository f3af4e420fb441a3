"""Brings what the stack runs on beside Python packages: Node packages, DynamoDB Local, runtimes."""
