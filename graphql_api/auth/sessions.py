"""Sessions: the cookie, the signed bearer token, and the row that alone decides whether the session still lives.

The signature of a session outlives it, and so does Better Auth's cookie cache: neither says that somebody is signed in.
"""

import base64
import hmac
import time
from collections.abc import Sequence
from urllib.parse import unquote

import sqlalchemy as sa

from graphql_api.auth.identity import BadCredential, Identity, is_plain
from graphql_api.auth.tables import Tables
from graphql_api.database import Database, Statement
from graphql_api.instants import moment

SIGNATURE_ENDS = ("=", "%3D", "%3d")
"""The padding, percent-encoded or not. A JWT has none: so they are told apart where a session token has a dot."""


def cookie_value(headers: Sequence[str], name: str) -> str | None:
    """The value of the cookie with exactly this name in the raw `Cookie` headers; None when there is none.

    Starlette would take the last of two and not decode; Better Auth takes the first. Which one a browser sends first
    can be arranged by a sibling subdomain, so two of one name are refused. Only spaces and tabs surround a name: with
    `strip()` a name after U+00A0 would count, and so slip past the browser's guard of the `__Secure-` prefix.
    """
    pairs = (part.strip(" \t").partition("=") for header in headers for part in header.split(";"))
    values = [value.strip(" \t").removeprefix('"').removesuffix('"') for key, _, value in pairs if key == name]
    if len(values) > 1:
        raise BadCredential(f"The cookie {name} was sent {len(values)} times; only one can be the session.")
    return values[0] if values and values[0] else None


def unsign(signed: str, secrets: Sequence[str]) -> str:
    """The session token of `token.signature`, percent-encoded or not; its HMAC-SHA256 is checked in constant time.

    Source: better-call 1.4.5, `crypto.mjs` (`signCookieValue`). `unquote_plus` would turn base64's `+` into a space.
    """
    token, _, signature = unquote(signed).rpartition(".")
    given = signature.encode()
    if sum(hmac.compare_digest(given, _signature(token, secret)) for secret in secrets):
        return token
    raise BadCredential("The session is not signed by this application; sign in again.")


def sign(token: str, secret: str) -> str:
    """What Better Auth puts into `set-auth-token`, and percent-encoded into the cookie."""
    return f"{token}.{_signature(token, secret).decode()}"


def _signature(token: str, secret: str) -> bytes:
    return base64.b64encode(hmac.digest(secret.encode(), token.encode(), "sha256"))


class Sessions:
    """Looks sessions up in Better Auth's tables."""

    def __init__(self, database: Database, tables: Tables) -> None:
        self._database = database
        self._by_token = _by_token(tables)

    async def identity(self, token: str) -> Identity:
        """The user of a living session. One SELECT. Raises `BadCredential` for an ended one and for a banned user."""
        if self._by_token is None:
            raise BadCredential("This server cannot see sessions, only JWTs: send a JWT of Better Auth's JWT plugin.")
        if not is_plain(token):
            raise BadCredential("The session token has characters that no session token has.")
        rows = await self._database.read(self._by_token(token=token))
        now = time.time()
        expires_at = moment(rows[0]["expires_at"]).timestamp() if rows else 0
        if expires_at <= now:
            raise BadCredential("The session has ended; sign in again.")
        row = rows[0]
        ban_expires = moment(row["ban_expires"])
        if is_banned(row["banned"], ban_expires and ban_expires.timestamp(), now):
            raise BadCredential("This account is banned.")
        return Identity(user_id=str(row["user_id"]), expires_at=expires_at)


def is_banned(banned: object, until: float | None, now: float) -> bool:
    """Better Auth tests a ban only when a session is made; one that is set by SQL leaves the sessions alive."""
    return bool(banned) and (until is None or until > now)


def _by_token(tables: Tables) -> Statement | None:
    session, user = tables.session, tables.user
    if session is None or user is None:
        return None
    found = sa.select(
        session.c.userId.label("user_id"),
        session.c.expiresAt.label("expires_at"),
        user.c.get("banned", sa.null()).label("banned"),
        user.c.get("banExpires", sa.null()).label("ban_expires"),
    ).join_from(session, user, user.c.id == session.c.userId)
    return Statement(found.where(session.c.token == sa.bindparam("token")))
