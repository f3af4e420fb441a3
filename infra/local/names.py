"""What every room of the local stack goes by: its host, and the names that are an account's on AWS."""

import re

HOST = "127.0.0.1"
REGION = "us-east-1"
STAGE = "local"
ACCOUNT = "123456789012"
LOCAL_PREFIX = "simpletuner-local-"
_WORD = re.compile(r"[A-Z][a-z0-9]*")


def words_of(logical_id: str) -> list[str]:
    """`JobTextsTable` to `["job", "texts", "table"]`."""
    return [word.lower() for word in _WORD.findall(logical_id)]


def local_name(logical_id: str, prefix: str = LOCAL_PREFIX) -> str:
    """The static name of a table or queue: `JobTextsTable` to `simpletuner-local-job-texts`."""
    return prefix + "-".join(words_of(logical_id)[:-1])
