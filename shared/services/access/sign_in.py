"""Sessions of the page: a key is shown once, a cookie with a random token stands for it until it ends (T12)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from shared.domain import state_keys
from shared.domain.access import LOCAL_ADMIN, Principal
from shared.ports import Clock, StateStore
from shared.services.access.authenticate import Authenticate, hash_key

SESSION_LIFE = timedelta(hours=12)
_TOKEN = re.compile(r"[A-Za-z0-9_-]{32,128}", re.ASCII)


@dataclass(frozen=True)
class SignIn:
    """`new_secret` gives 32 random bytes as URL-safe text."""

    authenticate: Authenticate
    state: StateStore
    clock: Clock
    new_secret: Callable[[], str]

    def begin(self, key: str) -> tuple[Principal, str] | None:
        """The principal of an API key and the token of a new session; None when the key is none."""
        principal = self.authenticate.principal(key)
        if principal is None:
            return None
        token = self.new_secret()
        now = self.clock.now()
        value = {"key_id": principal.key_id, "digest": hash_key(key)}
        self.state.put(state_keys.session(token), value, now=now, expires_at=now + SESSION_LIFE, if_version=0)
        return principal, token

    def principal(self, token: str | None) -> Principal | None:
        """Whose session this is; none once its key was revoked or changed, or its time is over."""
        if self.authenticate.is_open:
            return LOCAL_ADMIN
        if not token or not _TOKEN.fullmatch(token):
            return None
        item = self.state.get(state_keys.session(token), now=self.clock.now())
        if item is None:
            return None
        key_id = item.value.get("key_id")
        return self.authenticate.of_digest(str(key_id) if key_id else None, str(item.value["digest"]))

    def end(self, token: str | None) -> None:
        if token and _TOKEN.fullmatch(token):
            self.state.delete(state_keys.session(token), now=self.clock.now())
