"""Everything an operator can set, each entry once, with its unit and its default."""

import json
import os
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from graphql_api import addresses

Seconds = Annotated[float, Field(gt=0, le=2_000_000, allow_inf_nan=False)]
"""At most three weeks, which is as long as PostgreSQL's timeouts can be."""
Words = tuple[str, ...]
"""Several values in one variable, separated by commas."""


class ConfigurationError(Exception):
    """A setting that stops the start. The message names the variable and says what would be right."""


class Settings(BaseModel):
    """Read from the environment; the name of a variable is the name of the field in capitals."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    # ------------------------------------------------------------------ database
    database_url: str = Field(
        repr=False,
        description="PostgreSQL 14 or newer, the database of Better Auth: `postgresql://user:password@host/database`. "
        "Neon's form works as it is copied.",
    )
    database_url_direct: str | None = Field(
        default=None,
        repr=False,
        description="The same database without the pooler in between; migrations run on it, and LISTEN.",
    )
    database_pooler: Literal["none", "transaction"] | None = Field(
        default=None,
        description="`transaction` when DATABASE_URL leads to PgBouncer or the like in transaction mode: nothing is "
        "then kept on a connection between transactions. Unset: `transaction` for hosts with `-pooler` in their name, "
        "and with `pgbouncer=true`, as Prisma has it.",
    )
    pool_min: int = Field(default=2, ge=0, description="Connections opened at the start.")
    pool_max: int = Field(default=10, ge=1, description="Connections at most, in each worker process.")
    pool_idle_seconds: Seconds = Field(default=300, description="An idle connection is closed after this.")
    pool_recycle_seconds: Seconds = Field(default=3600, description="A connection is replaced after this.")
    connect_timeout_seconds: Seconds = Field(
        default=10,
        description="How long a connection may take, and how long a request goes on trying when the database does "
        "not answer (a cold start).",
    )
    statement_timeout_seconds: Seconds = Field(default=60, description="PostgreSQL ends a statement after this.")
    link_users: bool = Field(
        default=True,
        description="`migrate` ties tasks to Better Auth's user table, so that a deleted user's tasks go too.",
    )
    event_retention_days: int = Field(
        default=90,
        ge=1,
        le=36_500,
        description="`maintain` drops the events of a month when all of it is longer ago than this.",
    )

    # ------------------------------------------------------------------ who is asking
    auth_url: str | None = Field(
        default=None,
        description="Better Auth's `baseURL`, `https://app.example.com`: its origin is issuer and audience of JWTs.",
    )
    auth_issuer: str | None = Field(
        default=None, description="`jwt.issuer` where Better Auth sets it. Unset: AUTH_URL."
    )
    auth_audience: Words = Field(
        default=(), description="`jwt.audience` where Better Auth sets it, separated by commas. Unset: AUTH_URL."
    )
    auth_jwks_url: str | None = Field(
        default=None,
        description="Fetch the public keys from here rather than from the `jwks` table. Unset: the table where there "
        "is one, else AUTH_URL with `/api/auth/jwks`.",
    )
    better_auth_secret: str | None = Field(
        default=None, repr=False, description="Better Auth's secret: without it only JWTs are accepted."
    )
    better_auth_secrets: Words = Field(
        default=(),
        repr=False,
        description="As Better Auth reads it, `2:new,1:old`: a session signed with any of them is accepted. "
        "Takes the place of BETTER_AUTH_SECRET.",
    )
    session_cookie_name: str | None = Field(
        default=None,
        description="The one cookie that is read. Unset: `better-auth.session_token`, with `__Secure-` before it "
        "when AUTH_URL is https.",
    )
    session_cache_seconds: float = Field(
        default=5,
        ge=0,
        allow_inf_nan=False,
        description="A verified session is looked up again after this; a sign-out shows at the latest then, and so "
        "does what `viewer` tells of a person.",
    )
    accept_raw_bearer: bool = Field(
        default=False,
        description="Accept a session token without its signature as Better Auth's bearer plugin does. A leaked row "
        "or log line is then a credential.",
    )
    auth_user_table: str | None = Field(
        default=None, description='Better Auth\'s user table, `name` or `schema.name`. Unset: `"user"` or `users`.'
    )
    auth_session_table: str | None = Field(default=None, description="The same for sessions: `session` or `sessions`.")
    auth_jwks_table: str | None = Field(default=None, description="The same for keys: `jwks` or `jwkss`.")
    auth_columns: dict[str, str] = Field(
        default={},
        description='Columns with names of their own, as JSON: `{"session.userId": "owner"}`. camelCase and '
        "snake_case are found without it.",
    )

    # ------------------------------------------------------------------ serving
    host: str = Field(default="127.0.0.1", description="Address to listen on; `0.0.0.0` in a container.")
    port: int = Field(default=8000, ge=0, le=65535, description="Port to listen on.")
    workers: int = Field(default=1, ge=1, description="Processes; each has its own pool.")
    trusted_origins: Words = Field(
        default=(),
        description="Origins whose pages may call with a cookie, `https://app.example.com`, separated by commas; "
        "AUTH_URL and the server's own origin always may.",
    )
    request_timeout_seconds: Seconds = Field(
        default=30,
        description="A request is ended with TIMEOUT after this. "
        "So long a connection to the database may be silent before it is given up.",
    )
    max_body_bytes: int = Field(default=1_000_000, ge=1000, description="A longer request is refused with 413.")
    max_tokens: int = Field(
        default=5_000, ge=100, description="A longer GraphQL document is refused, and so are more values in variables."
    )
    max_cost: int = Field(
        default=20_000,
        ge=1,
        description="An operation that could read more objects than this is refused with COST_LIMIT_EXCEEDED; "
        "leaves count too, those beyond 20 of an object.",
    )
    max_connections_per_user: int = Field(
        default=2000,
        ge=1,
        description="WebSockets and event streams that one user may hold open, in each worker process.",
    )
    max_operations_per_socket: int = Field(
        default=100, ge=1, description="Operations, subscriptions above all, that may run at once on one WebSocket."
    )
    graphiql: bool = Field(default=True, description="Serve GraphiQL to browsers at /graphql.")
    introspection: bool = Field(default=True, description="Answer questions about the schema.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(default="INFO", description="Lowest level logged.")
    log_format: Literal["text", "json"] = Field(default="text", description="`json` writes one object a line.")

    @field_validator("auth_audience", "better_auth_secrets", "trusted_origins", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(part for part in map(str.strip, value.split(",")) if part) if isinstance(value, str) else value

    @field_validator("auth_columns", mode="before")
    @classmethod
    def _from_json(cls, value: Any) -> Any:
        try:
            return json.loads(value) if isinstance(value, str) else value
        except ValueError:
            raise ValueError('is not JSON; write it like {"session.userId": "owner"}') from None

    @field_validator("better_auth_secrets")
    @classmethod
    def _without_version(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        secrets = tuple(
            secret if colon and version.isdigit() else entry
            for entry in value
            for version, colon, secret in [entry.partition(":")]
        )
        if not all(secrets):
            raise ValueError("has a version without a secret; write it like 2:new,1:old")
        return secrets

    @field_validator("database_url", "database_url_direct")
    @classmethod
    def _driver_url(cls, value: str | None) -> str | None:
        return value if value is None else addresses.for_asyncpg(value)

    @field_validator("auth_url")
    @classmethod
    def _its_origin(cls, value: str | None) -> str | None:
        return value if value is None else addresses.origin(value)

    @field_validator("trusted_origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(addresses.origin, value))

    @field_validator("auth_jwks_url")
    @classmethod
    def _web_address(cls, value: str | None) -> str | None:
        if value is not None:
            addresses.origin(value)
        return value

    @model_validator(mode="before")
    @classmethod
    def _pooler_in_the_url(cls, given: Any) -> Any:
        is_told = addresses.tells_of_pgbouncer(str(given.get("database_url")))
        return {"database_pooler": "transaction"} | given if is_told else given

    @model_validator(mode="after")
    def _pool_bounds(self) -> Self:
        if self.pool_min > self.pool_max:
            raise ValueError(f"POOL_MIN is {self.pool_min} but POOL_MAX is {self.pool_max}; it must not be larger")
        return self

    @classmethod
    def from_environment(cls, **changes: Any) -> Self:
        """The settings of this process, and changes to them; a mistake is a `ConfigurationError` of one line for each
        variable."""
        given = {name: os.environ[name.upper()] for name in cls.model_fields if name.upper() in os.environ}
        try:
            return cls(**(given | changes))
        except ValidationError as error:
            raise ConfigurationError("\n".join(map(_explain, error.errors()))) from None

    @property
    def behind_transaction_pooler(self) -> bool:
        """True when a connection may be another one in the next transaction."""
        if self.database_pooler is None:
            return addresses.is_poolers(self.database_url)
        return self.database_pooler == "transaction"

    @property
    def secrets(self) -> tuple[str, ...]:
        """What a session may be signed with. Better Auth ignores its single secret once there are versioned ones."""
        if self.better_auth_secrets:
            return self.better_auth_secrets
        return (self.better_auth_secret,) if self.better_auth_secret else ()

    @property
    def cookie_name(self) -> str:
        """Exactly one name: to accept both would let a sibling subdomain plant a cookie (better-auth.md, pitfall 5)."""
        if self.session_cookie_name:
            return self.session_cookie_name
        secure = "__Secure-" if (self.auth_url or "").startswith("https://") else ""
        return f"{secure}better-auth.session_token"

    @property
    def cookie_origins(self) -> frozenset[str]:
        """Origins, besides the server's own, whose pages may use the session cookie."""
        return frozenset(origin for origin in (*self.trusted_origins, self.auth_url) if origin)

    @property
    def issuer(self) -> str | None:
        return self.auth_issuer or self.auth_url

    @property
    def audience(self) -> tuple[str, ...]:
        default = self.auth_url or self.auth_issuer
        return self.auth_audience or ((default,) if default else ())


def _explain(error: Any) -> str:
    """One line for the operator: the variable, then what is wrong with it."""
    message = str(error["msg"]).removeprefix("Value error, ")
    if not error["loc"]:
        return message
    variable = str(error["loc"][0]).upper()
    if error["type"] == "missing":
        return f"{variable} is not set; write it like {variable}=postgresql://user:password@host/database"
    return f"{variable} {message}" if error["type"] == "value_error" else f"{variable}: {message}"
