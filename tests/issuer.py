"""A small Better Auth: it writes real rows and keys, and makes credentials from them as Better Auth does."""

from __future__ import annotations

import base64
import json
import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from graphql_api.auth.sessions import sign
from graphql_api.relay.ids import GlobalID

ORIGIN = "https://app.example.com"
SECRET = "a-secret-that-only-the-two-servers-know"
ALGORITHMS = ("EdDSA", "ES256", "ES512", "RS256", "PS256")
"""All that Better Auth's JWT plugin can sign with."""


@dataclass(frozen=True, slots=True)
class Person:
    """A user in Better Auth's table, and the global ID by which the graph knows them."""

    id: str
    name: str
    email: str

    @property
    def global_id(self) -> str:
        return str(GlobalID("User", self.id))


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key pair; `kid` is the id of the public half, in `jwks` or in a JWKS."""

    kid: str
    algorithm: str
    private: Any
    public: dict[str, Any]
    """The JWK, without `kid` and `alg`."""

    @classmethod
    def new(cls, algorithm: str = "EdDSA") -> SigningKey:
        private, public = _key_pair(algorithm)
        return cls(uuid4().hex, algorithm, private, public)

    @property
    def jwk(self) -> dict[str, Any]:
        """The key as it stands in Better Auth's JWKS."""
        return {"alg": self.algorithm, **self.public, "kid": self.kid}

    def sign(self, claims: dict[str, Any], **header: Any) -> str:
        """A JWT with the header of Better Auth: alg and kid, no typ."""
        return jwt.encode(claims, self.private, self.algorithm, headers={"kid": self.kid, "typ": None, **header})


class Issuer:
    """Signs people up and in, on Better Auth's default tables."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self.connection = connection
        self._key: SigningKey | None = None

    async def sign_up(self, name: str) -> Person:
        person = Person(secrets.token_hex(16), name, f"{name.lower()}-{secrets.token_hex(4)}@example.com")
        await self.connection.execute(
            'INSERT INTO "user" (id, name, email, "emailVerified") VALUES ($1, $2, $3, true)',
            person.id,
            person.name,
            person.email,
        )
        return person

    async def sign_in(self, person: Person, *, expires_in: timedelta = timedelta(days=7)) -> str:
        """The signed token of a new session, as `set-auth-token` has it and, percent-encoded, the cookie."""
        token = secrets.token_hex(16)
        await self.connection.execute(
            """INSERT INTO session (id, "expiresAt", token, "updatedAt", "userId") VALUES ($1, $2, $3, now(), $4)""",
            uuid4().hex,
            datetime.now(UTC) + expires_in,
            token,
            person.id,
        )
        return sign(token, SECRET)

    async def new_key(self, algorithm: str = "EdDSA", *, expires_at: datetime | None = None) -> SigningKey:
        """A key pair, its public half in the `jwks` table. Better Auth signs with it until `expires_at`."""
        key = SigningKey.new(algorithm)
        await self.connection.execute(
            'INSERT INTO jwks (id, "publicKey", "privateKey", "createdAt", "expiresAt", alg, crv) '
            "VALUES ($1, $2, $3, now(), $4, $5, $6)",
            key.kid,
            json.dumps(key.public),
            "encrypted",
            expires_at,
            algorithm,
            key.public.get("crv"),
        )
        return key

    async def token(self, person: Person, **claims: Any) -> str:
        """A JWT of this person as Better Auth's JWT plugin makes it; `claims` replace its own."""
        self._key = self._key or await self.new_key()
        return self._key.sign(default_claims(person) | claims)


def default_claims(person: Person) -> dict[str, Any]:
    """What the JWT plugin puts into a token without `definePayload`."""
    now = int(time.time())
    return {
        "id": person.id,
        "name": person.name,
        "email": person.email,
        "emailVerified": True,
        "image": None,
        "createdAt": "2026-01-01T00:00:00.000Z",
        "updatedAt": "2026-01-01T00:00:00.000Z",
        "iat": now,
        "sub": person.id,
        "exp": now + 900,
        "iss": ORIGIN,
        "aud": ORIGIN,
    }


def signed(header: object, claims: object, key: Any, algorithm: str) -> str:
    """A JWT with any header and any payload, and a signature that is right."""
    message = ".".join(base64url(json.dumps(part).encode()) for part in (header, claims))
    return f"{message}.{base64url(jwt.get_algorithm_by_name(algorithm).sign(message.encode(), key))}"


def base64url(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def _key_pair(algorithm: str) -> tuple[Any, dict[str, Any]]:
    private: Any
    if algorithm == "EdDSA":
        private = ed25519.Ed25519PrivateKey.generate()
        jwk = OKPAlgorithm.to_jwk(private.public_key(), as_dict=True)
    elif algorithm.startswith("ES"):
        private = ec.generate_private_key({"ES256": ec.SECP256R1(), "ES512": ec.SECP521R1()}[algorithm])
        jwk = ECAlgorithm.to_jwk(private.public_key(), as_dict=True)
    else:
        private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        jwk = RSAAlgorithm.to_jwk(private.public_key(), as_dict=True)
    return private, {name: value for name, value in jwk.items() if name not in ("key_ops",)}
