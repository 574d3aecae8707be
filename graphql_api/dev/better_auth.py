"""Better Auth's part of a development database: its tables, demo people, and credentials made as it makes them."""

from __future__ import annotations

import json
import secrets
import string
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote
from uuid import uuid4

import asyncpg
import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import OKPAlgorithm
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from graphql_api.auth import tables
from graphql_api.auth.sessions import sign
from graphql_api.settings import Settings

TABLES = """
    CREATE TABLE "user" (
        id text PRIMARY KEY, name text NOT NULL, email text NOT NULL UNIQUE, "emailVerified" boolean NOT NULL,
        image text, "createdAt" timestamptz NOT NULL DEFAULT now(), "updatedAt" timestamptz NOT NULL DEFAULT now());
    CREATE TABLE session (
        id text PRIMARY KEY, "expiresAt" timestamptz NOT NULL, token text NOT NULL UNIQUE,
        "createdAt" timestamptz NOT NULL DEFAULT now(), "updatedAt" timestamptz NOT NULL,
        "ipAddress" text, "userAgent" text, "userId" text NOT NULL REFERENCES "user" ON DELETE CASCADE);
    CREATE INDEX ON session ("userId");
    CREATE TABLE account (
        id text PRIMARY KEY, "accountId" text NOT NULL, "providerId" text NOT NULL,
        "userId" text NOT NULL REFERENCES "user" ON DELETE CASCADE, "accessToken" text, "refreshToken" text,
        "idToken" text, "accessTokenExpiresAt" timestamptz, "refreshTokenExpiresAt" timestamptz, scope text,
        password text, "createdAt" timestamptz NOT NULL DEFAULT now(), "updatedAt" timestamptz NOT NULL);
    CREATE INDEX ON account ("userId");
    CREATE TABLE verification (
        id text PRIMARY KEY, identifier text NOT NULL, value text NOT NULL, "expiresAt" timestamptz NOT NULL,
        "createdAt" timestamptz NOT NULL DEFAULT now(), "updatedAt" timestamptz NOT NULL DEFAULT now());
    CREATE INDEX ON verification (identifier);
    CREATE TABLE jwks (
        id text PRIMARY KEY, "publicKey" text NOT NULL, "privateKey" text NOT NULL,
        "createdAt" timestamptz NOT NULL, "expiresAt" timestamptz, alg text, crv text);
"""
"""What Better Auth 1.7's own migration makes on PostgreSQL, with the JWT plugin."""

COOKIE_SECRET = "development-only-secret-of-this-machine"  # noqa: S105  # never used outside of a development database

TOKEN_SECONDS = 900
"""How long a JWT of Better Auth lives."""


@dataclass(frozen=True, slots=True)
class Person:
    """A demo user."""

    id: str
    name: str
    email: str


PEOPLE = (
    Person("user-123-abc", "John Doe", "john@example.com"),
    Person("user-456-def", "Jane Smith", "jane@example.com"),
)

TASKS = (
    ("user-123-abc", "Buy groceries", "Milk, eggs, bread", "pending", "medium", "1 day", None),
    ("user-123-abc", "Finish report", "Q4 sales report", "in_progress", "high", "-2 hours", "user-456-def"),
    ("user-123-abc", "Water the plants", None, "completed", "low", None, None),
    ("user-456-def", "Call mom", "Birthday wishes", "completed", "urgent", None, None),
    ("user-456-def", "Book the train", "Window seat", "pending", "medium", "7 days", "user-123-abc"),
)
"""Owner, title, description, status, priority, due in, assignee."""


async def prepare(connection: asyncpg.Connection, settings: Settings) -> bool:
    """Tables, demo people and a signing key in a database without users; False for one that has others' people."""
    found = await tables.find(connection, settings)
    if found.user is None and found.session is None:
        async with connection.transaction():
            await connection.execute(TABLES)
            await connection.executemany(
                'INSERT INTO "user" (id, name, email, "emailVerified") VALUES ($1, $2, $3, true)',
                [(person.id, person.name, person.email) for person in PEOPLE],
            )
            await _make_key(connection)
        return True
    try:
        return bool(await connection.fetchval('SELECT EXISTS (SELECT FROM "user" WHERE id::text = $1)', PEOPLE[0].id))
    except asyncpg.UndefinedTableError:
        return False


async def add_sample_tasks(connection: asyncpg.Connection) -> None:
    """A few tasks for the demo people, in a database without tasks."""
    if await connection.fetchval("SELECT EXISTS (SELECT FROM tasks)"):
        return
    await connection.executemany(
        "INSERT INTO tasks (user_id, title, description, status, priority, due_date, assigned_to) "
        "VALUES ($1, $2, $3, $4, $5, now() + $6::text::interval, $7)",
        TASKS,
    )


async def token(connection: asyncpg.Connection, email: str, settings: Settings) -> str:
    """A JWT for this user, as Better Auth's JWT plugin makes it (1.7, `plugins/jwt/sign.mjs`): EdDSA, the `kid` of a
    row in `jwks`, no `typ`, iss = aud = the origin (or as the settings have it), the user's fields, 15 minutes.

    Raises `LookupError` when there is no such user, or no key that this command has made.
    """
    try:
        return await _token(connection, email, settings)
    except asyncpg.UndefinedTableError:
        raise LookupError(
            "This database is not a development database: it lacks Better Auth's default tables."
        ) from None


async def _token(connection: asyncpg.Connection, email: str, settings: Settings) -> str:
    user = await connection.fetchrow('SELECT * FROM "user" WHERE email = $1', email.lower())
    if user is None:
        raise LookupError(f"There is no user with the email {email}.")
    key = await connection.fetchrow('SELECT id, "privateKey" FROM jwks ORDER BY "createdAt" DESC LIMIT 1')
    jwk = json.loads(key["privateKey"]) if key else None
    if key is None or not isinstance(jwk, dict):  # Better Auth's own are a text, encrypted with its secret
        raise LookupError("This database has no key that this command could sign with: fetch a token from Better Auth.")
    private = jwt.PyJWK(jwk, algorithm="EdDSA")
    now = int(time.time())
    claims = {
        "id": user["id"],
        "name": user["name"],
        "email": user["email"],
        "emailVerified": user["emailVerified"],
        "image": user["image"],
        "createdAt": _as_json(user["createdAt"]),
        "updatedAt": _as_json(user["updatedAt"]),
        "iat": now,
        "sub": user["id"],
        "exp": now + TOKEN_SECONDS,
        "iss": settings.issuer,
        "aud": settings.audience[0],
    }
    return jwt.encode(claims, private.key, algorithm="EdDSA", headers={"kid": key["id"], "typ": None})


async def session(connection: asyncpg.Connection, user_id: str, secret: str) -> str:
    """A new session of this user, for a week; its signed token, as `set-auth-token` and the cookie carry it."""
    token = "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(32))
    await connection.execute(
        """INSERT INTO session (id, "expiresAt", token, "updatedAt", "userId")
           VALUES ($1, now() + interval '7 days', $2, now(), $3)""",
        uuid4().hex,
        token,
        user_id,
    )
    return sign(token, secret)


async def _make_key(connection: asyncpg.Connection) -> None:
    """A key pair as with `disablePrivateKeyEncryption`: this server must be able to sign for the demo people."""
    private = json.loads(OKPAlgorithm.to_jwk(Ed25519PrivateKey.generate()))
    public = {name: private[name] for name in ("crv", "x", "kty")}
    await connection.execute(
        'INSERT INTO jwks (id, "publicKey", "privateKey", "createdAt", alg, crv) VALUES ($1, $2, $3, now(), $4, $5)',
        uuid4().hex,
        json.dumps(public),
        json.dumps(private),
        "EdDSA",
        "Ed25519",
    )


def _as_json(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class SignedIn:
    """Signs the browser that opens GraphiQL in as the first demo user, by a session cookie as Better Auth sets it."""

    def __init__(self, app: ASGIApp, cookie_name: str, signed_token: str) -> None:
        self._app = app
        self._cookie = f"{cookie_name}={quote(signed_token, safe='')}; Path=/; HttpOnly; SameSite=Lax"
        if cookie_name.startswith("__Secure-"):
            self._cookie += "; Secure"  # browsers take it from a loopback address too

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if headers.get("content-type", "").startswith("text/html"):
                    headers.append("Set-Cookie", self._cookie)
            await send(message)

        await self._app(scope, receive, send_with_cookie)
