"""People in the graph."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import strawberry

from graphql_api.auth.identity import is_plain
from graphql_api.context import Info
from graphql_api.execution.promises import Promise
from graphql_api.relay import ids
from graphql_api.relay.ids import ID_DESCRIPTION, GlobalID, Node
from graphql_api.scalars import URL
from graphql_api.users.loaders import UserLoader
from graphql_api.users.models import UserRow

NOBODY = "Unknown user"
"""The name of a user whose account is gone, or is kept in another database."""


@strawberry.type(description="A person as others may see them.")
class User(Node):
    user_id: strawberry.Private[str]
    name: Annotated[str, strawberry.field(description="What the person is called.")]
    image: Annotated[URL | None, strawberry.field(description="Address of the person's picture, if there is one.")]

    @strawberry.field(description=ID_DESCRIPTION)
    def id(self) -> strawberry.ID:
        return global_id(self.user_id)

    @classmethod
    def load(cls, user_id: str, info: Info) -> Promise[User]:
        """The person with this Better Auth id, together with all others that this operation asks for."""
        return info.context.loader(UserLoader).load(user_id, partial(cls._of, user_id))

    @classmethod
    def _of(cls, user_id: str, row: UserRow | None) -> User:
        return cls(
            user_id=user_id,
            name=row.name if row else NOBODY,
            image=URL(row.image) if row and row.image else None,
        )


def global_id(user_id: str) -> strawberry.ID:
    return ids.written("User", user_id)


def user_id(id: str) -> str | None:
    """Better Auth's id in the global ID of a `User`; None for any other text."""
    found = GlobalID.parse(id)
    return found.key if found and found.type_name == "User" and is_plain(found.key) else None
