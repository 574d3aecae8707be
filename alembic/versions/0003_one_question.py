"""The policies of tasks ask once who the user is.

Revision 0003, after 0002. The same people see the same tasks as before; PostgreSQL has a little less to do.
"""

from alembic import op

revision = "0003"
down_revision = "0002"

ME = "(SELECT nullif(current_setting('app.user_id', true), ''))"
"""The user that a connection acts for, null when there is none; as a subquery it is evaluated once a statement."""

MINE = f"CASE {ME} WHEN user_id THEN true WHEN assigned_to THEN true ELSE false END"
"""IN would stand for two comparisons, each with a subquery of its own. Like `coalesce` in revision 0001, CASE keeps the
planner from guessing."""

MINE_BEFORE = f"coalesce({ME} IN (user_id, assigned_to), false)"


def upgrade() -> None:
    for policy in ("tasks_read", "tasks_change"):
        op.execute(f"ALTER POLICY {policy} ON tasks USING ({MINE})")


def downgrade() -> None:
    for policy in ("tasks_read", "tasks_change"):
        op.execute(f"ALTER POLICY {policy} ON tasks USING ({MINE_BEFORE})")
