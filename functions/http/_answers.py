"""The answers of the wire contract (docs/contract.md) as types; docs/openapi.json is made of them and held to them.

Times are ISO 8601 UTC, costs US dollars, durations seconds.
"""

from __future__ import annotations

from typing import NotRequired

from typing_extensions import TypedDict


class Failure(TypedDict):
    """Every error: `error` is a short code, `detail` one sentence that says what to do, `message` the same."""

    error: str
    message: str
    detail: str


class JobObject(TypedDict):
    """A job. `metadata` holds what is known beyond the fields: prediction_id, provider_status, lost, kind, model, …"""

    job_id: str
    job_type: str
    provider: str
    status: str
    config_name: str | None
    created_at: str
    started_at: str | None
    completed_at: str | None
    finished_at: str | None
    cost_usd: float | None
    hardware_type: str
    error_message: str | None
    output_url: str | None
    user_id: str | None
    metadata: dict[str, object]
    is_terminal: bool
    is_active: bool
    duration_seconds: float | None
    queued_at: NotRequired[str]


class JobPage(TypedDict):
    jobs: list[JobObject]
    total: int | None
    next_cursor: str | None


class TransitionObject(TypedDict):
    status: str
    at: str


class JobDetails(TypedDict):
    job: JobObject
    transitions: list[TransitionObject]


class JobCancelled(TypedDict):
    success: bool
    job_id: str
    status: str


class JobDeleted(TypedDict):
    success: bool
    job_id: str


class SyncAnswer(TypedDict):
    """`synced` are new jobs, `updated` all that were written, new and changed."""

    synced: int
    updated: int
    message: str


class InlineProgress(TypedDict):
    """`progress` is 0–100 with one decimal; all but the id null when the job does not run."""

    job_id: str
    stage: str | None
    last_log: str | None
    progress: float | None


class HistoryPointObject(TypedDict):
    t: float | None
    step: int
    loss: float


class ProgressBrief(TypedDict):
    stage: str | None
    last_log: str | None
    progress: float | None
    eta_seconds: float | None
    updated_at: str | None


class PageProgress(TypedDict):
    progress: dict[str, ProgressBrief]


class JobProgress(TypedDict):
    job_id: str
    stage: str | None
    last_log: str | None
    progress: float | None
    step: int | None
    total_steps: int | None
    epoch: float | None
    total_epochs: int | None
    loss: float | None
    learning_rate: float | None
    eta_seconds: float | None
    steps_per_second: float | None
    updated_at: str | None
    history: list[HistoryPointObject]


class LogAnswer(TypedDict):
    """`next` is the byte to ask for next."""

    job_id: str
    logs: str
    next: int


class DayCost(TypedDict):
    date: str
    cost: float
    jobs: int


class MetricsAnswer(TypedDict):
    total_cost: float
    job_count: int
    avg_job_duration_seconds: float | None
    jobs_by_status: dict[str, int]
    credit_balance: float | None
    estimated_jobs_remaining: int | None
    cost_by_day: list[DayCost]
    period_days: int


class CostLimitStatus(TypedDict):
    enabled: bool
    limit_amount: float
    period: str
    action: str
    current_spend: float
    percent_used: float
    is_exceeded: bool
    is_warning: bool
    message: str | None


class HardwareOption(TypedDict):
    provider: str
    id: str
    name: str
    cost_per_second: float
    cost_per_hour: float
    available: bool


class HardwareOptions(TypedDict):
    hardware: list[HardwareOption]


class CostEstimate(TypedDict):
    has_estimate: bool
    estimated_cost_usd: float | None
    avg_duration_seconds: float | None
    hardware_cost_per_hour: float
    message: str


class Balance(TypedDict):
    credit_balance: float | None
    estimated_jobs_remaining: int | None
    error: str | None


class ComponentObject(TypedDict):
    name: str
    status: str
    message: str
    latency_ms: float | None


class HealthAnswer(TypedDict):
    """`status` is healthy, degraded or unhealthy; the last with a Failure's three fields."""

    status: str
    uptime_seconds: float
    components: list[ComponentObject]
    timestamp: str
    error: NotRequired[str]
    message: NotRequired[str]
    detail: NotRequired[str]


class IncidentObject(TypedDict, total=False):
    id: str
    name: str
    status: str
    current_worst_impact: str
    last_update_at: str
    last_update_message: str
    starts_at: str
    ends_at: str
    url: str


class SystemStatus(TypedDict):
    operational: bool
    ongoing_incidents: list[IncidentObject]
    in_progress_maintenances: list[IncidentObject]
    scheduled_maintenances: list[IncidentObject]
    error: str | None
    status_page_url: str | None


class UserInfo(TypedDict):
    username: str
    name: str | None


class TokenCheck(TypedDict):
    valid: bool
    username: str | None
    user_info: UserInfo | None
    error: str | None


class ProviderConfig(TypedDict):
    """`config` holds the settings of docs/settings.md that are set, and the hardware known by default."""

    provider: str
    config: dict[str, object]


class TokenKept(TypedDict):
    """`file_path` says in words where it is kept; `error` what is still in its way."""

    success: bool
    error: str | None
    file_path: str
    username: str


class TokenForgotten(TypedDict):
    success: bool
    error: str | None
    file_path: str


class PollErrorObject(TypedDict):
    provider: str
    error: str
    message: str
    at: str


class ProviderPolling(TypedDict):
    """`interval_seconds` is that of its polls, or of its slow rounds while it is not polled (0: none)."""

    provider: str
    is_active: bool
    reason: str
    interval_seconds: float
    effective_interval_seconds: float
    last_tick_at: str | None
    last_error: PollErrorObject | None


class PollingStatus(TypedDict):
    """All providers together, and each by itself in `providers`."""

    is_active: bool
    preference: bool | None
    interval_seconds: float
    effective_interval_seconds: float
    reconcile_interval_seconds: float
    last_tick_at: str | None
    reason: str
    last_errors: list[PollErrorObject]
    providers: list[ProviderPolling]


class PollingSet(TypedDict):
    is_active: bool
    enabled: bool | None
    reason: str


class HardwareProfileObject(TypedDict):
    id: str
    label: str
    hardware_type: str
    cost_per_hour: float
    cost_per_second: float


class ProviderObject(TypedDict):
    """`token_url` is where its tokens come from, `job_url` a job's page there with `{external_id}` in it.

    `log_kept_seconds`: how long after its end a job's log can be had there, null: always.
    """

    id: str
    name: str
    configured: bool
    coming_soon: bool
    cost_per_hour: float
    hardware_profile: str
    hardware_profiles: list[HardwareProfileObject]
    has_webhooks: bool
    token_url: str
    job_url: str | None
    status_page_url: str | None
    log_kept_seconds: float | None


class ProviderList(TypedDict):
    providers: list[ProviderObject]


class QueueEntryObject(TypedDict):
    job_id: str
    user_id: str | None
    config_name: str | None
    status: str
    provider: str
    position: int | None
    queued_at: str
    estimated_cost: float
    priority_name: str


class QueueAnswer(TypedDict):
    entries: list[QueueEntryObject]


class QueueStatistics(TypedDict):
    queue_depth: int
    running: int
    by_status: dict[str, int]
    avg_wait_seconds: float | None
    max_concurrent: int | None
    user_max_concurrent: int | None
    team_max_concurrent: int | None
    enable_fair_share: bool
    local: None
    workers: None


class WebhookReceived(TypedDict):
    status: str
    job_id: str | None


class WebhookTested(TypedDict):
    success: bool
    error: str | None
    latency_ms: float | None
    status_code: int | None
    method: str


class SignedIn(TypedDict):
    user_id: str
    role: str
    can_sign_out: bool


class Success(TypedDict):
    success: bool


class SocketTicket(TypedDict):
    """`expires_in` is seconds."""

    ticket: str
    url: str
    expires_in: int
