"""JWTs of Better Auth's JWT plugin, and the public keys that they are checked with."""

import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import jwt
import sqlalchemy as sa

from graphql_api.auth.identity import BadCredential, Identity, is_plain
from graphql_api.auth.sessions import is_banned
from graphql_api.database import Database, Statement
from graphql_api.instants import in_utc, moment

logger = logging.getLogger(__name__)

ALGORITHMS = {
    ("OKP", "Ed25519"): ("EdDSA",),
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-521"): ("ES512",),
    ("RSA", None): ("RS256", "PS256"),
}
"""What each family of keys may sign with: all that Better Auth offers, and nothing symmetric."""

LEEWAY_SECONDS = 5
GRACE_SECONDS = 30 * 24 * 3600  # Better Auth's default `gracePeriod`: how long a rotated key stays in the JWKS


@dataclass(frozen=True, slots=True)
class Key:
    """A public key. `algorithm` is None where Better Auth did not store it (before 1.7)."""

    jwk: Mapping[str, Any]
    algorithm: str | None
    expires_at: float | None = None


class Keys(Protocol):
    """Where public keys come from."""

    async def find(self, kid: str) -> Key | None: ...


class TableKeys:
    """Keys of Better Auth's `jwks` table: no HTTP, nothing cached, a rotation counts at once. One SELECT a key."""

    def __init__(self, database: Database, jwks: sa.Table) -> None:
        self._database = database
        found = sa.select(
            jwks.c.publicKey.label("jwk"),
            jwks.c.get("alg", sa.null()).label("alg"),
            jwks.c.get("expiresAt", sa.null()).label("expires_at"),
        )
        self._by_id = Statement(found.where(sa.cast(jwks.c.id, sa.Text) == sa.bindparam("kid")))

    async def find(self, kid: str) -> Key | None:
        rows = await self._database.read(self._by_id(kid=kid))
        if not rows:
            return None
        expires_at = moment(rows[0]["expires_at"])
        return Key(json.loads(rows[0]["jwk"]), rows[0]["alg"], expires_at and expires_at.timestamp())


class Tokens:
    """Verifies JWTs against one issuer and its audiences."""

    def __init__(self, keys: Keys, issuer: str, audience: Sequence[str]) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = list(audience)

    async def identity(self, token: str) -> Identity:
        """The user in `sub`. Raises `BadCredential` for anything that is not a living token of this issuer.

        The algorithm is the key's, never the token's alone; `typ` and `aud` tell an API token from the other JWTs that
        Better Auth signs with the same key (its session cookie cache, OAuth tokens).
        """
        try:
            header = jwt.get_unverified_header(token)
            key = await self._keys.find(header["kid"]) if is_plain(header.get("kid")) else None
            if key is None or _has_ended(key):
                raise BadCredential("The token is signed with a key that this application does not know.")
            if str(header.get("typ", "JWT")).upper() != "JWT":
                raise BadCredential(f"A token of type {str(header['typ'])[:50]!r} is not for this API.")
            claims = jwt.decode(
                token,
                jwt.PyJWK(dict(key.jwk), algorithm=_algorithm(key, header)).key,
                algorithms=[_algorithm(key, header)],
                issuer=self._issuer,
                audience=self._audience,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iat", "sub", "iss", "aud"]},
            )
            return _identity(claims)
        except jwt.ExpiredSignatureError:
            raise BadCredential("The token has expired; fetch a new one from Better Auth.") from None
        except jwt.InvalidIssuerError:
            raise BadCredential(f"The token is not from {self._issuer}.") from None
        except jwt.InvalidAudienceError:
            raise BadCredential(f"The token is not meant for {' or '.join(self._audience)}.") from None
        except (jwt.PyJWTError, KeyError, ValueError, TypeError, OverflowError) as error:
            logger.debug("a token was refused: %r", error)
            raise BadCredential("The token is not a valid JWT of this application.") from None


def _algorithm(key: Key, header: Mapping[str, Any]) -> str:
    """The one algorithm to check with. Before 1.7 the key does not tell, and its family bounds what the token says."""
    algorithm = key.algorithm or header["alg"]
    if algorithm not in ALGORITHMS.get((key.jwk["kty"], key.jwk.get("crv")), ()):
        raise jwt.InvalidAlgorithmError(f"{algorithm!r} is not an algorithm of this key")
    return str(algorithm)


def _has_ended(key: Key) -> bool:
    return key.expires_at is not None and key.expires_at + GRACE_SECONDS <= time.time()


def _identity(claims: Mapping[str, Any]) -> Identity:
    if not is_plain(claims["sub"]):
        raise BadCredential("The token's `sub` is not a user id.")
    if is_banned(claims.get("banned"), _moment(claims.get("banExpires")), time.time()):
        raise BadCredential("This account is banned.")
    return Identity(user_id=claims["sub"], expires_at=float(claims["exp"]), claims=claims)


def _moment(value: object) -> float | None:
    """A date as Better Auth writes it into JSON, in seconds since 1970; None when there is none."""
    return in_utc(datetime.fromisoformat(value)).timestamp() if isinstance(value, str) else None
