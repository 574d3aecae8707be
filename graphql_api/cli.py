"""The command `graphql-api`: what people and process managers start."""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import shlex
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from dotenv import load_dotenv

from graphql_api.settings import ConfigurationError, Settings

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from graphql_api.auth.tables import Tables

DEV_ORIGIN = "http://localhost:3000"
"""Where a Next.js application with Better Auth runs in development: the issuer of the demo people's tokens."""

GARBAGE_MIN = 10_000
"""So many more objects than before let Python look for garbage. With 700, as it has it, it looks all the time at what
requests are using, and that takes a twentieth of the CPU of a small one."""

DEV_SESSION = "GRAPHQL_API_DEV_SESSION"
"""Hands the demo session from `dev` to the processes that it starts."""

SAMPLE = '{"query":"{ viewer { name tasks { nodes { title status dueDate } } } }"}'


def main(arguments: list[str] | None = None) -> None:
    """Run a command; a configuration mistake ends it with one line for each variable at fault, and status 1."""
    options = _parser().parse_args(arguments)
    load_dotenv(".env")
    try:
        options.run(options)
    except ConfigurationError as error:
        sys.exit("\n".join(f"graphql-api: {line}" for line in str(error).splitlines()))
    except KeyboardInterrupt:
        sys.exit(130)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="graphql-api",
        description="The tasks of Better Auth users, over GraphQL. Settings come from the environment.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    dev = commands.add_parser(
        "dev",
        help="a running server with sample data and nothing to set up",
        description="Starts a PostgreSQL of its own (or uses DATABASE_URL), migrates it, fills it with Better Auth's "
        "tables, two demo people and a few tasks, prints how to call it, and serves. Ctrl-C stops it all.",
    )
    dev.add_argument("--port", type=int, default=8000, help="port to listen on, on 127.0.0.1 (default: 8000)")
    dev.add_argument("--data", type=Path, default=Path(".data"), help="folder of the database (default: .data)")
    dev.add_argument("--workers", type=int, default=1, help="server processes (default: 1)")
    dev.set_defaults(run=_dev)

    serve = commands.add_parser(
        "serve",
        help="the server, on the database of DATABASE_URL",
        description="Serves until it is told to stop (SIGTERM, Ctrl-C). Refuses to start on a database that is not "
        "migrated, and says what to do about it.",
    )
    serve.add_argument("--host", help="address to listen on (default: HOST, else 127.0.0.1)")
    serve.add_argument("--port", type=int, help="port to listen on (default: PORT, else 8000)")
    serve.add_argument("--workers", type=int, help="server processes (default: WORKERS, else 1)")
    serve.set_defaults(run=_serve)

    migrate = commands.add_parser(
        "migrate",
        help="bring the database up to date, or back",
        description="Makes or changes our tables, the server's role and its grants, and links tasks to Better Auth's "
        "users. Safe to repeat, and to start twice at once. Better Auth's tables keep their shape.",
    )
    migrate.add_argument("--down", metavar="REV", help="go back to this revision; `base` removes everything of ours")
    migrate.set_defaults(run=_migrate)

    maintain = commands.add_parser(
        "maintain",
        help="what the log of events needs once a day",
        description="Makes the log's partitions for the months to come and drops those past EVENT_RETENTION_DAYS. "
        "Safe to repeat, and to start twice at once. Forgotten, it loses no write: the log only grows.",
    )
    maintain.set_defaults(run=_maintain)

    export = commands.add_parser(
        "export-schema", help="the GraphQL schema", description="Prints the schema as it stands in schema.graphql."
    )
    export.set_defaults(run=_export_schema)

    token = commands.add_parser(
        "token",
        help="a JWT for a user of a development database",
        description="Prints a token that the server accepts for 15 minutes, made as Better Auth's JWT plugin makes it.",
    )
    token.add_argument("--user", metavar="EMAIL", required=True, help="email of the user, such as john@example.com")
    token.add_argument("--data", type=Path, default=Path(".data"), help="folder of the database (default: .data)")
    token.set_defaults(run=_token)
    return parser


def _serve(options: argparse.Namespace) -> None:
    chosen = {name: getattr(options, name) for name in ("host", "port", "workers")}
    for name, value in chosen.items():
        if value is not None:
            os.environ[name.upper()] = str(value)
    settings = Settings.from_environment()
    with _made_to_last():
        from graphql_api.app import inspect

        found = asyncio.run(inspect(settings))
    _listen(settings, found)


def _listen(settings: Settings, found: Tables | None = None) -> None:
    """Serve until a signal comes. Of several processes each makes the application anew, from the same environment."""
    import uvicorn

    from graphql_api.http.protocol import Protocol

    _refuse_taken_port(settings)
    several = settings.workers > 1
    uvicorn.run(
        "graphql_api.cli:application" if several else application(found),
        factory=several,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        lifespan="on",
        http=Protocol,
        ws="websockets-sansio",
        ws_max_size=settings.max_body_bytes,
        ws_per_message_deflate=False,  # its buffers would take as much memory again as an idle subscription
        ws_ping_interval=30,
        ws_ping_timeout=30,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,  # longer than load balancers keep a connection, or they would use one that just closed
        timeout_graceful_shutdown=10,
    )


def application(found: Tables | None = None) -> ASGIApp:
    """The application of this process, by its environment. `found`: what was just seen in the database, if it was."""
    with _made_to_last():
        from graphql_api.app import create_app
        from graphql_api.telemetry import logs

        settings = Settings.from_environment()
        logs.configure(settings.log_level, settings.log_format)
        app = create_app(settings, found)
        if session := os.environ.get(DEV_SESSION):
            from graphql_api.dev.better_auth import SignedIn

            return SignedIn(app, settings.cookie_name, session)
        return app


@contextmanager
def _made_to_last() -> Iterator[None]:
    """What is made meanwhile stays as long as the process: no garbage is looked for in it, now or later.

    The imports alone take a tenth longer with the collector at work, and each of its full rounds while serving would
    hold up everybody for 50 ms rather than 3.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.set_threshold(GARBAGE_MIN)
        gc.enable()


def _refuse_taken_port(settings: Settings) -> None:
    where = f"{settings.host}:{settings.port}"
    try:
        family, kind, *_, address = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise ConfigurationError(
            f"HOST, PORT: cannot listen on {where} ({error.strerror}); choose another with --port or HOST"
        ) from None


def _migrate(options: argparse.Namespace) -> None:
    from graphql_api import migrations

    if options.down == "":  # what a script's unset variable gives must not lead the other way
        raise ConfigurationError("--down names no revision; `base` removes everything of ours")
    settings = Settings.from_environment()
    work = migrations.downgrade(settings, options.down) if options.down else migrations.upgrade(settings)
    print("\n".join(asyncio.run(work)))


def _maintain(_: argparse.Namespace) -> None:
    from graphql_api import migrations

    print("\n".join(asyncio.run(migrations.maintain(Settings.from_environment()))))


def _export_schema(_: argparse.Namespace) -> None:
    from graphql_api.schema import sdl

    print(sdl(), end="")


def _token(options: argparse.Namespace) -> None:
    from graphql_api.database import connect
    from graphql_api.dev import better_auth

    async def make(settings: Settings) -> str:
        connection = await connect(settings)
        try:
            return await better_auth.token(connection, options.user, settings)
        finally:
            await connection.close()

    with ExitStack() as stack:
        os.environ.setdefault("AUTH_URL", DEV_ORIGIN)
        settings = Settings.from_environment(database_url=_development_database(options.data, stack, make=False))
        try:
            print(asyncio.run(make(settings)))
        except LookupError as error:
            raise ConfigurationError(error.args[0]) from None


def _dev(options: argparse.Namespace) -> None:
    from graphql_api import migrations
    from graphql_api.database import connect
    from graphql_api.dev import better_auth

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the database is stopped on the way out

    async def prepare(settings: Settings) -> tuple[str, str] | None:
        """A token and a session of the first demo user; None in a database whose people are Better Auth's own."""
        connection = await connect(settings)
        try:
            is_ours = await better_auth.prepare(connection, settings)
            print("\n".join(await migrations.upgrade(settings)))
            if not is_ours:
                return None
            await better_auth.add_sample_tasks(connection)
            john = better_auth.PEOPLE[0]
            token = await better_auth.token(connection, john.email, settings)
            return token, await better_auth.session(connection, john.id, settings.secrets[0])
        finally:
            await connection.close()

    with ExitStack() as stack:
        os.environ.setdefault("AUTH_URL", DEV_ORIGIN)
        os.environ.setdefault("BETTER_AUTH_SECRET", better_auth.COOKIE_SECRET)
        os.environ |= {"PORT": str(options.port), "WORKERS": str(options.workers)}
        _refuse_taken_port(Settings.from_environment(database_url="postgresql://nobody@localhost/none"))
        os.environ["DATABASE_URL"] = _development_database(options.data, stack, make=True)
        settings = Settings.from_environment()
        signed_in = asyncio.run(prepare(settings))
        address = f"http://{settings.host}:{settings.port}/graphql"
        print(f"\nGraphiQL  {address}")
        if signed_in:
            token, os.environ[DEV_SESSION] = signed_in
            call = ["curl", address, "-H", "Content-Type: application/json", "-H", f"Authorization: Bearer {token}"]
            print(f"          signed in as {better_auth.PEOPLE[0].name}\n\n{shlex.join([*call, '-d', SAMPLE])}\n")
        sys.stdout.flush()
        _listen(settings)


def _development_database(data: Path, stack: ExitStack, *, make: bool) -> str:
    """The URL of DATABASE_URL, else of the PostgreSQL in `data`, started for as long as the stack lasts if need be.

    `make`: it is ours then; make one where there is none, take over one that runs already, and stop it in the end.
    """
    from graphql_api.dev import postgres

    folder = data / "postgres"
    if given := os.environ.get("DATABASE_URL"):
        return given
    if not make and not folder.exists():
        raise ConfigurationError(f"There is no development database in {data}; `graphql-api dev` makes one.")
    running = None if make else postgres.found_running(folder)
    try:
        return running or stack.enter_context(postgres.running(folder))
    except postgres.InUse as error:
        raise ConfigurationError(f"{error} Choose another folder with --data, or stop it.") from None
