"""The queues of the local stack: SQS's behaviour over one kept file."""
