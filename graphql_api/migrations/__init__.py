"""Bringing a database to the shape that this code expects, and telling whether it has it.

Every `migrate` does four things, each harmless when it is done already: Alembic's revisions make the tables; the role
`graphql_api`, under which the server acts, gets the few grants that it needs; tasks are linked to Better Auth's users;
the log of events gets the partitions of the months to come, which is all that `maintain` does.
"""

from graphql_api.migrations.commands import downgrade, maintain, transaction, upgrade
from graphql_api.migrations.readiness import unreadable, verdict
from graphql_api.migrations.revisions import VERSION_TABLE, current, head, revisions

__all__ = [
    "VERSION_TABLE",
    "current",
    "downgrade",
    "head",
    "maintain",
    "revisions",
    "transaction",
    "unreadable",
    "upgrade",
    "verdict",
]
