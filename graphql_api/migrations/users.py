"""The link from tasks to Better Auth's users, so that a deleted user's tasks go too."""

from __future__ import annotations

import asyncpg
import sqlalchemy as sa

from graphql_api.auth.tables import quoted

LINKED = "SELECT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = 'tasks'::regclass AND tgconstrrelid = $1::regclass)"
"""Keys are kept by triggers too, PostgreSQL's own, so that one question is enough."""

UNLINK = """
    ALTER TABLE tasks
        DROP CONSTRAINT IF EXISTS tasks_user_id_fkey,
        DROP CONSTRAINT IF EXISTS tasks_assigned_to_fkey;
    DROP TRIGGER IF EXISTS tasks_have_users ON tasks
"""

KEYS = """
    ALTER TABLE tasks
        ADD CONSTRAINT tasks_user_id_fkey
            FOREIGN KEY (user_id) REFERENCES {users} ({id}) ON DELETE CASCADE NOT VALID,
        ADD CONSTRAINT tasks_assigned_to_fkey
            FOREIGN KEY (assigned_to) REFERENCES {users} ({id}) ON DELETE SET NULL NOT VALID
"""

FOLLOW = """
    CREATE OR REPLACE FUNCTION tasks_follow_users() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    BEGIN
        DELETE FROM {schema}.tasks WHERE user_id = OLD.{id}::text;
        UPDATE {schema}.tasks SET assigned_to = NULL WHERE assigned_to = OLD.{id}::text;
        RETURN NULL;
    END
    $$;
    CREATE OR REPLACE FUNCTION tasks_have_users() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    #variable_conflict use_variable -- users may have columns of any name
    DECLARE
        name text;
        person text;
        key {users}.{id}%TYPE;
    BEGIN
        FOREACH name IN ARRAY ARRAY['user_id', 'assigned_to'] LOOP
            -- null for nobody, and for whom the task had before
            person := CASE name
                WHEN 'user_id' THEN nullif(NEW.user_id, OLD.user_id) ELSE nullif(NEW.assigned_to, OLD.assigned_to)
            END;
            CONTINUE WHEN person IS NULL;
            BEGIN
                key := person;
            EXCEPTION WHEN data_exception THEN
                key := NULL; -- what the column cannot hold is nobody's id
            END;
            -- As a key does, it waits for whoever is deleting the user, and holds up whoever would until the commit.
            -- An id may be spelt in other ways, but then tasks_follow_users would not find the task.
            PERFORM FROM {users} u WHERE u.{id} = key AND u.{id}::text = person FOR KEY SHARE;
            IF NOT FOUND THEN
                RAISE foreign_key_violation USING
                    MESSAGE = format('tasks.%s is %L, which is no id of a user', name, person),
                    CONSTRAINT = format('tasks_%s_fkey', name);
            END IF;
        END LOOP;
        RETURN NULL;
    END
    $$;
    -- else anybody could hang them on a table of their own, and delete or ask through it
    REVOKE EXECUTE ON FUNCTION tasks_follow_users(), tasks_have_users() FROM PUBLIC;
    SELECT FROM {users} LIMIT 0 FOR KEY SHARE; -- who may not is told now, and not with every task
    CREATE OR REPLACE TRIGGER tasks_follow_users AFTER DELETE ON {users}
        FOR EACH ROW EXECUTE FUNCTION tasks_follow_users();
    -- FROM makes it go when the table of users goes
    CREATE CONSTRAINT TRIGGER tasks_have_users AFTER INSERT OR UPDATE OF user_id, assigned_to ON tasks
        FROM {users} FOR EACH ROW EXECUTE FUNCTION tasks_have_users()
"""
"""What keys would do, where there can be none: tasks go with their users, and come with users only."""

UNCHECKED = """
    SELECT c.conname AS key, a.attname AS column
    FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
    WHERE c.conrelid = 'tasks'::regclass AND c.contype = 'f' AND NOT c.convalidated
"""


async def link(driver: asyncpg.Connection, user: sa.Table | None) -> list[str]:
    """Let tasks go with their owner, and assignments with the assignee: by foreign keys, or by triggers."""
    if user is None:
        return ["Better Auth's user table is not here, so tasks are not linked to it. Run it again when it is."]
    users = quoted(user)
    names = {
        "users": users,
        "id": quoted(user.c.id),
        "schema": await driver.fetchval(
            "SELECT relnamespace::regnamespace::text FROM pg_class WHERE oid = 'tasks'::regclass"
        ),
    }
    try:
        async with driver.transaction():
            if await driver.fetchval(LINKED, users):
                return []
            await driver.execute(UNLINK)
            try:
                async with driver.transaction():
                    await driver.execute(KEYS.format(**names))
            except asyncpg.DatatypeMismatchError:  # uuid or integer there, text here
                await driver.execute(FOLLOW.format(**names))
    except (asyncpg.InsufficientPrivilegeError, asyncpg.InvalidForeignKeyError, asyncpg.WrongObjectTypeError) as error:
        return [f"Could not link tasks to {users} ({error}): the tasks of a deleted user stay."]
    return [f"Linked tasks to {users}: they are deleted with their owner."]


async def check_keys(driver: asyncpg.Connection, user: sa.Table) -> list[str]:
    """Check the rows that were there before the keys; those without a user stay, and new ones are refused."""
    lines = []
    for key, column in await driver.fetch(UNCHECKED):
        try:
            async with driver.transaction():
                await driver.execute(f"ALTER TABLE tasks VALIDATE CONSTRAINT {key}")
        except asyncpg.ForeignKeyViolationError:
            orphans = await driver.fetchval(
                f"SELECT count(*) FROM tasks WHERE {column} IS NOT NULL "  # noqa: S608  # names, from the catalogue
                f"AND NOT EXISTS (SELECT FROM {quoted(user)} u WHERE u.{quoted(user.c.id)} = tasks.{column})"
            )
            lines.append(f"{orphans} tasks have a {column} that is no user's. They stay as they are.")
    return lines
