"""Who holds a key. Keys are kept as hashes only; the admin's own key stands in the secret store (T15)."""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass

from shared.domain import state_keys
from shared.domain.access import LOCAL_ADMIN, Principal, Role
from shared.ports import Clock, SecretStore, StateStore

ADMIN_KEY_SECRET = "admin_api_key"  # noqa: S105 - the name of a secret, not one
ADMIN_KEY_ID = "admin"
MIN_ADMIN_KEY_LENGTH = 16
_STORED_KEY = re.compile(r"stk_([A-Za-z0-9]{8,32})_[A-Za-z0-9_-]{22,128}", re.ASCII)


def hash_key(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()


@dataclass(frozen=True)
class Authenticate:
    """`is_open`: AUTH_MODE=none, everyone is the local admin."""

    is_open: bool
    state: StateStore
    secrets: SecretStore
    clock: Clock

    def principal(self, key: str | None) -> Principal | None:
        """The principal of a key, None when there is none. Comparisons are in constant time, on digests."""
        if self.is_open:
            return LOCAL_ADMIN
        if not key or len(key) > 256:
            return None
        stored = _STORED_KEY.fullmatch(key)
        if stored:
            return self._stored(stored[1], hash_key(key))
        return self._admin(hash_key(key))

    def of_digest(self, key_id: str | None, digest: str) -> Principal | None:
        """The principal of a key that was shown before, as long as it is still that key."""
        if self.is_open:
            return LOCAL_ADMIN
        return self._admin(digest) if key_id in (None, ADMIN_KEY_ID) else self._stored(key_id, digest)

    def _admin(self, digest: str) -> Principal | None:
        admin = self.secrets.get(ADMIN_KEY_SECRET)
        if admin and len(admin) >= MIN_ADMIN_KEY_LENGTH and hmac.compare_digest(hash_key(admin), digest):
            return Principal("admin", Role.ADMIN, ADMIN_KEY_ID)
        return None

    def _stored(self, key_id: str, digest: str) -> Principal | None:
        item = self.state.get(state_keys.api_key(key_id), now=self.clock.now())
        if item is None or not hmac.compare_digest(str(item.value.get("hash", "")), digest):
            return None
        return Principal(str(item.value["user_id"]), Role(str(item.value["role"])), key_id)
