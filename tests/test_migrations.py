"""What `migrate` does to a database, and what it says of one."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from graphql_api import migrations
from graphql_api.app import inspect
from graphql_api.dev import better_auth, postgres
from graphql_api.migrations import commands, readiness
from graphql_api.migrations.revisions import PROJECT
from graphql_api.settings import ConfigurationError, Settings
from graphql_api.tasks.models import TaskRow
from tests.client import settings
from tests.conftest import execute, new_database, until_somebody_waits
from tests.layouts import LAYOUTS, Layout

SHAPE = """
    SELECT 'column', attrelid::regclass || '.' || attname, format_type(atttypid, atttypmod),
        attnotnull::text, attgenerated::text, pg_get_expr(adbin, adrelid)
    FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE attrelid IN ('tasks'::regclass, 'task_events'::regclass, 'task_events_horizon'::regclass) AND attnum > 0
    UNION ALL
    SELECT 'constraint', conname, pg_get_constraintdef(oid), convalidated::text, null, null
    FROM pg_constraint WHERE conrelid IN ('tasks'::regclass, 'task_events'::regclass) AND contype <> 't'
    UNION ALL
    SELECT 'index', indexname, indexdef, null, null, null FROM pg_indexes
    WHERE tablename IN ('tasks', 'task_events')
    UNION ALL
    SELECT 'enum', typname, string_agg(enumlabel, ', ' ORDER BY enumsortorder), null, null, null
    FROM pg_enum JOIN pg_type t ON t.oid = enumtypid GROUP BY typname
    ORDER BY 1, 2
"""

LEFT_BEHIND = """
    SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace
    UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    UNION ALL SELECT typname FROM pg_type WHERE typnamespace = 'public'::regnamespace
    UNION ALL SELECT tgname FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL SELECT conname FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    UNION ALL SELECT attname || ' ' || attacl::text FROM pg_attribute WHERE attacl IS NOT NULL AND attrelid > 16384
    ORDER BY 1
"""


@asynccontextmanager
async def connected(url: str, **options: Any) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url, **options)
    try:
        yield connection
    finally:
        await connection.close()


async def fetch(url: str, query: str) -> list[tuple[Any, ...]]:
    async with connected(url) as connection:
        return [tuple(row) for row in await connection.fetch(query)]


@pytest.fixture
def server() -> Iterator[str]:
    """The URL of a PostgreSQL of its own: roles belong to all databases of a server."""
    with tempfile.TemporaryDirectory() as folder, postgres.running(Path(folder) / "data") as url:
        yield url


@pytest.fixture(params=LAYOUTS)
def layout(request: pytest.FixtureRequest) -> Layout:
    return LAYOUTS[request.param]


# ---------------------------------------------------------------- revisions


def test_history_is_one_line_of_numbered_files() -> None:
    history = ScriptDirectory.from_config(Config(toml_file=PROJECT / "pyproject.toml"))
    assert history.get_heads() == [migrations.head()]
    assert [script.revision for script in history.walk_revisions()] == migrations.revisions()[::-1]


async def test_going_up_says_what_it_did_and_the_second_time_that_there_was_nothing_to_do(empty_database: str) -> None:
    settings = Settings(database_url=empty_database, link_users=False)
    done = await migrations.upgrade(settings)
    upgraded = [line.split(":")[0] for line in done if not line.startswith("Made task_events_")]
    assert upgraded == [f"Upgraded {revision}" for revision in migrations.revisions()]
    assert await migrations.upgrade(settings) == ["The database was up to date."]


async def test_models_are_what_the_migrations_make(empty_database: str) -> None:
    settings = Settings(database_url=empty_database)
    await migrations.upgrade(settings)
    migrated = await fetch(empty_database, SHAPE)
    await migrations.downgrade(settings, "base")
    async with migrations.transaction(settings) as connection:
        await connection.run_sync(TaskRow.metadata.create_all)
    assert migrated == await fetch(empty_database, SHAPE)


async def test_alembic_sees_nothing_to_generate_beside_better_auth_and_its_link(database_url: str) -> None:
    def check(connection: Any) -> None:
        command.check(Config(toml_file=PROJECT / "pyproject.toml", attributes={"connection": connection}))

    async with migrations.transaction(Settings(database_url=database_url)) as connection:
        await connection.run_sync(check)


async def test_going_down_leaves_nothing_and_going_up_again_makes_the_same(empty_database: str, layout: Layout) -> None:
    settings = Settings(database_url=empty_database, **layout.settings)
    await execute(empty_database, layout.tables)
    before = await fetch(empty_database, LEFT_BEHIND)
    await migrations.upgrade(settings)
    shape = await fetch(empty_database, SHAPE)
    await migrations.downgrade(settings, "base")
    assert await fetch(empty_database, LEFT_BEHIND) == before
    await migrations.upgrade(settings)
    assert await fetch(empty_database, SHAPE) == shape


THEIRS = "CREATE TABLE alembic_version (version_num text CONSTRAINT alembic_version_pkc PRIMARY KEY)"


@pytest.mark.parametrize("revision", ["0001", "ae1027a6acf"])
async def test_another_projects_alembic_keeps_its_version_in_the_same_schema(
    empty_database: str, revision: str
) -> None:
    options = settings(empty_database)
    await execute(empty_database, THEIRS, f"INSERT INTO alembic_version VALUES ('{revision}')")
    await migrations.upgrade(options)
    await inspect(options)
    await migrations.downgrade(options, "base")
    assert await fetch(empty_database, "SELECT version_num FROM alembic_version") == [(revision,)]


async def test_a_version_that_stands_where_older_versions_noted_it_is_moved(database_url: str) -> None:
    options = settings(database_url)
    await execute(
        database_url,
        "ALTER TABLE graphql_api_version RENAME TO alembic_version",
        "ALTER TABLE alembic_version RENAME CONSTRAINT graphql_api_version_pkc TO alembic_version_pkc",
    )
    assert await migrations.upgrade(options) == ["The database was up to date."]
    await inspect(options)
    await execute(database_url, THEIRS)
    assert await migrations.upgrade(options) == ["The database was up to date."]


async def test_a_version_that_is_lost_is_told(database_url: str) -> None:
    await execute(database_url, "DROP TABLE graphql_api_version")
    with pytest.raises(ConfigurationError, match=r"as it stands .* already exists\)"):
        await migrations.upgrade(settings(database_url))


async def test_two_starters_at_once_migrate_once(empty_database: str) -> None:
    settings = Settings(database_url=empty_database, link_users=False)
    first, second = sorted(await asyncio.gather(migrations.upgrade(settings), migrations.upgrade(settings)))
    assert first == ["The database was up to date."]
    assert sum(line.startswith("Upgraded") for line in second) == len(migrations.revisions())


@pytest.mark.parametrize("bound", ["statement_timeout", "lock_timeout", "transaction_timeout"])
async def test_it_may_take_longer_than_its_user_otherwise_may(empty_database: str, bound: str) -> None:
    async with connected(empty_database) as other:
        await other.execute(f"BEGIN; SELECT pg_advisory_xact_lock({commands.ADVISORY_LOCK})")
        settings = Settings(database_url=f"{empty_database}&{bound}=1000")
        migration = asyncio.create_task(migrations.upgrade(settings))
        await until_somebody_waits(other)
        await other.execute("SELECT pg_sleep(1.5); COMMIT")
    assert "Upgraded" in (await migration)[0]


async def test_it_leaves_nothing_on_the_connection_of_a_pooler(
    empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = []

    class Watched(asyncpg.Connection):
        async def close(self, **options: Any) -> None:
            left.append(await self.fetchval("SELECT count(*) FROM pg_prepared_statements"))
            await super().close(**options)

    monkeypatch.setattr(asyncpg, "connect", partial(asyncpg.connect, connection_class=Watched))
    settings = Settings(database_url=empty_database, link_users=False)
    await migrations.upgrade(settings)
    await migrations.maintain(settings)
    await migrations.downgrade(settings, "base")
    assert left == [0, 0, 0]


@pytest.mark.parametrize("variable", ["DATABASE_URL", "DATABASE_URL_DIRECT"])
@pytest.mark.parametrize("work", [migrations.upgrade, migrations.maintain])
async def test_a_database_that_cannot_be_reached_is_told_with_its_variable(
    empty_database: str, work: Callable[[Settings], Awaitable[list[str]]], variable: str
) -> None:
    urls = {"database_url": empty_database} | {variable.lower(): empty_database.replace("/test_", "/no_")}
    with pytest.raises(ConfigurationError, match=f'^{variable}: no connection to the database: .*"no_.*does not exist'):
        await work(Settings(**urls))


@pytest.mark.parametrize("thing", ["TABLE tasks ()", "TYPE task_status AS ENUM ()"])
async def test_what_stands_in_the_way_is_told_and_left_alone(empty_database: str, thing: str) -> None:
    await execute(empty_database, f"CREATE {thing}")
    before = await fetch(empty_database, LEFT_BEHIND)
    with pytest.raises(ConfigurationError, match=r"\"task\w+\" already exists.*; what was begun is undone"):
        await migrations.upgrade(Settings(database_url=empty_database))
    assert await fetch(empty_database, LEFT_BEHIND) == before


@pytest.mark.parametrize(
    ("option", "reason"),
    [("search_path=nowhere", "no schema"), ("default_transaction_read_only=on", "in a read-only transaction")],
)
async def test_a_database_that_takes_no_tables_is_told_in_a_sentence(
    empty_database: str, option: str, reason: str
) -> None:
    with pytest.raises(ConfigurationError, match=rf"does not allow it as it stands \(.*{reason}.*\); what was begun"):
        await migrations.upgrade(Settings(database_url=f"{empty_database}&{option}"))


async def test_it_gives_up_rather_than_queue_behind_a_long_transaction(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "LOCK_TIMEOUT", "50ms")
    async with connected(database_url) as other:
        await other.execute("BEGIN; LOCK TABLE tasks")
        with pytest.raises(ConfigurationError, match="in use by a long transaction; what was begun is undone"):
            await migrations.downgrade(Settings(database_url=database_url), "base")


# ---------------------------------------------------------------- link


async def test_tasks_go_with_their_owner_and_assignments_with_the_assignee(empty_database: str, layout: Layout) -> None:
    await execute(empty_database, layout.tables, layout.people)
    settings = Settings(database_url=empty_database, **layout.settings)
    assert f"Linked tasks to {layout.user if '.' in layout.user else 'public.' + layout.user}" in str(
        await migrations.upgrade(settings)
    )
    ada, bob = layout.ids
    await execute(
        empty_database,
        f"INSERT INTO tasks (user_id, title, assigned_to) VALUES ('{ada}', 'hers', '{bob}'), ('{bob}', 'his', '{ada}')",
        f"DELETE FROM {layout.user} WHERE id = '{ada}'",
    )
    assert await fetch(empty_database, "SELECT title, assigned_to, version FROM tasks") == [("his", None, 2)]


async def test_who_is_no_user_gets_no_task(empty_database: str, layout: Layout) -> None:
    ada, bob = layout.ids
    await execute(empty_database, layout.tables, layout.people)
    await migrations.upgrade(Settings(database_url=empty_database, **layout.settings))
    insert = "INSERT INTO tasks (user_id, title, assigned_to) VALUES ('{}', 'x', '{}')"
    async with connected(empty_database) as connection:
        await connection.execute(insert.format(ada, bob))
        for nobody in ("nobody", "3", f"0{ada}", "2147483648", f"{{{ada}}}", "00000000-0000-4000-8000-000000000000"):
            for key, statement in (
                ("tasks_user_id_fkey", insert.format(nobody, bob)),
                ("tasks_user_id_fkey", f"UPDATE tasks SET user_id = '{nobody}'"),
                ("tasks_assigned_to_fkey", insert.format(ada, nobody)),
                ("tasks_assigned_to_fkey", f"UPDATE tasks SET assigned_to = '{nobody}'"),
            ):
                with pytest.raises(asyncpg.ForeignKeyViolationError) as refused:
                    await connection.execute(statement)
                assert refused.value.constraint_name == key


async def test_a_task_that_comes_while_its_owner_goes_is_refused(empty_database: str, layout: Layout) -> None:
    await execute(empty_database, layout.tables, layout.people)
    await migrations.upgrade(Settings(database_url=empty_database, **layout.settings))
    async with connected(empty_database) as other, other.transaction():
        await other.execute(f"DELETE FROM {layout.user} WHERE id = '{layout.ids[0]}'")
        coming = asyncio.create_task(
            execute(empty_database, f"INSERT INTO tasks (user_id, title) VALUES ('{layout.ids[0]}', 'x')")
        )
        await asyncio.wait_for(until_somebody_waits(other), 30)
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await coming


async def test_an_owner_who_goes_while_a_task_comes_takes_it_along(empty_database: str, layout: Layout) -> None:
    await execute(empty_database, layout.tables, layout.people)
    await migrations.upgrade(Settings(database_url=empty_database, **layout.settings))
    async with connected(empty_database) as other, other.transaction():
        await other.execute(f"INSERT INTO tasks (user_id, title) VALUES ('{layout.ids[0]}', 'x')")
        await execute(empty_database, f"UPDATE {layout.user} SET name = 'Ada'")  # waits for nobody
        going = asyncio.create_task(execute(empty_database, f"DELETE FROM {layout.user} WHERE id = '{layout.ids[0]}'"))
        await asyncio.wait_for(until_somebody_waits(other), 30)
    await going
    assert await fetch(empty_database, "SELECT title FROM tasks") == []


async def test_what_an_older_version_linked_is_linked_anew(empty_database: str) -> None:
    """It had one of the two triggers, so that users who were gone could still get tasks."""
    layout, settings = LAYOUTS["uuid ids"], Settings(database_url=empty_database)
    await execute(empty_database, layout.tables, layout.people)
    await migrations.upgrade(settings)
    await migrations.downgrade(settings, "0003")
    await execute(empty_database, f"INSERT INTO tasks (user_id, title) VALUES ('{layout.ids[0]}', 'a'), ('gone', 'b')")
    done = await migrations.upgrade(settings)
    assert 'Linked tasks to public."user": they are deleted with their owner.' in done
    assert await migrations.upgrade(settings) == ["The database was up to date."]
    await execute(empty_database, "UPDATE tasks SET title = title || '!'")
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await execute(empty_database, "INSERT INTO tasks (user_id, title) VALUES ('gone', 'c')")


async def test_the_link_goes_with_the_users_and_comes_again_with_others(empty_database: str) -> None:
    settings = Settings(database_url=empty_database)
    insert = "INSERT INTO tasks (user_id, title) VALUES ('{}', 'x')"
    for layout in (LAYOUTS[name] for name in ("uuid ids", "camelCase, text ids", "serial ids")):
        await execute(empty_database, layout.tables, layout.people)
        await migrations.upgrade(settings)
        await execute(empty_database, insert.format(layout.ids[0]))
        with pytest.raises(asyncpg.ForeignKeyViolationError):
            await execute(empty_database, insert.format("nobody"))
        await execute(empty_database, 'DROP TABLE "user", session, account, verification, jwks CASCADE')
        await execute(empty_database, insert.format("nobody"), "DELETE FROM tasks")


async def test_users_of_another_table_take_the_link_over(empty_database: str) -> None:
    uuid, text = LAYOUTS["uuid ids"], LAYOUTS["another schema"]
    await execute(empty_database, uuid.tables, uuid.people, text.tables, text.people)
    for layout in (uuid, text, uuid):
        await migrations.upgrade(Settings(database_url=empty_database, **layout.settings))
        await execute(empty_database, f"INSERT INTO tasks (user_id, title) VALUES ('{layout.ids[0]}', 'x')")


@pytest.mark.parametrize("function", ["tasks_follow_users", "tasks_have_users"])
async def test_nobody_else_can_use_the_functions_of_the_triggers(empty_database: str, function: str) -> None:
    await execute(empty_database, LAYOUTS["uuid ids"].tables)
    await migrations.upgrade(Settings(database_url=empty_database))
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match=f"function {function}"):
        await execute(
            empty_database,
            "SET ROLE graphql_api; CREATE TEMP TABLE mine (id text); "
            f"CREATE TRIGGER mine AFTER DELETE ON mine FOR EACH ROW EXECUTE FUNCTION {function}()",
        )


async def test_tasks_without_a_user_stay_and_are_counted(empty_database: str) -> None:
    layout = LAYOUTS["camelCase, text ids"]
    await execute(empty_database, layout.tables, layout.people)
    await migrations.upgrade(Settings(database_url=empty_database, link_users=False))
    await execute(
        empty_database,
        "INSERT INTO tasks (user_id, title) VALUES ('ada', 'a'), ('gone', 'b'), ('gone', 'c')",
    )
    settings = Settings(database_url=empty_database)
    counted = "2 tasks have a user_id that is no user's. They stay as they are."
    assert counted in await migrations.upgrade(settings)
    assert await migrations.upgrade(settings) == [counted]
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await execute(empty_database, "INSERT INTO tasks (user_id, title) VALUES ('nobody', 'd')")
    await execute(empty_database, "DELETE FROM tasks WHERE user_id = 'gone'")
    assert await migrations.upgrade(settings) == ["The database was up to date."]
    assert await fetch(
        empty_database, "SELECT bool_and(convalidated) FROM pg_constraint WHERE conrelid = 'tasks'::regclass"
    ) == [(True,)]


async def test_users_who_come_later_are_linked_by_the_next_run(empty_database: str) -> None:
    settings = Settings(database_url=empty_database)
    assert "Better Auth's user table is not here" in str(await migrations.upgrade(settings))
    await execute(empty_database, better_auth.TABLES)
    assert await migrations.upgrade(settings) == ['Linked tasks to public."user": they are deleted with their owner.']
    assert await migrations.upgrade(settings) == ["The database was up to date."]


async def test_link_users_off_links_nothing(empty_database: str, layout: Layout) -> None:
    await execute(empty_database, layout.tables)
    await migrations.upgrade(Settings(database_url=empty_database, link_users=False, **layout.settings))
    keys = "SELECT conname FROM pg_constraint WHERE conrelid = 'tasks'::regclass AND contype = 'f'"
    assert await fetch(empty_database, keys) == []
    assert await fetch(empty_database, "SELECT tgname FROM pg_trigger WHERE tgname = 'tasks_follow_users'") == []


# ---------------------------------------------------------------- role


async def test_the_role_gets_what_the_server_needs_and_nothing_else(database_url: str) -> None:
    granted = await fetch(
        database_url,
        """
        SELECT table_name::text, privilege_type::text, string_agg(column_name, ' ' ORDER BY ordinal_position)
        FROM information_schema.column_privileges JOIN information_schema.columns USING (table_name, column_name)
        WHERE grantee = 'graphql_api' GROUP BY 1, 2 ORDER BY 1, 2
        """,
    )
    changeable = "title description status completed priority due_date assigned_to"
    columns = f"id user_id {changeable} version created_at updated_at completed_at words"
    assert granted == [
        ("graphql_api_version", "SELECT", "version_num"),
        ("jwks", "SELECT", "id publicKey expiresAt alg"),
        ("session", "SELECT", "id expiresAt token userId"),
        ("task_events", "SELECT", "user_id cursor task_id kind before after actor_id created_at"),
        ("task_events_horizon", "SELECT", "cursor"),
        ("tasks", "INSERT", f"id user_id {changeable}"),
        ("tasks", "SELECT", columns),
        ("tasks", "UPDATE", changeable),
        ("user", "SELECT", "id name email emailVerified image createdAt"),
    ]
    attributes = "SELECT rolcanlogin, rolbypassrls, rolsuper, rolcreaterole, rolcreatedb FROM pg_roles WHERE rolname = "
    assert await fetch(database_url, attributes + "'graphql_api'") == [(False,) * 5]


async def test_an_owner_without_superuser_can_migrate_and_serve(server: str) -> None:
    await execute(server, "CREATE ROLE app LOGIN CREATEROLE", "CREATE DATABASE app OWNER app")
    url = postgres.database_url(server, "app").replace("postgres:@", "app:@")
    await execute(url, better_auth.TABLES)
    settings = Settings(database_url=url)
    done = [line for line in await migrations.upgrade(settings) if not line.startswith(("Upgraded", "Made"))]
    assert done == ['Linked tasks to public."user": they are deleted with their owner.']
    assert await migrations.upgrade(settings) == ["The database was up to date."]
    async with connected(url) as plain:
        assert await migrations.verdict(plain) is None
    async with connected(url, server_settings={"role": "graphql_api", "app.user_id": "ada"}) as served:
        assert await served.fetch('SELECT * FROM tasks JOIN (SELECT id AS user_id FROM "user") u USING (user_id)') == []
    assert (await migrations.downgrade(settings, "base"))[-1] == "Dropped the role graphql_api."


async def test_one_who_may_not_make_the_role_is_told_what_to_ask_for(server: str) -> None:
    await execute(server, 'CREATE ROLE "the app" LOGIN', 'CREATE DATABASE app OWNER "the app"')
    settings = Settings(database_url=postgres.database_url(server, "app").replace("postgres:@", "the%20app:@"))
    with pytest.raises(
        ConfigurationError, match=r'CREATE ROLE graphql_api NOLOGIN; .* GRANT graphql_api TO "the app";'
    ):
        await migrations.upgrade(settings)
    assert await fetch(postgres.database_url(server, "app"), "SELECT to_regclass('tasks')") == [(None,)]
    await execute(server, "CREATE ROLE graphql_api NOLOGIN")
    with pytest.raises(ConfigurationError, match='GRANT graphql_api TO "the app";'):
        await migrations.upgrade(settings)
    await execute(server, 'GRANT graphql_api TO "the app"')
    assert "Upgraded" in (await migrations.upgrade(settings))[0]
    async with connected(settings.database_url) as plain:
        assert await migrations.verdict(plain) is None


async def test_somebody_elses_better_auth_tables_are_left_with_a_word_to_their_owner(server: str) -> None:
    await execute(server, "CREATE ROLE app LOGIN CREATEROLE", "CREATE DATABASE app OWNER app")
    superuser = postgres.database_url(server, "app")
    await execute(superuser, better_auth.TABLES)
    settings = Settings(database_url=superuser.replace("postgres:@", "app:@"))
    done = await migrations.upgrade(settings)
    assert "The server may not read public.session, which is not yours." in str(done)
    assert 'Could not link tasks to public."user" (permission denied for table user)' in str(done)
    grants = [line.split("run: ")[1] for line in done if "run: " in line]
    await execute(superuser, *grants, 'GRANT REFERENCES ON "user" TO app')
    assert await migrations.upgrade(settings) == ['Linked tasks to public."user": they are deleted with their owner.']


async def test_tables_in_somebody_elses_schema_are_left_with_a_word_to_their_owner(server: str) -> None:
    layout = LAYOUTS["another schema"]
    await execute(server, "CREATE ROLE app LOGIN CREATEROLE", "CREATE DATABASE app OWNER app")
    superuser = postgres.database_url(server, "app")
    await execute(superuser, layout.tables)
    options = settings(superuser.replace("postgres:@", "app:@"), **layout.settings)
    done = await migrations.upgrade(options)
    assert 'Could not link tasks to auth."user" (permission denied for schema auth)' in str(done)
    with pytest.raises(ConfigurationError, match=r'may not read auth\."user", auth\.session, auth\.jwks yet'):
        await inspect(options)
    await execute(superuser, *(line.split("run: ")[1] for line in done if "run: " in line))
    assert (await inspect(options)).session is not None
    await execute(superuser, 'GRANT REFERENCES ON auth."user" TO app')
    assert await migrations.upgrade(options) == ['Linked tasks to auth."user": they are deleted with their owner.']


async def test_databases_share_the_role_and_the_last_one_takes_it_away(server: str) -> None:
    await execute(server, "CREATE DATABASE one", "CREATE DATABASE two")
    one, two = (Settings(database_url=postgres.database_url(server, name)) for name in ("one", "two"))
    await migrations.upgrade(one)
    await migrations.upgrade(two)
    assert "Left the role graphql_api (" in (await migrations.downgrade(one, "base"))[-1]
    assert "Dropped the role graphql_api." in (await migrations.downgrade(two, "base"))[-1]


async def test_the_role_may_come_from_another_database_in_the_same_moment(server: str) -> None:
    await execute(server, "CREATE DATABASE one")
    async with connected(server) as other:
        await other.execute("BEGIN; CREATE ROLE graphql_api NOLOGIN")
        migration = asyncio.create_task(migrations.upgrade(Settings(database_url=postgres.database_url(server, "one"))))
        while not await other.fetchval("SELECT bool_or(NOT granted) FROM pg_locks, pg_sleep(0.01)"):
            pass
        await other.execute("COMMIT")
        assert "Upgraded" in (await migration)[0]


async def test_a_search_path_that_the_role_does_not_share_is_refused(server: str) -> None:
    await execute(server, "CREATE ROLE app LOGIN CREATEROLE", "CREATE DATABASE app OWNER app")
    url = postgres.database_url(server, "app").replace("postgres:@", "app:@")
    await execute(url, "CREATE SCHEMA app")
    with pytest.raises(ConfigurationError, match="ALTER ROLE … SET search_path = app, public"):
        await migrations.upgrade(Settings(database_url=url))
    await execute(url, "ALTER ROLE app SET search_path = app, public")
    await migrations.upgrade(Settings(database_url=url))


async def test_a_database_that_cannot_hold_every_text_is_refused() -> None:
    async with new_database("template0 ENCODING 'LATIN1' LOCALE 'C'") as url:
        with pytest.raises(ConfigurationError, match="holds LATIN1"):
            await migrations.upgrade(Settings(database_url=url))


async def test_prismas_form_of_the_url_leads_to_the_schema_that_it_names(empty_database: str) -> None:
    await execute(empty_database, 'CREATE SCHEMA "My App"')
    options = settings(f"{empty_database}&schema=My%20App&connection_limit=5&pool_timeout=10")
    await migrations.upgrade(options)
    assert await fetch(empty_database, """SELECT to_regclass('"My App".tasks')::text""") == [('"My App".tasks',)]
    await inspect(options)


# ---------------------------------------------------------------- verdict


async def test_a_migrated_database_fits(database_url: str) -> None:
    async with connected(database_url) as connection:
        assert await migrations.current(connection) == migrations.head()
        assert await migrations.verdict(connection) is None


async def test_an_empty_database_is_not_migrated_yet(empty_database: str) -> None:
    async with connected(empty_database) as connection:
        assert await migrations.current(connection) is None
        assert await migrations.verdict(connection) == ("The database is not migrated yet. Run `graphql-api migrate`.")


async def test_a_database_behind_is_told_from_a_newer_one(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with connected(database_url) as connection:
        known = migrations.revisions()
        monkeypatch.setattr(readiness, "revisions", lambda: [*known, "9999"])
        assert await migrations.verdict(connection) == (
            f"The database is at revision {known[-1]}, this version needs 9999. Run `graphql-api migrate`."
        )
        monkeypatch.undo()
        await connection.execute("UPDATE graphql_api_version SET version_num = '9999'")
        newer = f"A newer version migrated the database to 9999; this one ends at {known[-1]}. Deploy the newer one."
        assert await migrations.verdict(connection) == newer
        with pytest.raises(ConfigurationError, match=newer):
            await migrations.upgrade(Settings(database_url=database_url))


async def test_a_replica_does_not_fit() -> None:
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        with postgres.running(data) as url:
            await migrations.upgrade(Settings(database_url=url))
        (data / "standby.signal").touch()
        with postgres.running(data.rename(f"{data}_of_replica")) as url:
            async with connected(url) as connection:
                assert await migrations.verdict(connection) == (
                    "DATABASE_URL leads to a replica, which takes no writes. Set it to the primary."
                )


@pytest.mark.parametrize("right", ["SELECT", "REFERENCES"])
async def test_a_user_who_may_not_act_as_the_role_is_sent_to_migrate_or_to_who_did(
    database_url: str, right: str
) -> None:
    login = "login_" + database_url.split("/test_")[1][:12]
    await execute(database_url, f"CREATE ROLE {login} LOGIN", f"GRANT {right} ON graphql_api_version TO {login}")
    try:
        async with connected(database_url.replace("postgres:@", f"{login}:@")) as connection:
            message = await migrations.verdict(connection)
            assert message == (
                "The user of DATABASE_URL may not act as the role graphql_api. "
                f"Run `graphql-api migrate` as that user, or let who ran it run: GRANT graphql_api TO {login};"
            )
            await execute(database_url, message.split("run: ")[1])
            assert await migrations.verdict(connection) is None
    finally:
        await execute(database_url, f"DROP OWNED BY {login}", f"DROP ROLE {login}")


async def test_a_user_may_serve_who_inherits_nothing_from_the_role(database_url: str) -> None:
    login = "login_" + database_url.split("/test_")[1][:12]
    await execute(database_url, f"CREATE ROLE {login} LOGIN NOINHERIT", f"GRANT graphql_api TO {login}")
    try:
        found = await inspect(settings(database_url.replace("postgres:@", f"{login}:@")))
        assert found.session is not None
    finally:
        await execute(database_url, f"DROP ROLE {login}")


async def test_the_server_does_not_start_when_better_auths_tables_are_newer_than_the_grants(
    empty_database: str,
) -> None:
    options = settings(empty_database)
    await migrations.upgrade(options)
    await execute(empty_database, better_auth.TABLES)
    with pytest.raises(ConfigurationError, match=r"may not read .*session.* yet\. Run `graphql-api migrate`\."):
        await inspect(options)
    await migrations.upgrade(options)
    assert (await inspect(options)).session is not None
