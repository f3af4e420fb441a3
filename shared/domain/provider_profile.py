"""What is known of a provider without asking it; the rest of the house reads this and knows no provider's name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from shared.domain.pricing import Hardware


class WebhookScheme(StrEnum):
    """How a provider signs its webhooks."""

    STANDARD_WEBHOOKS = "standard-webhooks"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderProfile:
    """One provider. It is loaded by every function, so a profile's module imports nothing but the domain.

    `name` stands in keys, paths and variables, `label` before people. `kinds` are the provider's own words for its
    lists, in the order in which they are read. `log_kept_for` is how long after its end a job's log can be fetched,
    None: always. `requests_per_second` is what one process of ours may ask. `webhooks` None: it sends none;
    `repeatable_keys` may stand twice in its JSON. `job_url` shows a job to people, with `{external_id}` in it.
    """

    name: str
    label: str
    api_base_url: str
    token_secret: str
    token_variable: str
    token_url: str
    kinds: tuple[str, ...]
    hardware: Mapping[str, Hardware]
    default_hardware: str
    requests_per_second: float
    log_kept_for: timedelta | None = None
    webhooks: WebhookScheme | None = None
    repeatable_keys: frozenset[str] = frozenset()
    status_page_url: str | None = None
    job_url: str | None = None

    @property
    def base_url_variable(self) -> str:
        """The environment variable that sets another address of the provider's API."""
        return f"{self.name.upper()}_API_BASE_URL"
