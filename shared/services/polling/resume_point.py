"""Where a round that ran out of time goes on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from shared.domain.job import Job, to_iso

KEPT_IDS = 1500
"""How many ids a resume point holds; with the rest of it some 50 kB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListCursor:
    """At `page` of `kind`'s list, in which the jobs created after `horizon` have been dealt with.

    `singles` are the external ids that were passed without being found, left to single requests.
    """

    kind: str
    page: str | None = None
    horizon: AwareDatetime | None = None
    singles: tuple[str, ...] = ()
    at: Literal["lists"] = "lists"

    def has_passed(self, job: Job, kinds: Sequence[str]) -> bool:
        """Whether the lists, in the order of `kinds`, are read beyond the moment at which this job was created."""
        if job.kind == self.kind:
            return self.horizon is not None and job.created_at > self.horizon
        return job.kind in kinds[: kinds.index(self.kind)]


@dataclass(frozen=True, slots=True, kw_only=True)
class SinglesCursor:
    """With the external ids `singles`, then with every job whose order comes after `rest_after`.

    `have_lists_failed`: a list could not be read, so it is tried again first: with it, all are seen at once.
    """

    singles: tuple[str, ...]
    rest_after: str | None = None
    have_lists_failed: bool = False
    at: Literal["singles"] = "singles"

    def has_passed(self, job: Job) -> bool:
        return self.rest_after is None or order_of(job) <= self.rest_after


ResumePoint = Annotated[ListCursor | SinglesCursor, Field(discriminator="at")]


def left_to_do(jobs: Iterable[Job], point: ResumePoint | None, kinds: Sequence[str]) -> list[Job]:
    """The jobs that an earlier part of the round has left; all of them at its start."""
    if point is None:
        return list(jobs)
    singles = frozenset(point.singles)
    if isinstance(point, ListCursor):
        return [job for job in jobs if job.external_id in singles or not point.has_passed(job, kinds)]
    return [job for job in jobs if job.external_id in singles or not point.has_passed(job)]


def order_of(job: Job) -> str:
    """Jobs are asked for in this order: the oldest first."""
    return f"{to_iso(job.created_at)}#{job.external_id}"


def rest_of(jobs: Sequence[Job], *, have_lists_failed: bool = False) -> SinglesCursor:
    """The single requests that are left, in their order."""
    kept = jobs[:KEPT_IDS]
    rest_after = order_of(kept[-1]) if len(jobs) > KEPT_IDS else None
    singles = tuple(str(job.external_id) for job in kept)
    return SinglesCursor(singles=singles, rest_after=rest_after, have_lists_failed=have_lists_failed)
