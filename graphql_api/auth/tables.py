"""Better Auth's tables as they stand in this database: found by looking, under whichever names they have.

Better Auth's own migration makes `"user"` with camelCase columns; Drizzle's makes snake_case columns without time zone;
an adapter with `usePlural` makes `users`. Ids are text, uuid or integer (`advanced.database.generateId`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import asyncpg as asyncpg_dialect

from graphql_api.settings import ConfigurationError, Settings

NAMES = {"user": ("user", "users"), "session": ("session", "sessions"), "jwks": ("jwks", "jwkss")}
"""What each model's table may be called, the likelier name first."""

REQUIRED = {
    "user": ("id", "name", "email"),
    "session": ("id", "token", "userId", "expiresAt"),
    "jwks": ("id", "publicKey"),
}
OPTIONAL = {
    "user": ("emailVerified", "image", "createdAt", "banned", "banExpires"),
    "session": (),
    "jwks": ("alg", "expiresAt"),  # `alg` since 1.7, `expiresAt` since 1.4
}

TIMES = ("expiresAt", "createdAt", "banExpires")
"""Columns that count only as timestamps: a number would be taken for a moment, and a wrong one."""

_PREPARER = asyncpg_dialect.dialect().identifier_preparer  # type: ignore[no-untyped-call]

COLUMNS = """
    SELECT n.nspname AS schema, c.relname AS name, a.attname AS column, format_type(a.atttypid, NULL) AS type
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relkind IN ('r', 'p', 'v', 'f') AND c.relname = ANY ($1::text[])
      AND (n.nspname = ANY (current_schemas(false)) OR n.nspname = ANY ($2::text[]))
    ORDER BY array_position(current_schemas(false), n.nspname)
"""


@dataclass(frozen=True, slots=True)
class Tables:
    """SQLAlchemy tables whose columns go by Better Auth's own names (`session.c.userId`); None where there is none."""

    user: sa.Table | None
    session: sa.Table | None
    jwks: sa.Table | None

    def user_ids(self, ids: Iterable[str]) -> list[Any]:
        """User ids as the column stores them. One that cannot be of its type belongs to nobody and is left out."""
        return [] if self.user is None else _native(self.user.c.id.type, ids)


async def find(connection: asyncpg.Connection, settings: Settings) -> Tables:
    """Look for the tables in the search path, or where the settings say. One SELECT.

    Raises `ConfigurationError` when a setting names a table or a column that is not there.
    """
    fields = [f"{model}.{field}" for model in NAMES for field in REQUIRED[model] + OPTIONAL[model]]
    if unknown := settings.auth_columns.keys() - set(fields):
        raise ConfigurationError(
            f"AUTH_COLUMNS names {', '.join(sorted(unknown))}, which is not read here; it may name {', '.join(fields)}"
        )
    chosen = {
        "user": settings.auth_user_table,
        "session": settings.auth_session_table,
        "jwks": settings.auth_jwks_table,
    }
    wanted = {model: [_split(name) for name in ((own,) if own else NAMES[model])] for model, own in chosen.items()}
    places = [place for candidates in wanted.values() for place in candidates]
    rows = await connection.fetch(COLUMNS, [name for _, name in places], [s for s, _ in places if s])
    found: dict[tuple[str, str], dict[str, str]] = {}
    for row in rows:
        found.setdefault((row["schema"], row["name"]), {})[row["column"]] = row["type"]
    tables = {model: _table(model, wanted[model], found, settings.auth_columns) for model in wanted}
    for model, name in chosen.items():
        if name and tables[model] is None:
            raise ConfigurationError(
                f"AUTH_{model.upper()}_TABLE names {name}, but there is no such table with the columns "
                f"{', '.join(REQUIRED[model])}; name the table as `table` or `schema.table`"
            )
    return Tables(**tables)


def quoted(item: sa.Table | sa.Column[Any] | str) -> str:
    """The name as SQL wants it; a table's with its schema."""
    if isinstance(item, sa.Table):
        return _PREPARER.format_table(item)
    return _PREPARER.quote(item if isinstance(item, str) else item.name)


def _table(
    model: str,
    candidates: list[tuple[str | None, str]],
    found: Mapping[tuple[str, str], Mapping[str, str]],
    renamed: Mapping[str, str],
) -> sa.Table | None:
    for wanted_schema, wanted_name in candidates:
        for (schema, name), types in found.items():
            if name != wanted_name or wanted_schema not in (None, schema):
                continue
            columns = [_column(model, field, types, renamed) for field in REQUIRED[model] + OPTIONAL[model]]
            present = [column for column in columns if column is not None]
            if all(any(column.key == field for column in present) for field in REQUIRED[model]):
                return sa.Table(name, sa.MetaData(), *present, schema=schema)
    return None


def _column(model: str, field: str, types: Mapping[str, str], renamed: Mapping[str, str]) -> sa.Column[Any] | None:
    own = renamed.get(f"{model}.{field}")
    if own is not None and own not in types:
        raise ConfigurationError(f"AUTH_COLUMNS names {own!r} for {model}.{field}, but the table has no such column")
    snake = re.sub(r"(?<!^)([A-Z])", r"_\1", field).lower()
    for name in (own,) if own else (field, snake):
        if name in types and (field not in TIMES or isinstance(_type(types[name]), sa.DateTime)):
            return sa.Column(name, _type(types[name]), key=field)
    if own is not None:
        raise ConfigurationError(f"AUTH_COLUMNS names {own!r} for {model}.{field}, which is no timestamp")
    return None


def _type(name: str) -> sa.types.TypeEngine[Any]:
    known: dict[str, sa.types.TypeEngine[Any]] = {
        "uuid": sa.Uuid(),
        "smallint": sa.SmallInteger(),
        "integer": sa.Integer(),
        "bigint": sa.BigInteger(),
        "boolean": sa.Boolean(),
        "timestamp with time zone": sa.DateTime(timezone=True),
        "timestamp without time zone": sa.DateTime(timezone=False),
    }
    return known.get(name, sa.Text())


def _native(column_type: sa.types.TypeEngine[Any], ids: Iterable[str]) -> list[Any]:
    if isinstance(column_type, sa.Uuid):
        return [UUID(id) for id in ids if _is_uuid(id)]
    if isinstance(column_type, sa.Integer):
        bits = {sa.SmallInteger: 15, sa.BigInteger: 63}.get(type(column_type), 31)
        return [int(id) for id in ids if re.fullmatch(r"[1-9]\d{0,18}", id, re.ASCII) and int(id) < 2**bits]
    return list(ids)


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False


def _split(name: str) -> tuple[str | None, str]:
    schema, dot, table = name.rpartition(".")
    return (schema if dot else None), table
