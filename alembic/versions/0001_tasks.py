"""The table of tasks, with rules for every writer and walls between users.

Revision 0001, after nothing. The models repeat the table as it is today; this file stays as it was that day.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None

SPACES = (
    r"\t\n\x0b\f\r\x1c\x1d\x1e\x1f \u0085\u00a0\u1680"
    r"\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)
"""What Python's `str.strip` takes away, so that the API and the database trim alike.

`\\x0b` and not `\\v`, which PostgreSQL before 16 reads as the letter v.
"""

RULES = rf"""
    CREATE FUNCTION tasks_keep_rules() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
    BEGIN
        NEW.title := btrim(NEW.title, E'{SPACES}');
        NEW.description := nullif(btrim(NEW.description, E'{SPACES}'), '');

        IF TG_OP = 'INSERT' THEN
            NEW.status := coalesce(NEW.status, 'pending');
            NEW.completed := coalesce(NEW.completed, false) OR NEW.status = 'completed';
            NEW.priority := coalesce(NEW.priority, 'medium');
            NEW.created_at := coalesce(NEW.created_at, now());
            NEW.updated_at := coalesce(NEW.updated_at, now());
            NEW.version := 1;
            IF NEW.completed THEN
                NEW.status := 'completed';
            END IF;
        ELSIF NEW.status <> OLD.status AND NEW.completed = OLD.completed THEN
            NEW.completed := NEW.status = 'completed';
        ELSIF NEW.completed <> OLD.completed AND NEW.status = OLD.status THEN
            NEW.status := CASE WHEN NEW.completed THEN 'completed' ELSE 'pending' END;
        END IF;

        -- OLD is null on INSERT
        NEW.completed_at := CASE WHEN NEW.completed THEN coalesce(NEW.completed_at, OLD.completed_at, now()) END;

        IF TG_OP = 'UPDATE' THEN
            IF (NEW.id, NEW.user_id, NEW.title, NEW.description, NEW.status, NEW.completed, NEW.priority,
                NEW.due_date, NEW.assigned_to, NEW.created_at, NEW.completed_at)
               IS DISTINCT FROM
               (OLD.id, OLD.user_id, OLD.title, OLD.description, OLD.status, OLD.completed, OLD.priority,
                OLD.due_date, OLD.assigned_to, OLD.created_at, OLD.completed_at)
            THEN
                NEW.version := OLD.version + 1;
                NEW.updated_at := now();
            ELSE
                NEW.version := OLD.version;
                NEW.updated_at := OLD.updated_at;
            END IF;
        END IF;
        RETURN NEW;
    END
    $$
"""

ME = "(SELECT nullif(current_setting('app.user_id', true), ''))"
"""The user that a connection acts for, null when there is none; as a subquery it is evaluated once a statement."""

MINE = f"coalesce({ME} IN (user_id, assigned_to), false)"
"""`coalesce` keeps the planner from guessing how few rows that leaves. Statements name the user too, so it leaves most;
a planner that expects five would rather sort everything that a user has than read one page in order."""

POLICIES = (
    "ALTER TABLE tasks ENABLE ROW LEVEL SECURITY",
    f"CREATE POLICY tasks_read ON tasks FOR SELECT USING ({MINE})",
    f"CREATE POLICY tasks_create ON tasks FOR INSERT WITH CHECK (user_id = {ME})",
    f"CREATE POLICY tasks_change ON tasks FOR UPDATE USING ({MINE})",
    f"CREATE POLICY tasks_delete ON tasks FOR DELETE USING (user_id = {ME})",
)


def upgrade() -> None:
    op.create_table(
        "tasks",
        sa.Column("id", sa.Uuid, primary_key=True, server_default=sa.func.gen_random_uuid()),
        sa.Column("user_id", sa.String(255), nullable=False),
        sa.Column("title", sa.String(255), nullable=False),
        sa.Column("description", sa.Text),
        sa.Column(
            "status",
            postgresql.ENUM("pending", "in_progress", "completed", name="task_status"),
            nullable=False,
            server_default="pending",
        ),
        sa.Column("completed", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column(
            "priority",
            postgresql.ENUM("low", "medium", "high", "urgent", name="task_priority"),
            nullable=False,
            server_default="medium",
        ),
        sa.Column("due_date", sa.DateTime(timezone=True)),
        sa.Column("assigned_to", sa.String(255)),
        sa.Column("version", sa.Integer, nullable=False, server_default="1"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("completed_at", sa.DateTime(timezone=True)),
        sa.Column(
            "words",
            postgresql.TSVECTOR,
            sa.Computed("to_tsvector('simple'::regconfig, title || ' ' || coalesce(description, ''))", persisted=True),
        ),
        sa.CheckConstraint("user_id <> ''", name="tasks_has_owner"),
        sa.CheckConstraint("char_length(title) BETWEEN 1 AND 255", name="tasks_title_length"),
        sa.CheckConstraint("char_length(description) BETWEEN 1 AND 1000", name="tasks_description_length"),
        sa.CheckConstraint(
            "'0002-01-01 00:00+00' <= least(due_date, created_at, updated_at, completed_at) "
            "AND greatest(due_date, created_at, updated_at, completed_at) < '9999-01-01 00:00+00'",
            name="tasks_times_in_bounds",
        ),
        sa.CheckConstraint("completed = (status = 'completed')", name="tasks_completed_is_status"),
        sa.CheckConstraint("completed = (completed_at IS NOT NULL)", name="tasks_completed_has_time"),
    )
    newest_first = (sa.desc("created_at"), sa.desc("id"))
    op.create_index("tasks_by_creation", "tasks", ["user_id", *newest_first])
    op.create_index("tasks_by_completion", "tasks", ["user_id", "completed", *newest_first])
    op.create_index(
        "tasks_by_due_date", "tasks", ["user_id", "due_date", "id"], postgresql_where=sa.text("NOT completed")
    )
    op.create_index(
        "tasks_by_assignee",
        "tasks",
        ["assigned_to", *newest_first],
        postgresql_where=sa.text("assigned_to IS NOT NULL"),
    )
    op.execute(RULES)
    op.execute(
        "CREATE TRIGGER tasks_keep_rules BEFORE INSERT OR UPDATE ON tasks "
        "FOR EACH ROW EXECUTE FUNCTION tasks_keep_rules()"
    )
    for statement in POLICIES:
        op.execute(statement)


def downgrade() -> None:
    op.drop_table("tasks")
    # what `migrate` hung on Better Auth's table where no foreign key was possible
    op.execute("DROP FUNCTION IF EXISTS tasks_follow_users() CASCADE")
    op.execute("DROP FUNCTION tasks_keep_rules()")
    op.execute("DROP TYPE task_status")
    op.execute("DROP TYPE task_priority")
