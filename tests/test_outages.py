"""A database that is not there, is not fit, or goes away while the server runs."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import sqlalchemy as sa

from graphql_api import migrations
from graphql_api.database import Database, Statement, as_me
from graphql_api.settings import Settings
from tests.client import TOGGLE, Api, connected, serving, settings
from tests.conftest import execute, until_somebody_waits
from tests.issuer import Issuer, Person
from tests.process import free_port, start

COUNT = "{ viewer { taskCounts { total } } }"
TITLES = "{ viewer { tasks { nodes { title } } } }"
CREATE = 'mutation { createTask(input: { title: "Once" }) { task { title } errors { message } } }'
UNAVAILABLE = "The database does not answer right now. Try again in a few seconds."
BACKEND = Statement(sa.select(sa.func.pg_backend_pid()))()
NAP = Statement(sa.select(sa.func.pg_sleep(0.01)))()
ASKS_FOR_TLS = (80877103).to_bytes(4)
"""What a client of PostgreSQL says first."""


class Line:
    """A TCP line to the database, which a test can cut."""

    def __init__(self, database_url: str) -> None:
        parts = urlsplit(database_url)
        self._socket = Path(parse_qs(parts.query)["host"][0]) / ".s.PGSQL.5432"
        self._database = parts.path
        self._port = 0
        self._listener: asyncio.Server | None = None
        self._ends: set[asyncio.StreamWriter] = set()
        self._silent: set[asyncio.StreamWriter] = set()
        self.keeps_the_role = True
        """False as behind PgBouncer with `ignore_startup_parameters = role`."""
        self.connections = 0
        """Made in all."""
        self.cut_at: bytes | None = None
        """Break the next connection on which the database answers this, instead of passing it on."""

    @property
    def url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self._port}{self._database}"

    async def mend(self) -> None:
        self._listener = await asyncio.start_server(self._carry, "127.0.0.1", self._port)
        self._port = self._listener.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """Break every connection, and refuse new ones until it is mended."""
        assert self._listener is not None
        self._listener.close()
        for end in self._ends:
            end.transport.abort()

    def hush(self) -> None:
        """Nothing comes through on the present connections any more, and neither side is told; new ones work."""
        self._silent |= self._ends

    async def _carry(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        self.connections += 1
        database, to_database = await asyncio.open_unix_connection(self._socket)
        ends = {to_client, to_database}
        self._ends |= ends
        try:
            await asyncio.gather(self._ask(client, to_database), self._answer(database, to_client))
        except OSError:
            pass
        finally:
            self._ends -= ends
            for end in ends:
                end.transport.abort()

    async def _ask(self, client: asyncio.StreamReader, to_database: asyncio.StreamWriter) -> None:
        while data := await client.read(65536):
            if not self.keeps_the_role:
                data = data.replace(b"\0role\0", b"\0no.w\0")  # a setting that nobody knows
            if to_database not in self._silent:
                to_database.write(data)
        to_database.close()

    async def _answer(self, database: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        while data := await database.read(65536):
            if self.cut_at and self.cut_at in data:
                self.cut_at = None
                raise ConnectionAbortedError
            if to_client not in self._silent:
                to_client.write(data)
        to_client.close()


@pytest.fixture
async def line(database_url: str) -> AsyncIterator[Line]:
    line = Line(database_url)
    await line.mend()
    yield line
    await line.cut()


@pytest.fixture
async def api(line: Line, issuer: Issuer) -> AsyncIterator[Api]:
    """A server that is patient for two seconds; the line is its only way to the database."""
    async with serving(settings(line.url, connect_timeout_seconds=2)) as client:
        yield Api(client, issuer)


@pytest.fixture
async def ada(api: Api) -> Person:
    """Her credential is verified already, and needs no database any more."""
    ada = await api.sign_up("Ada")
    await api.data(ada, COUNT)
    return ada


async def ask(api: Api, person: Person, query: str) -> tuple[int, str | None, list[str]]:
    """Status, Retry-After, and the codes of the errors."""
    headers = {"Authorization": f"Bearer {api._tokens[person.id]}"}
    response = await api.post(query, headers=headers)
    codes = [error["extensions"]["code"] for error in response.json().get("errors", [])]
    return response.status_code, response.headers.get("retry-after"), codes


# ---------------------------------------------------------------- at the start


async def last_words(database_url: str, **changes: str) -> list[str]:
    """The lines that a server writes which refuses to start."""
    process = await start(database_url, **changes)
    _, written = await process.communicate()
    assert process.returncode == 1
    return written.decode().splitlines()


async def test_the_server_does_not_start_without_a_database(line: Line) -> None:
    await line.cut()
    [message] = await last_words(line.url)
    assert message.startswith("graphql-api: DATABASE_URL: no connection to the database: ")


async def test_a_pooler_that_nobody_has_told_of_is_told() -> None:
    async def refuse(client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        """As PgBouncer refuses every setting of a connection that it does not track."""
        while (message := await client.readexactly(int.from_bytes(await client.readexactly(4)) - 4)) == ASKS_FOR_TLS:
            to_client.write(b"N")
        if b"\0role\0" in message:
            error = b"SFATAL\0C08P01\0Munsupported startup parameter: role\0\0"
            to_client.write(b"E" + (len(error) + 4).to_bytes(4) + error)
        to_client.close()

    async with await asyncio.start_server(refuse, "127.0.0.1") as pooler:
        port = pooler.sockets[0].getsockname()[1]
        [message] = await last_words(f"postgresql://ada@127.0.0.1:{port}/tasks")
    assert message == (
        "graphql-api: DATABASE_URL: no connection to the database: unsupported startup parameter: role; "
        "if it leads to a pooler, set DATABASE_POOLER=transaction"
    )


async def test_the_server_does_not_start_behind_a_pooler_that_drops_its_role(line: Line) -> None:
    line.keeps_the_role = False
    [message] = await last_words(line.url)
    assert message == (
        "graphql-api: DATABASE_URL: statements would not run under the role graphql_api: a pooler in between drops the "
        "settings of connections; set DATABASE_POOLER=transaction"
    )


async def test_the_server_does_not_start_with_more_connections_than_its_user_may_have(database_url: str) -> None:
    login = "login_" + database_url.split("/test_")[1][:12]
    await execute(database_url, f"CREATE ROLE {login} LOGIN CONNECTION LIMIT 1", f"GRANT graphql_api TO {login}")
    url = database_url.replace("postgres:@", f"{login}:@")
    try:
        *_, message = await last_words(url, POOL_MIN="2", CONNECT_TIMEOUT_SECONDS="0.5")
    finally:
        await execute(database_url, f"DROP ROLE {login}")
    assert message == (
        "graphql-api: DATABASE_URL: POOL_MIN asks for 2 connections, which cannot be had: "
        f"TooManyConnectionsError('too many connections for role \"{login}\"')"
    )


async def test_of_several_hosts_the_one_that_answers_is_taken(line: Line) -> None:
    url = line.url.replace("@", f"@127.0.0.1:{free_port()},") + "?target_session_attrs=read-write"
    async with connected(settings(url)) as database:
        assert len(await database.read(BACKEND)) == 1


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("DROP TABLE graphql_api_version", "The database is not migrated yet. Run `graphql-api migrate`."),
        (
            "UPDATE graphql_api_version SET version_num = 'f00d'",
            f"A newer version migrated the database to f00d; this one ends at {migrations.head()}. "
            "Deploy the newer one.",
        ),
    ],
)
async def test_the_server_does_not_start_on_a_database_that_does_not_fit(
    database_url: str, statement: str, words: str
) -> None:
    await execute(database_url, statement)
    assert await last_words(database_url) == [f"graphql-api: {words}"]


# ---------------------------------------------------------------- while it runs


async def test_requests_are_503_while_the_database_is_gone(api: Api, ada: Person, line: Line) -> None:
    await line.cut()
    assert await ask(api, ada, COUNT) == (503, "5", ["SERVICE_UNAVAILABLE"])
    assert await ask(api, ada, CREATE) == (503, "5", ["SERVICE_UNAVAILABLE"])


async def test_what_needs_no_database_is_still_answered(api: Api, ada: Person, line: Line) -> None:
    await line.cut()
    assert await ask(api, ada, "{ __typename viewer { id } }") == (200, None, [])


async def test_nothing_is_asked_without_row_level_security(api: Api, ada: Person, line: Line) -> None:
    await line.cut()
    line.keeps_the_role = False
    await line.mend()
    assert await ask(api, ada, CREATE) == (200, None, ["INTERNAL_SERVER_ERROR"])
    assert (await api.client.get("/health/ready")).status_code == 503
    await line.cut()
    line.keeps_the_role = True
    await line.mend()
    assert await ask(api, ada, COUNT) == (200, None, [])


async def test_somebody_new_cannot_be_recognised_without_the_database(api: Api, ada: Person, line: Line) -> None:
    bob = await api.sign_up("Bob")
    await line.cut()
    assert await ask(api, bob, "{ viewer { id } }") == (503, "5", ["SERVICE_UNAVAILABLE"])


async def test_the_server_lives_but_is_not_ready_while_the_database_is_gone(api: Api, line: Line) -> None:
    await line.cut()
    assert (await api.client.get("/health/live")).status_code == 200
    ready = await api.client.get("/health/ready")
    assert (ready.status_code, ready.headers["retry-after"]) == (503, "5")
    assert ready.json() == {"status": "not ready", "reason": UNAVAILABLE}


async def test_all_is_well_again_once_the_database_is_back(api: Api, ada: Person, line: Line) -> None:
    await line.cut()
    assert (await ask(api, ada, COUNT))[0] == 503
    await line.mend()
    assert await ask(api, ada, COUNT) == (200, None, [])
    assert await ask(api, ada, CREATE) == (200, None, [])
    assert (await api.client.get("/health/ready")).status_code == 200


async def test_a_read_waits_for_a_database_that_comes_back_in_time(line: Line, issuer: Issuer) -> None:
    async with serving(settings(line.url, connect_timeout_seconds=30)) as client:
        api = Api(client, issuer)
        ada = await api.sign_up("Ada")
        await api.data(ada, COUNT)
        await line.cut()
        reading = asyncio.create_task(ask(api, ada, COUNT))
        await asyncio.sleep(0.1)
        assert not reading.done()
        await line.mend()
        assert await reading == (200, None, [])


async def test_a_read_whose_connection_breaks_is_repeated(api: Api, ada: Person, line: Line) -> None:
    await api.create(ada, "Read me")
    line.cut_at = b"Read me"
    assert await api.data(ada, TITLES) == {"viewer": {"tasks": {"nodes": [{"title": "Read me"}]}}}
    assert line.cut_at is None


async def test_a_write_whose_connection_breaks_is_not_repeated(api: Api, ada: Person, line: Line) -> None:
    line.cut_at = b"Once"
    assert await ask(api, ada, CREATE) == (503, "5", ["SERVICE_UNAVAILABLE"])
    # the database had carried it out; only its answer was lost
    assert await api.data(ada, TITLES) == {"viewer": {"tasks": {"nodes": [{"title": "Once"}]}}}


async def test_ended_backends_are_replaced_without_a_trace(api: Api, ada: Person) -> None:
    for _ in range(3):
        await api.issuer.connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND application_name = 'graphql-api'"
        )
        assert await ask(api, ada, COUNT) == (200, None, [])


async def test_who_may_not_wait_long_for_a_lock_tries_again(database_url: str, issuer: Issuer) -> None:
    async with serving(settings(f"{database_url}&lock_timeout=100ms", connect_timeout_seconds=30)) as client:
        api = Api(client, issuer)
        ada = await api.sign_up("Ada")
        task = await api.create(ada)
        async with issuer.connection.transaction():
            await issuer.connection.execute("SELECT FROM tasks FOR UPDATE")
            toggling = asyncio.create_task(api.data(ada, TOGGLE, input={"id": task["id"]}))
            await until_somebody_waits(issuer.connection)
            await issuer.connection.execute("SELECT pg_sleep(0.2)")
        assert (await toggling)["toggleTask"]["task"]["completed"]


async def test_a_database_that_is_restored_meanwhile_costs_each_connection_one_request(
    database_url: str, api: Api, ada: Person
) -> None:
    before = await ask(api, ada, CREATE)
    await migrations.downgrade(Settings(database_url=database_url), "base")
    await migrations.upgrade(Settings(database_url=database_url))
    assert await ask(api, ada, CREATE) == (200, None, ["INTERNAL_SERVER_ERROR"])
    assert await ask(api, ada, CREATE) == before == (200, None, [])


# ---------------------------------------------------------------- the pool


async def test_there_are_never_more_connections_than_pool_max(line: Line) -> None:
    async with connected(settings(line.url, pool_max=3)) as database:
        await asyncio.gather(*(database.read(NAP) for _ in range(30)))
        assert line.connections == 3


async def test_those_who_wait_for_a_connection_get_it_in_the_order_they_came(database_url: str) -> None:
    served: list[int] = []

    async def read(database: Database, number: int) -> None:
        await database.read(BACKEND)
        served.append(number)

    async with connected(settings(database_url, pool_max=1)) as database, asyncio.TaskGroup() as readers:
        for number in range(300):
            readers.create_task(read(database, number))
            await asyncio.sleep(0)  # one newcomer with every turn of the loop, so that some meet a free connection
    assert served == list(range(300))


async def test_a_connection_is_kept_until_it_is_too_old(database_url: str) -> None:
    for seconds, kept in ((3600, True), (1e-9, False)):
        async with connected(settings(database_url, pool_max=1, pool_recycle_seconds=seconds)) as database:
            backends = {(await database.read(BACKEND))[0][0] for _ in range(3)}
            assert (len(backends) == 1) is kept


async def test_a_connection_that_goes_silent_is_given_up(line: Line) -> None:
    async with connected(settings(line.url, pool_max=1, request_timeout_seconds=0.2)) as database:
        before = await database.read(BACKEND)
        line.hush()
        async with asyncio.timeout(10):
            assert await database.read(BACKEND) != before


# ---------------------------------------------------------------- behind a pooler


async def test_everything_works_behind_a_transaction_pooler(line: Line, issuer: Issuer) -> None:
    async with serving(settings(line.url, database_pooler="transaction")) as client:
        api = Api(client, issuer)
        ada, bob = await api.sign_up("Ada"), await api.sign_up("Bob")
        await api.create(ada, "Mine")
        assert await api.data(ada, TITLES) == {"viewer": {"tasks": {"nodes": [{"title": "Mine"}]}}}
        assert await api.data(bob, TITLES) == {"viewer": {"tasks": {"nodes": []}}}


async def test_a_write_whose_commit_is_not_answered_is_not_repeated_behind_a_pooler(line: Line, issuer: Issuer) -> None:
    async with serving(settings(line.url, database_pooler="transaction", connect_timeout_seconds=0.5)) as client:
        api = Api(client, issuer)
        ada = await api.sign_up("Ada")
        await api.data(ada, COUNT)
        # the write is the next transaction: her credential is known
        line.cut_at = b"COMMIT"
        assert await ask(api, ada, CREATE) == (503, "5", ["SERVICE_UNAVAILABLE"])
        assert await api.data(ada, TITLES) == {"viewer": {"tasks": {"nodes": [{"title": "Once"}]}}}


async def test_a_transaction_leaves_nothing_on_the_connection_of_a_pooler(database_url: str) -> None:
    state = """
        SELECT current_user = session_user, coalesce(current_setting('app.user_id', true), ''),
            (SELECT count(*) FROM pg_prepared_statements), current_setting('role')
    """
    async with connected(settings(database_url, database_pooler="transaction", pool_max=1)) as database:
        who = as_me(sa.select(sa.func.current_user(), sa.func.current_setting("app.user_id")))
        assert [tuple(row) for row in await database.read(who(viewer="ada"))] == [("graphql_api", "ada")]
        kept = await database._pool.take()
        [row] = await kept.connection.fetch(state)
        database._pool.give_back(kept)
        assert tuple(row) == (True, "", 0, "none")
