"""A provider's API token: tried with the provider before it is stored."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from shared.domain.account import Account
from shared.domain.errors import (
    InvalidRequestError,
    ProviderRefusedError,
    ProviderTokenRejectedError,
)
from shared.domain.provider_profile import ProviderProfile
from shared.ports import Provider, SecretStore
from shared.services.providers.provider_named import provider_named

_TOKEN = re.compile(r"[!-~]{8,512}", re.ASCII)


@dataclass(frozen=True, slots=True)
class KeptToken:
    """Where it is kept, in words, whose it is, and what is still in its way (None: nothing)."""

    location: str
    account: Account
    warning: str | None


@dataclass(frozen=True)
class KeepToken:
    secrets: SecretStore
    providers: Mapping[str, Provider]

    def has(self, provider: str) -> bool:
        return bool(self._stored(provider))

    def check(self, provider: str) -> Account:
        """Whose the token is that is stored at this moment. Raises UnknownProviderError, ProviderError."""
        return provider_named(self.providers, provider).account(self._stored(provider) or None)

    def keep(self, provider: str, token: str) -> KeptToken:
        """Raises UnknownProviderError, InvalidRequestError for a token that the provider refuses, ProviderError when it
        cannot be asked.
        """
        profile = self._profile(provider)
        token = token.strip()
        if not _TOKEN.fullmatch(token):
            raise InvalidRequestError("This is not an API token; copy it again, without blanks or line breaks.")
        try:
            account = self.providers[provider].account(token)
        except (ProviderTokenRejectedError, ProviderRefusedError):
            raise InvalidRequestError(
                f"{profile.label} refuses this API token; copy it again from {profile.token_url}."
            ) from None
        self.secrets.put(profile.token_secret, token)
        warning = None
        if self.secrets.get(profile.token_secret, fresh=True) != token:
            warning = "It is stored, but the environment of this service sets another one, and that one is used."
        return KeptToken(self.secrets.location(), account, warning)

    def forget(self, provider: str) -> str | None:
        """What still sets a token, in a sentence; None when none is left. Raises UnknownProviderError."""
        name = self._profile(provider).token_secret
        self.secrets.delete(name)
        if not self.secrets.get(name, fresh=True):
            return None
        return "The environment of this service still sets a token; unset it there and start the service again."

    def _stored(self, provider: str) -> str | None:
        return self.secrets.get(self._profile(provider).token_secret, fresh=True)

    def _profile(self, provider: str) -> ProviderProfile:
        return provider_named(self.providers, provider).profile
