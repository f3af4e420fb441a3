"""Who asks, and what each role may do (T23): viewer reads all, operator acts on own jobs, admin on all."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Principal:
    """`user_id` says whose jobs are meant, `key_id` which credential was used (None without one)."""

    user_id: str
    role: Role
    key_id: str | None = None

    def may_act_on(self, owner: str | None) -> bool:
        if self.role is Role.ADMIN:
            return True
        return self.role is Role.OPERATOR and owner in (None, self.user_id)


LOCAL_ADMIN = Principal("local", Role.ADMIN)
"""Everyone, with AUTH_MODE=none."""
