"""A person, as one value, from Better Auth's table or from the claims of a JWT."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg
import sqlalchemy as sa

from graphql_api.instants import in_utc, moment


@dataclass(frozen=True, slots=True)
class UserRow:
    """`id` is Better Auth's id as text. `created_at` is None where neither table nor token tells it."""

    id: str
    name: str
    email: str
    email_verified: bool
    image: str | None
    created_at: datetime | None

    @classmethod
    def from_record(cls, record: asyncpg.Record) -> UserRow:
        return cls(
            id=record["id"],
            name=record["name"],
            email=record["email"],
            email_verified=bool(record["email_verified"]),
            image=record["image"],
            created_at=moment(record["created_at"]),
        )

    @classmethod
    def from_claims(cls, user_id: str, claims: Mapping[str, Any]) -> UserRow:
        """The default payload of Better Auth's JWT plugin; `definePayload` may have left any of it out."""
        image = claims.get("image")
        return cls(
            id=user_id,
            name=str(claims.get("name") or claims.get("email") or user_id),
            email=str(claims.get("email") or ""),
            email_verified=claims.get("emailVerified") is True,
            image=image if isinstance(image, str) else None,
            created_at=_moment(claims.get("createdAt")),
        )


def _moment(claim: object) -> datetime | None:
    try:
        return in_utc(datetime.fromisoformat(claim)) if isinstance(claim, str) else None
    except (ValueError, OverflowError):
        return None


def people(user: sa.Table) -> sa.Select[Any]:
    """Every SELECT on users begins here: the columns that the graph shows, under one set of names."""
    return sa.select(
        sa.cast(user.c.id, sa.Text).label("id"),
        user.c.name.label("name"),
        user.c.email.label("email"),
        user.c.get("emailVerified", sa.false()).label("email_verified"),
        user.c.get("image", sa.null()).label("image"),
        user.c.get("createdAt", sa.null()).label("created_at"),
    )
