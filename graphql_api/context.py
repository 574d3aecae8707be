"""What a resolver may reach: the person asking, the database, events, loaders, and one clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

import strawberry

from graphql_api.auth.identity import Identity
from graphql_api.auth.tables import Tables
from graphql_api.database import Database
from graphql_api.errors import unauthenticated
from graphql_api.events import Hub
from graphql_api.memory import Memory

L = TypeVar("L")


@dataclass(slots=True)
class Context:
    """Made anew for every operation, and for every event of a subscription: what its loaders remember is no older."""

    database: Database
    tables: Tables
    hub: Hub
    people: Memory[str, Any]
    """Rows of those who asked lately, by Better Auth's ids."""
    identity: Identity | None
    _loaders: dict[Any, Any] = field(default_factory=dict)
    _now: datetime | None = None

    @property
    def now(self) -> datetime:
        """One clock for the whole operation: the time at which it was first asked for."""
        if self._now is None:
            self._now = datetime.now(UTC)
        return self._now

    @property
    def viewer_id(self) -> str:
        """Better Auth's id of the person asking. Raises UNAUTHENTICATED when nobody is signed in."""
        if self.identity is None:
            raise unauthenticated()
        return self.identity.user_id

    def change(self) -> tuple[Database, str]:
        """The database and the viewer, for a change: what loaders have read until now is of before it."""
        self._loaders.clear()
        return self.database, self.viewer_id

    def loader(self, kind: Callable[[Context], L]) -> L:
        """This operation's loader of a kind, made when it is first asked for."""
        if kind not in self._loaders:
            self._loaders[kind] = kind(self)
        loader: L = self._loaders[kind]
        return loader


Info = strawberry.Info[Context, None]
