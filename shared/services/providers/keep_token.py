"""A provider's API token: tried with the provider before it is stored."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from shared.domain.account import Account
from shared.domain.errors import (
    InvalidRequestError,
    ProviderRefusedError,
    ProviderTokenRejectedError,
    UnknownProviderError,
)
from shared.ports import SecretStore

_TOKEN = re.compile(r"[!-~]{8,512}", re.ASCII)

AccountOf = Callable[[str, str], Account]
"""Whom a provider (by name) says a token belongs to; raises ProviderError's children."""


@dataclass(frozen=True, slots=True)
class KeptToken:
    """Where it is kept, in words, whose it is, and what is still in its way (None: nothing)."""

    location: str
    account: Account
    warning: str | None = None


@dataclass(frozen=True)
class KeepToken:
    """`token_secrets`: under which name each provider's token stands in the secret store."""

    secrets: SecretStore
    token_secrets: Mapping[str, str]
    account_of: AccountOf

    def has(self, provider: str) -> bool:
        return bool(self.secrets.get(self._name(provider)))

    def keep(self, provider: str, token: str) -> KeptToken:
        """Raises InvalidRequestError for a token that the provider refuses, ProviderError when it cannot be asked."""
        name = self._name(provider)
        token = token.strip()
        if not _TOKEN.fullmatch(token):
            raise InvalidRequestError("This is not an API token; copy it again, without blanks or line breaks.")
        try:
            account = self.account_of(provider, token)
        except (ProviderTokenRejectedError, ProviderRefusedError):
            raise InvalidRequestError(
                "The provider refuses this API token; copy it again from https://replicate.com/account/api-tokens."
            ) from None
        self.secrets.put(name, token)
        warning = None
        if self.secrets.get(name) != token:
            warning = "It is stored, but the environment of this service sets another one, and that one is used."
        return KeptToken(self.secrets.location(), account, warning)

    def forget(self, provider: str) -> KeptToken | None:
        """None when no token is left, else what still holds one."""
        name = self._name(provider)
        self.secrets.delete(name)
        if not self.secrets.get(name):
            return None
        warning = "The environment of this service still sets a token; unset it there and start the service again."
        return KeptToken(self.secrets.location(), Account(""), warning)

    def _name(self, provider: str) -> str:
        try:
            return self.token_secrets[provider]
        except KeyError:
            raise UnknownProviderError("There is no provider of that name.") from None
