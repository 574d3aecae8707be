"""Public keys of a JWKS address, for a Better Auth on another database."""

import asyncio
import logging
import time

import httpx

from graphql_api.auth.tokens import Key
from graphql_api.errors import Code, RequestError

logger = logging.getLogger(__name__)

REFETCH_SECONDS = 30
KEYS_KEPT_SECONDS = 600


class FetchedKeys:
    """Fetched when an unknown `kid` comes by or the keys are ten minutes old, but never twice within 30 seconds: or
    anybody could make us hammer the sign-in server with invented kids. When a fetch fails the old keys stay, for ten
    minutes more; and one request alone waits for it, others whose key is known go on with that.
    """

    def __init__(self, url: str, *, timeout_seconds: float) -> None:
        self._url = url
        self._timeout = timeout_seconds
        self._tls = httpx.create_ssl_context()  # takes 20 ms: not while a request waits
        self._keys: dict[str, Key] | None = None
        self._tried_at = float("-inf")
        self._fetching = asyncio.Lock()

    async def find(self, kid: str) -> Key | None:
        if self._should_fetch(kid) and not (self._fetching.locked() and self._knows(kid)):
            async with self._fetching:
                if self._should_fetch(kid):  # else another request has fetched while this one waited
                    await self._fetch()
        if self._keys is None:
            raise RequestError(
                Code.SERVICE_UNAVAILABLE,
                "The keys of the sign-in server cannot be fetched right now. Try again soon.",
            )
        return self._keys.get(kid)

    def _should_fetch(self, kid: str) -> bool:
        seconds = KEYS_KEPT_SECONDS if self._knows(kid) else REFETCH_SECONDS
        return time.monotonic() - self._tried_at > seconds

    def _knows(self, kid: str) -> bool:
        return self._keys is not None and kid in self._keys

    async def _fetch(self) -> None:
        try:
            # a client for each fetch: a connection would not be kept from one to the next, minutes later
            async with httpx.AsyncClient(verify=self._tls, timeout=self._timeout) as client:
                response = await client.get(self._url)
            response.raise_for_status()
            self._keys = {jwk["kid"]: Key(jwk, jwk.get("alg")) for jwk in response.json()["keys"]}
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError) as error:
            logger.warning("no keys from %s: %r", self._url, error)
        finally:
            self._tried_at = time.monotonic()
