"""A change is dated when it is made, not when its transaction began.

Revision 0004, after 0003. A transaction that began earlier may change a task later: by its beginning, `updated_at` went
back while `version` grew, and whoever asked for what had changed since the last time missed it.
"""

from alembic import op

revision = "0004"
down_revision = "0003"

SPACES = (
    r"\t\n\x0b\f\r\x1c\x1d\x1e\x1f \u0085\u00a0\u1680"
    r"\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)
"""What Python's `str.strip` takes away, as in revision 0001."""

RULES = rf"""
    CREATE OR REPLACE FUNCTION tasks_keep_rules() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
    DECLARE
        -- The times of a new task are equal, and now() by default. An old task is locked by this moment:
        -- what changed it before has earlier times.
        moment timestamptz := CASE TG_OP WHEN 'INSERT' THEN now() ELSE {{time_of_change}} END;
    BEGIN
        NEW.title := btrim(NEW.title, E'{SPACES}');
        NEW.description := nullif(btrim(NEW.description, E'{SPACES}'), '');

        IF TG_OP = 'INSERT' THEN
            NEW.status := coalesce(NEW.status, 'pending');
            NEW.completed := coalesce(NEW.completed, false) OR NEW.status = 'completed';
            NEW.priority := coalesce(NEW.priority, 'medium');
            NEW.created_at := coalesce(NEW.created_at, moment);
            NEW.updated_at := coalesce(NEW.updated_at, moment);
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
        NEW.completed_at := CASE WHEN NEW.completed THEN coalesce(NEW.completed_at, OLD.completed_at, moment) END;

        IF TG_OP = 'UPDATE' THEN
            IF (NEW.id, NEW.user_id, NEW.title, NEW.description, NEW.status, NEW.completed, NEW.priority,
                NEW.due_date, NEW.assigned_to, NEW.created_at, NEW.completed_at)
               IS DISTINCT FROM
               (OLD.id, OLD.user_id, OLD.title, OLD.description, OLD.status, OLD.completed, OLD.priority,
                OLD.due_date, OLD.assigned_to, OLD.created_at, OLD.completed_at)
            THEN
                NEW.version := OLD.version + 1;
                NEW.updated_at := moment;
            ELSE
                NEW.version := OLD.version;
                NEW.updated_at := OLD.updated_at;
            END IF;
        END IF;
        RETURN NEW;
    END
    $$
"""


def upgrade() -> None:
    op.execute(RULES.replace("{time_of_change}", "clock_timestamp()"))


def downgrade() -> None:
    # what `migrate` hangs on tasks since then, where no foreign key is possible
    op.execute("DROP FUNCTION IF EXISTS tasks_have_users() CASCADE")
    op.execute(RULES.replace("{time_of_change}", "now()"))
