"""The log of events: every change to a task, for each person who may see it.

Revision 0002, after 0001. What the log promises stands in `graphql_api/tasks/log.py`; this is how the database keeps
it, for every writer. Three settings of a transaction carry it, so that savepoints take back what is rolled back:
`task_events.locks` are the locks that will be needed, `task_events.since` is a number drawn under them, before all
events of the transaction, and `task_events.restored` are the tasks that come back from the log.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"

LOCK_SPACE = 1_952_541_035
"""The first key of the advisory locks; any number that nobody else uses."""

GATHER = """
    -- Which locks the transaction will need when it commits, as a list of numbers: 256 locks for all people, because
    -- PostgreSQL has room for few thousands. A savepoint that is rolled back takes its numbers with it.
    CREATE FUNCTION task_events_gather() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        gathered text := coalesce(current_setting('task_events.locks', true), '');
        person text;
        lock text;
    BEGIN
        FOREACH person IN ARRAY ARRAY[NEW.user_id, OLD.user_id, NEW.assigned_to, OLD.assigned_to] LOOP
            lock := ' ' || (hashtext(person) & 255) || ' '; -- null for nobody
            IF strpos(gathered, lock) = 0 THEN
                gathered := set_config('task_events.locks', gathered || lock, true);
            END IF;
        END LOOP;
        RETURN NULL;
    END
    $$
"""

WRITE = """
    -- An assignment evaluates a function at once, where PERFORM would start a query for it: hence `done`.
    CREATE FUNCTION task_events_write() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
    DECLARE
        gathered text := coalesce(current_setting('task_events.locks', true), '');
        locks text[];
        lock text;
        people text[];
        person text;
        old_task jsonb := to_jsonb(OLD) - 'words'; -- null on INSERT
        new_task jsonb := to_jsonb(NEW) - 'words'; -- null on DELETE
        old_values jsonb;
        new_values jsonb;
        same text[];
        done text;
    BEGIN
        -- the first event of the transaction, even where RESET ALL has made it forget what was gathered
        IF gathered <> '' OR coalesce(current_setting('task_events.since', true), '') = '' THEN
            locks := string_to_array(btrim(gathered), '  ');
            IF cardinality(locks) > 1 THEN
                locks := ARRAY(SELECT unnest(locks) ORDER BY 1);
            END IF;
            FOREACH lock IN ARRAY locks LOOP
                done := pg_advisory_xact_lock({lock_space}, lock::int);
            END LOOP;
            done := set_config('task_events.locks', '', true);
            done := set_config('task_events.since', nextval('{schema}.task_events_cursor')::text, true);
        END IF;

        IF TG_OP = 'UPDATE' THEN
            same := ARRAY(SELECT key FROM jsonb_each(new_task) WHERE value = old_task -> key);
            old_values := old_task - same;
            new_values := new_task - same;
        END IF;

        FOREACH person IN ARRAY ARRAY[NEW.user_id, OLD.user_id, NEW.assigned_to, OLD.assigned_to] LOOP
            CONTINUE WHEN person IS NULL OR person = ANY (people);
            people := people || person;
            -- rule 3 of the log, whatever was gathered
            done := pg_advisory_xact_lock({lock_space}, hashtext(person) & 255);
            INSERT INTO {schema}.task_events (user_id, cursor, task_id, kind, before, after, actor_id, created_at)
            VALUES (
                person,
                nextval('{schema}.task_events_cursor'),
                coalesce(NEW.id, OLD.id),
                CASE
                    WHEN TG_OP = 'UPDATE' THEN 'updated'
                    WHEN TG_OP = 'DELETE' THEN 'deleted'
                    WHEN strpos(current_setting('task_events.restored', true), NEW.id::text) > 0 THEN 'restored'
                    ELSE 'created'
                END::{schema}.task_event_kind,
                CASE
                    WHEN person IN (OLD.user_id, OLD.assigned_to)
                    THEN CASE WHEN person IN (NEW.user_id, NEW.assigned_to) THEN old_values ELSE old_task END
                END,
                CASE
                    WHEN person IN (NEW.user_id, NEW.assigned_to)
                    THEN CASE WHEN person IN (OLD.user_id, OLD.assigned_to) THEN new_values ELSE new_task END
                END,
                nullif(current_setting('app.user_id', true), ''),
                clock_timestamp()
            );
            done := pg_notify('task_events', current_setting('task_events.since') || ' ' || person);
        END LOOP;
        RETURN NULL;
    END
    $$
"""

TRUNCATED = """
    -- TRUNCATE has waited for all writers and lets none begin, so that it needs no other lock.
    CREATE FUNCTION task_events_write_truncated() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
    DECLARE
        since bigint := nextval('{schema}.task_events_cursor');
    BEGIN
        INSERT INTO {schema}.task_events (user_id, cursor, task_id, kind, before, actor_id, created_at)
        SELECT person, nextval('{schema}.task_events_cursor'), task.id, 'deleted', to_jsonb(task) - 'words',
            nullif(current_setting('app.user_id', true), ''), clock_timestamp()
        FROM {schema}.tasks task, unnest(ARRAY[user_id, nullif(assigned_to, user_id)]) person WHERE person IS NOT NULL;
        PERFORM pg_notify('task_events', since || ' ' || person)
        FROM (SELECT user_id AS person FROM {schema}.tasks UNION SELECT assigned_to FROM {schema}.tasks) people
        WHERE person IS NOT NULL;
        RETURN NULL;
    END
    $$
"""

RESTORE = """
    -- The task as its owner deleted it, but for the assignee, who may be gone; no row when there is nothing to restore.
    -- With the rights of the owner of the tables, because nobody else may set versions and times.
    CREATE FUNCTION task_events_restore(viewer text, task uuid, assignee text) RETURNS SETOF {schema}.tasks
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
    DECLARE
        last {schema}.task_events;
    BEGIN
        SELECT * INTO last FROM {schema}.task_events e
        WHERE e.user_id = viewer AND e.user_id = current_setting('app.user_id', true) AND e.task_id = task
        ORDER BY e.cursor DESC LIMIT 1;
        IF last.kind = 'deleted' AND last.before ->> 'user_id' = viewer THEN
            PERFORM set_config(
                'task_events.restored', concat(current_setting('task_events.restored', true), task), true
            );
            RETURN QUERY
            INSERT INTO {schema}.tasks (id, user_id, title, description, status, completed, priority, due_date,
                assigned_to, version, created_at, updated_at, completed_at)
            SELECT id, user_id, title, description, status, completed, priority, due_date,
                assignee, version, created_at, updated_at, completed_at
            FROM jsonb_populate_record(NULL::{schema}.tasks, last.before)
            ON CONFLICT DO NOTHING RETURNING *;
        END IF;
    END
    $$
"""

NOT_RESTORED = "coalesce(strpos(current_setting('task_events.restored', true), NEW.id::text), 0) = 0"

TRIGGERS = (
    # each of these with the rights of the owner of the tables: nobody may hang them on a table of their own
    "REVOKE EXECUTE ON FUNCTION task_events_write(), task_events_write_truncated() FROM PUBLIC",
    "REVOKE EXECUTE ON FUNCTION task_events_restore(text, uuid, text) FROM PUBLIC",
    # what changes nothing leaves the version as it is
    "CREATE TRIGGER tasks_gather AFTER INSERT OR DELETE ON tasks FOR EACH ROW EXECUTE FUNCTION task_events_gather()",
    "CREATE TRIGGER tasks_gather_updates AFTER UPDATE ON tasks FOR EACH ROW "
    "WHEN (NEW.version <> OLD.version) EXECUTE FUNCTION task_events_gather()",
    "CREATE CONSTRAINT TRIGGER tasks_log AFTER INSERT OR DELETE ON tasks DEFERRABLE INITIALLY DEFERRED "
    "FOR EACH ROW EXECUTE FUNCTION task_events_write()",
    "CREATE CONSTRAINT TRIGGER tasks_log_updates AFTER UPDATE ON tasks DEFERRABLE INITIALLY DEFERRED "
    "FOR EACH ROW WHEN (NEW.version <> OLD.version) EXECUTE FUNCTION task_events_write()",
    "CREATE TRIGGER tasks_log_truncated BEFORE TRUNCATE ON tasks EXECUTE FUNCTION task_events_write_truncated()",
    # a restored task has kept the rules already, and comes back with its own version and times
    "DROP TRIGGER tasks_keep_rules ON tasks",
    "CREATE TRIGGER tasks_keep_rules BEFORE UPDATE ON tasks FOR EACH ROW EXECUTE FUNCTION tasks_keep_rules()",
    "CREATE TRIGGER tasks_keep_rules_when_new BEFORE INSERT ON tasks "
    f"FOR EACH ROW WHEN ({NOT_RESTORED}) EXECUTE FUNCTION tasks_keep_rules()",
)

POLICIES = (
    "ALTER TABLE task_events ENABLE ROW LEVEL SECURITY",
    # with no policy: a partition is read through its parent or not at all, whatever a host grants to everybody
    "ALTER TABLE task_events_default ENABLE ROW LEVEL SECURITY",
    "CREATE POLICY task_events_read ON task_events FOR SELECT "
    "USING (user_id = (SELECT nullif(current_setting('app.user_id', true), '')))",
)


def upgrade() -> None:
    op.execute("CREATE SEQUENCE task_events_cursor")
    op.create_table(
        "task_events",
        sa.Column("user_id", sa.String(255), nullable=False),
        sa.Column("cursor", sa.BigInteger, nullable=False),
        sa.Column("task_id", sa.Uuid, nullable=False),
        sa.Column(
            "kind",
            postgresql.ENUM("created", "updated", "deleted", "restored", name="task_event_kind"),
            nullable=False,
        ),
        sa.Column("before", postgresql.JSONB),
        sa.Column("after", postgresql.JSONB),
        sa.Column("actor_id", sa.String(255)),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "cursor", "created_at"),
        postgresql_partition_by="RANGE (created_at)",
    )
    op.create_index("task_events_by_task", "task_events", ["user_id", "task_id", "cursor"])
    op.execute("CREATE TABLE task_events_default PARTITION OF task_events DEFAULT")
    # the last cursor that was dropped with an old partition
    op.create_table("task_events_horizon", sa.Column("cursor", sa.BigInteger, nullable=False))
    op.execute("INSERT INTO task_events_horizon VALUES (0)")

    schema = op.get_bind().scalar(sa.text("SELECT quote_ident(current_schema())"))
    op.execute(GATHER)
    for function in (WRITE, TRUNCATED, RESTORE):
        op.execute(function.replace("{schema}", schema).replace("{lock_space}", str(LOCK_SPACE)))
    for statement in (*TRIGGERS, *POLICIES):
        op.execute(statement)


def downgrade() -> None:
    for trigger in ("gather", "gather_updates", "log", "log_updates", "log_truncated", "keep_rules_when_new"):
        op.execute(f"DROP TRIGGER tasks_{trigger} ON tasks")
    op.execute("DROP TRIGGER tasks_keep_rules ON tasks")
    op.execute(
        "CREATE TRIGGER tasks_keep_rules BEFORE INSERT OR UPDATE ON tasks "
        "FOR EACH ROW EXECUTE FUNCTION tasks_keep_rules()"
    )
    for function in ("restore(text, uuid, text)", "write_truncated()", "write()", "gather()"):
        op.execute(f"DROP FUNCTION task_events_{function}")
    op.drop_table("task_events_horizon")
    op.drop_table("task_events")
    op.execute("DROP SEQUENCE task_events_cursor")
    op.execute("DROP TYPE task_event_kind")
