"""What is counted, by the name that metrics and alarms know."""

from __future__ import annotations

from enum import StrEnum


class Metric(StrEnum):
    """Each is a count; the alarms in infra/resources/alarms.yml name some of them."""

    SCHEDULER_RAN = "SchedulerRan"
    TICK_RAN = "TickRan"
    JOBS_POLLED = "JobsPolled"
    STATUS_CHANGED = "StatusChanged"
    TERMINAL_CONFLICT = "TerminalConflict"
    UNKNOWN_STATUS = "UnknownStatus"
    PROVIDER_ERROR = "ProviderError"
    WEBHOOK_ACCEPTED = "WebhookAccepted"
    WEBHOOK_DUPLICATE = "WebhookDuplicate"
    WEBHOOK_REJECTED = "WebhookRejected"
    WEBHOOK_KEY_MISSING = "WebhookKeyMissing"
    TRANSACTION_RETRY = "TxRetry"
    OBSERVATIONS_QUEUED = "ObservationsQueued"
    REQUESTS_QUEUED = "RequestsQueued"
    FINAL_LOG_GIVEN_UP = "FinalLogGivenUp"
    PUSH_SENT = "PushSent"
    PUSH_GONE = "PushGone"
    PUSH_FAILED = "PushFailed"
    SSE_HELD_SECONDS = "SseHeldSeconds"
    UNHANDLED_ERROR = "UnhandledError"
