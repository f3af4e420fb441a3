"""The whole error tree. Adapters translate into it; functions/http holds the one table to HTTP statuses.

`detail` is one sentence that tells a person what to do; `code` is a short stable word for programs.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import ClassVar, Self


class CloudJobsError(Exception):
    """Base of every error this service raises on purpose."""

    code: ClassVar[str] = "internal_error"

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class InvalidInputError(CloudJobsError):
    """A parameter is out of range or of an unknown value."""

    code = "invalid_input"


class InvalidRequestError(CloudJobsError):
    """The request as a whole cannot be carried out as sent (unknown key, refused value)."""

    code = "invalid_request"


class InvalidCursorError(CloudJobsError):
    """A page cursor was forged, altered, or made for another filter."""

    code = "invalid_cursor"


class NotFoundError(CloudJobsError):
    """The addressed thing does not exist."""

    code = "not_found"


class JobNotFoundError(NotFoundError):
    """No job has this id or prefix."""

    code = "job_not_found"


class UnknownProviderError(NotFoundError):
    """No provider of this name is known here."""

    code = "unknown_provider"


class ConflictError(CloudJobsError):
    """The state of the thing forbids the act."""

    code = "conflict"


class AmbiguousJobIdError(ConflictError):
    """An id prefix matches more than one job."""

    code = "ambiguous_job_id"


class JobNotTerminalError(CloudJobsError):
    """An active job cannot be deleted (400, as SimpleTuner's CLI expects)."""

    code = "job_not_terminal"


class AuthenticationRequiredError(CloudJobsError):
    """No credentials, or none that count."""

    code = "authentication_required"


class TooManyWrongKeysError(CloudJobsError):
    """So many wrong credentials came from one network that none of it is looked at; `retry_after` in seconds (T15)."""

    code = "too_many_wrong_keys"

    def __init__(self, detail: str, *, retry_after: int) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class PermissionDeniedError(CloudJobsError):
    """The principal's role does not allow the act."""

    code = "permission_denied"


class TooManyConnectionsError(CloudJobsError):
    """The event stream's places of one address are taken (docs/contract.md: the sixth stream)."""

    code = "Connection limit reached"

    def __init__(self, detail: str, *, retry_after: int) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class ConfigurationError(CloudJobsError):
    """A setting or the enterprise yaml is wrong; `detail` names file, line, key and what was expected."""

    code = "configuration_error"


class ProviderError(CloudJobsError):
    """The provider could not be read in full."""

    code = "provider_error"

    def with_detail(self, detail: str) -> Self:
        """The same error in other words."""
        told = type(self).__new__(type(self), detail)
        told.__dict__.update(self.__dict__, detail=detail)
        return told


class ProviderNotConfiguredError(ProviderError):
    """No API token is stored for the provider."""

    code = "provider_not_configured"


class ProviderTokenRejectedError(ProviderError):
    """The provider answered 401 or 403."""

    code = "provider_token_rejected"


class ProviderRefusedError(ProviderError):
    """The provider understood and refused (402, 422 and other 4xx)."""

    code = "provider_refused"


class ProviderJobNotFoundError(ProviderError):
    """The provider does not know this external id (404); never a reason to end a job at once (I31)."""

    code = "provider_job_not_found"


class ProviderThrottledError(ProviderError):
    """The provider answered 429, or we hold back because it did; `retry_after` in seconds."""

    code = "provider_throttled"

    def __init__(self, detail: str, *, retry_after: float) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class ProviderUnavailableError(ProviderError):
    """Time-out, connection fault, 5xx, or the breaker is open."""

    code = "provider_unavailable"


class ProviderAnswerInvalidError(ProviderError):
    """The provider answered 2xx with something that is not its API (HTML, half a page, too large)."""

    code = "provider_answer_invalid"


class StoreUnavailableError(CloudJobsError):
    """The store is throttled or down; nothing was lost, the caller may try again."""

    code = "store_unavailable"


class StaleWrite(CloudJobsError):
    """A transaction's guard failed because another writer was first; nothing of it was written.

    `jobs` are the job ids whose version or claim had moved, `head` tells that the log's head had,
    `delivery_ids` are the delivery ids that already existed.
    """

    code = "stale_write"

    def __init__(
        self,
        *,
        jobs: Collection[str] = (),
        head: bool = False,
        delivery_ids: Collection[str] = (),
        detail: str | None = None,
    ) -> None:
        super().__init__(detail or "Another writer was first.")
        self.jobs = frozenset(jobs)
        self.head = head
        self.delivery_ids = frozenset(delivery_ids)


class ChangeRefusedError(CloudJobsError):
    """The store refuses a change for what is in it, so that no further try can write it.

    `job_id` None: of several changes, and it is not known which.
    """

    code = "change_refused"

    def __init__(self, job_id: str | None, detail: str) -> None:
        super().__init__(detail)
        self.job_id = job_id


class ChangeTooLargeError(ChangeRefusedError):
    """A job's change fits no transaction."""

    code = "change_too_large"


class WebhookRejected(CloudJobsError):
    """Any doubt about a webhook's signature; callers learn nothing more (T27). `reason` is for metrics only."""

    code = "webhook_rejected"

    def __init__(self, reason: str) -> None:
        super().__init__("The webhook's signature could not be verified.")
        self.reason = reason


class PayloadTooLargeError(CloudJobsError):
    """A body is over its cap."""

    code = "payload_too_large"


class UnsupportedMediaError(CloudJobsError):
    """A body arrived in an encoding that is not accepted (T5)."""

    code = "unsupported_media"


class SigningKeyUnavailableError(CloudJobsError):
    """No webhook signing secret is at hand, so nothing can be judged: 503, never 401 (I36)."""

    code = "signing_key_unavailable"


class ProbeRefusedError(CloudJobsError):
    """An address that a person wants tested is none that we contact (T6)."""

    code = "probe_refused"


class ProbeUnansweredError(CloudJobsError):
    """An address that we tested did not answer."""

    code = "probe_unanswered"


class ConnectionGone(CloudJobsError):
    """The WebSocket connection no longer exists (410)."""

    code = "connection_gone"


class SendFailed(CloudJobsError):
    """A push did not arrive in time; the connection may still live."""

    code = "send_failed"


class SendThrottled(SendFailed):
    """The gateway refused the push for its own sake (429, 5xx); that says nothing about the connection."""

    code = "send_throttled"
