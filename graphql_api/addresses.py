"""Addresses as operators write them: of web pages, and of databases."""

import re
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

NOT_FOR_ASYNCPG = {"channel_binding", "connect_timeout", "gssencmode", "keepalives"}
NOT_FOR_ASYNCPG |= {"connection_limit", "pool_timeout", "pgbouncer"}  # Prisma's
"""Parameters that libpq or other drivers know; asyncpg would send them to the server as settings."""


def origin(address: str) -> str:
    """The origin of a web address as browsers and Better Auth write it: without path, default port and capitals.

    Raises `ValueError`.
    """
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"has {address[:100]!r}, which is not a web address; write it like https://app.example.com")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    own_port = port is not None and port != {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{host}:{port}" if own_port else f"{parts.scheme}://{host}"


def for_asyncpg(url: str) -> str:
    """The URL of a database as asyncpg reads it.

    Raises `ValueError`, whose message never shows the URL: there is a password in it.
    """
    example = "write it like postgresql://user:password@host/database"
    try:
        parts = urlsplit(url)
        for host in parts.netloc.rpartition("@")[2].split(","):  # several, one of which is primary
            _ = urlsplit(f"//{host}").port
    except ValueError:
        raise ValueError(f"cannot be read as a URL; {example}, with special characters percent-encoded") from None
    if parts.scheme not in ("postgres", "postgresql", "postgresql+asyncpg"):
        raise ValueError(f"has the scheme {parts.scheme or 'none'!r}, which is not PostgreSQL's; {example}")
    query = dict(parse_qsl(parts.query))
    if not parts.path.strip("/") and "dbname" not in query:
        raise ValueError(f"names no database; {example}")
    if not parts.hostname and "host" not in query:
        raise ValueError(f"names no host; {example}")
    if schema := query.pop("schema", None):  # Prisma's word, for one name
        query["search_path"] = '"{}"'.format(schema.replace('"', '""'))
    kept = {name: value for name, value in query.items() if name not in NOT_FOR_ASYNCPG}
    return urlunsplit(("postgresql", parts.netloc, parts.path, urlencode(kept, quote_via=quote), ""))


def tells_of_pgbouncer(url: str) -> bool:
    """True for the URL of a database that Prisma reaches through PgBouncer."""
    return re.search(r"[?&]pgbouncer=true(&|$)", url) is not None


def is_poolers(url: str) -> bool:
    """True where the name of the host says that a pooler listens there, as Neon's do."""
    return "-pooler" in (urlsplit(url).hostname or "")
