"""Users by id, in batches."""

from functools import lru_cache

import sqlalchemy as sa

from graphql_api.context import Context
from graphql_api.database import Statement
from graphql_api.loading import Loader
from graphql_api.users.models import UserRow, people


class UserLoader(Loader[str, UserRow | None]):
    """Better Auth ids in, people out, same order, None where there is nobody. One SELECT a batch.

    Without a user table (Better Auth on another database) it knows the viewer alone, from the claims of the token.
    """

    def __init__(self, context: Context) -> None:
        super().__init__()
        self._database = context.database
        self._tables = context.tables
        if self._tables.user is None and context.identity is not None:
            user_id = context.identity.user_id
            self.prime(user_id, UserRow.from_claims(user_id, context.identity.claims))

    async def batch_load_fn(self, keys: list[str]) -> list[UserRow | None]:
        user = self._tables.user
        if user is None:
            return [None] * len(keys)
        ids = self._tables.user_ids(keys)
        # PostgreSQL takes half as long to find one id as to find a list of one
        wanted = _by_id(user)(id=ids[0]) if len(ids) == 1 else _by_ids(user)(ids=ids)
        records = await self._database.read(wanted)
        found = {record["id"]: UserRow.from_record(record) for record in records}
        return [found.get(key) for key in keys]


@lru_cache
def _by_id(user: sa.Table) -> Statement:
    return Statement(people(user).where(user.c.id == sa.bindparam("id", type_=user.c.id.type)))


@lru_cache
def _by_ids(user: sa.Table) -> Statement:
    ids = sa.bindparam("ids", type_=sa.ARRAY(user.c.id.type))
    return Statement(people(user).where(user.c.id == sa.any_(ids)))
