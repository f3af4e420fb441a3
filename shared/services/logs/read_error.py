"""What the provider said of a failure, in full: the job's item holds only its beginning."""

from __future__ import annotations

import gzip

from shared.domain.job import Job
from shared.ports import JobTexts

ERROR_PART = "error"


def whole_error(texts: JobTexts, job: Job) -> str | None:
    """One read where the job's own text was cut, none where it holds all; its beginning until the rest is kept."""
    if not job.is_error_cut:
        return job.error_message
    kept = texts.get(job.job_id, ERROR_PART)
    return gzip.decompress(kept.content).decode() if kept else job.error_message


def encode_error(error: str) -> bytes:
    return gzip.compress(error.encode("utf-8", "replace"), 5)
