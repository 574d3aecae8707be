"""From the headers of a request to the Identity behind it, or to none."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from hashlib import blake2b
from math import inf
from typing import TYPE_CHECKING

from graphql_api.auth.identity import BadCredential, Identity
from graphql_api.auth.sessions import SIGNATURE_ENDS, Sessions, cookie_value, unsign
from graphql_api.auth.tables import Tables
from graphql_api.database import Database
from graphql_api.errors import Code, RequestError
from graphql_api.memory import Memory
from graphql_api.settings import Settings

if TYPE_CHECKING:
    from graphql_api.auth.tokens import Keys, Tokens

Headers = Sequence[tuple[bytes, bytes]]
"""As they came, names in lower case."""

RECHECK_SECONDS = 30
"""So often the credential of an open stream is looked at again."""

REMEMBERED = 50_000
"""Verified credentials kept at most; the oldest goes first."""


class Authenticator:
    """Verifies credentials, and remembers the good ones for a while: the next request pays no signature and no SELECT.

    Remembered by hash, so that no secret lies about in memory; a JWT until it expires, a session for
    `SESSION_CACHE_SECONDS`.
    """

    def __init__(self, settings: Settings, database: Database, tables: Tables) -> None:
        self._secrets = settings.secrets
        self._cookie_name = settings.cookie_name
        self._cookie_origins = settings.cookie_origins
        self._raw_bearer = settings.accept_raw_bearer
        self._session_seconds = settings.session_cache_seconds
        self._sessions = Sessions(database, tables)
        self._tokens = _tokens(settings, database, tables)
        self._known: Memory[bytes, Identity] = Memory(REMEMBERED)

    async def identify(self, headers: Headers, *, anew: bool = False) -> Identity | None:
        """Who sends these raw headers; None when they carry no credential. At most one SELECT.

        `anew`: look a session up again, whatever is remembered of it.

        A bearer token decides alone; only without one does the cookie count. Raises `BadCredential` when the one that
        decides is bad, and FORBIDDEN when a page of a foreign origin asks with the cookie.
        """
        authorizations = [value for name, value in headers if name == b"authorization"]
        if len(authorizations) == 1 and not anew:
            [value] = authorizations
            if value.startswith(b"Bearer ") and (identity := self._known.get(_digest(value))):
                return identity
        schemes = [[*value.decode("latin-1").split(maxsplit=1), "", ""] for value in authorizations]
        bearers = [token.strip() for scheme, token, *_ in schemes if scheme.lower() == "bearer"]
        if len(bearers) > 1:
            raise BadCredential("The request has more than one bearer token.")
        if bearers:
            return await self._verified(bearers[0], is_bearer=True, anew=anew)
        cookies = [value.decode("latin-1") for name, value in headers if name == b"cookie"]
        cookie = cookie_value(cookies, self._cookie_name)
        if cookie is None:
            return None
        self.refuse_foreign_pages(headers)
        return await self._verified(cookie, is_bearer=False, anew=anew)

    async def until_worthless(self, headers: Headers, identity: Identity | None) -> RequestError:
        """Wait until the credential in these headers has expired or was revoked; why it does not count any more."""
        while True:
            await asyncio.sleep(self._recheck_after(identity))
            try:
                identity = await self.identify(headers, anew=True)
                if identity is not None and identity.expires_at <= time.time():  # new requests have a few seconds more
                    return BadCredential("The token has expired; fetch a new one from Better Auth.")
            except RequestError as error:
                if error.code in (Code.UNAUTHENTICATED, Code.FORBIDDEN):
                    return error  # anything else only says that nobody can tell right now

    @staticmethod
    def _recheck_after(identity: Identity | None) -> float:
        left = inf if identity is None else identity.expires_at - time.time()
        return min(max(left, 1), RECHECK_SECONDS)

    def refuse_foreign_pages(self, headers: Headers) -> None:
        """Raises FORBIDDEN for a page of an origin that is neither ours nor trusted.

        A browser sends the cookie whichever page asks: `SameSite` does not stop those of sibling subdomains. And it
        lets every page open a WebSocket.
        """
        hosts, origins = (
            [value.decode("latin-1") for name, value in headers if name == sought] for sought in (b"host", b"origin")
        )
        own = {f"{scheme}://{host}" for host in hosts for scheme in ("http", "https")}  # TLS may end before us
        for origin in origins:
            if origin not in self._cookie_origins | own:
                raise RequestError(
                    Code.FORBIDDEN, f"Pages of {origin[:100]} may not use the session cookie; see TRUSTED_ORIGINS."
                )

    async def _verified(self, credential: str, *, is_bearer: bool, anew: bool) -> Identity:
        digest = _digest(f"{'Bearer' if is_bearer else 'Cookie'} {credential}".encode("latin-1"))
        is_token = is_bearer and credential.count(".") == 2 and not credential.endswith(SIGNATURE_ENDS)
        known = self._known.get(digest)
        if known is not None and (is_token or not anew):
            return known
        if is_token:
            identity, trusted_until = await self._from_token(credential)
        else:
            identity, trusted_until = await self._from_session(credential, is_bearer=is_bearer)
        self._known.keep(digest, identity, trusted_until)
        return identity

    async def _from_token(self, token: str) -> tuple[Identity, float]:
        if self._tokens is None:
            raise BadCredential("This server accepts no JWTs, only sessions: send the signed session token.")
        identity = await self._tokens.identity(token)
        return identity, identity.expires_at

    async def _from_session(self, credential: str, *, is_bearer: bool) -> tuple[Identity, float]:
        if not self._secrets:
            raise BadCredential("This server accepts no sessions, only JWTs: send a JWT of Better Auth's JWT plugin.")
        if is_bearer and self._raw_bearer and "." not in credential:
            token = credential
        else:
            token = unsign(credential, self._secrets)
        identity = await self._sessions.identity(token)
        return identity, min(identity.expires_at, time.time() + self._session_seconds)


def _digest(credential: bytes) -> bytes:
    """Of `Bearer ...` or `Cookie ...`: what counts as one need not count as the other."""
    return blake2b(credential).digest()


def _tokens(settings: Settings, database: Database, tables: Tables) -> Tokens | None:
    """A verifier of JWTs, when the settings say whose to accept."""
    if not settings.issuer:
        return None
    from graphql_api.auth.tokens import TableKeys, Tokens  # slow to import: only where there are JWTs

    keys: Keys
    if tables.jwks is not None and not settings.auth_jwks_url:
        keys = TableKeys(database, tables.jwks)
    else:
        from graphql_api.auth.fetched_keys import FetchedKeys  # and httpx with it, which nobody else needs

        url = settings.auth_jwks_url or f"{settings.auth_url or settings.issuer}/api/auth/jwks"
        keys = FetchedKeys(url, timeout_seconds=settings.connect_timeout_seconds)
    return Tokens(keys, settings.issuer, settings.audience)
