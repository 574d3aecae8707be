"""Who is asking, once that is known."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from graphql_api.errors import Code, RequestError

USER_ID_MAX = 255


@dataclass(frozen=True, slots=True)
class Identity:
    """A Better Auth user with a credential that was verified.

    `user_id` is Better Auth's id as text, whatever its type in the database. `expires_at` is in seconds since 1970: the
    credential is worth nothing from then on. `claims` is the payload of a JWT, and empty for a session.
    """

    user_id: str
    expires_at: float
    claims: Mapping[str, Any] = field(default_factory=dict)


class BadCredential(RequestError):
    """A credential that proves nothing: HTTP 401. There is never a fallback to another one."""

    def __init__(self, message: str) -> None:
        super().__init__(Code.UNAUTHENTICATED, message)


def is_plain(text: object, longest: int = USER_ID_MAX) -> bool:
    """True for a text that can be compared in PostgreSQL: no null byte, no lone surrogate, not endless."""
    return isinstance(text, str) and 0 < len(text) <= longest and text.isascii() and text.isprintable()
