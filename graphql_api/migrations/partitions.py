"""The partitions of the log of events: one for each month of UTC, made ahead, dropped when their time is over.

An event whose month has no partition goes into the default one: without this work the log grows, and loses nothing.
"""

from __future__ import annotations

import asyncpg

MONTHS_AHEAD = 3

AT_HOME = """
    SELECT set_config('search_path', relnamespace::regnamespace || ', pg_temp', true),
        set_config('timezone', 'UTC', true), set_config('datestyle', 'ISO', true)
    FROM pg_class WHERE oid = 'task_events'::regclass
"""
"""Where the log is, and in UTC, as which bounds are then written and read."""

KEPT_FROM = "date_trunc('month', now() - make_interval(days => $1))"
"""Retention ends within a month; that one is kept as a whole."""

RANGES = r"""
    SELECT c.oid, relkind,
        coalesce(substring(bounds FROM 'FROM \(''(.*?)''\)')::timestamptz, '-infinity') AS begins, -- or MINVALUE
        coalesce(substring(bounds FROM 'TO \(''(.*?)''\)')::timestamptz, 'infinity') AS ends -- or MAXVALUE
    FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid, pg_get_expr(relpartbound, c.oid) bounds
    WHERE inhparent = 'task_events'::regclass AND bounds <> 'DEFAULT'
"""

MISSING = f"""
    SELECT name, begins::text, ends::text
    FROM (
        SELECT date_trunc('month', now()) + make_interval(months => n) AS begins FROM generate_series(0, $2::int) n
        UNION
        SELECT date_trunc('month', created_at) FROM task_events_default
        WHERE created_at >= {KEPT_FROM} AND created_at < date_trunc('month', now())
    ) months,
        to_char(begins, '"task_events_"YYYY_MM') name,
        LATERAL (SELECT begins + interval '1 month' AS ends) until
    WHERE to_regclass(name) IS NULL
        AND NOT EXISTS (SELECT FROM ({RANGES}) r WHERE r.begins < until.ends AND months.begins < r.ends)
    ORDER BY begins
"""  # noqa: S608  # our own text

EXPIRED = f"""
    SELECT oid::regclass::text FROM ({RANGES}) r WHERE ends <= {KEPT_FROM}
        AND relkind IN ('r', 'p') -- a foreign table is somebody's archive
    ORDER BY ends
"""  # noqa: S608  # our own text

RAISE_HORIZON = "UPDATE task_events_horizon SET cursor = greatest(cursor, (SELECT max(e.cursor) FROM {name} e))"

DELETE_EXPIRED = f"""
    WITH gone AS (DELETE FROM task_events_default WHERE created_at < {KEPT_FROM} RETURNING cursor), raised AS (
        UPDATE task_events_horizon h SET cursor = greatest(h.cursor, (SELECT max(cursor) FROM gone))
        WHERE EXISTS (SELECT FROM gone)
    )
    SELECT count(*) FROM gone
"""  # noqa: S608  # our own text

MAKE = """
    CREATE TABLE {name} (LIKE task_events INCLUDING DEFAULTS INCLUDING CONSTRAINTS);
    ALTER TABLE {name} ENABLE ROW LEVEL SECURITY; -- with no policy: it is read through the parent or not at all
"""

MOVE = """
    WITH moved AS (
        DELETE FROM task_events_default WHERE created_at >= '{begins}' AND created_at < '{ends}' RETURNING *
    )
    INSERT INTO {name} SELECT * FROM moved
"""

ATTACH = "ALTER TABLE task_events ATTACH PARTITION {name} FOR VALUES FROM ('{begins}') TO ('{ends}')"


async def renew(driver: asyncpg.Connection, retention_days: int) -> list[str]:
    """Make the partitions of this month and the next ones, and of past months whose events lie in the default one; drop
    what is past retention. Returns what was done, in sentences.

    Belongs at the end of a transaction, which it leaves with a search_path of its own; if there is anything to do, all
    who write or read events wait for its commit. A month that a partition made by hand covers in part, or whose name is
    taken, is left to the default partition.
    """
    await driver.execute(AT_HOME)
    missing = await driver.fetch(MISSING, retention_days, MONTHS_AHEAD)
    expired = [name for (name,) in await driver.fetch(EXPIRED, retention_days)]
    for name in expired:
        await driver.execute(RAISE_HORIZON.format(name=name))
    deleted = await driver.fetchval(DELETE_EXPIRED, retention_days)
    done = [f"Deleted {deleted} expired events from task_events_default."] if deleted else []
    if missing or expired:
        # The parent first, as everybody does. With another order two could wait for each other; without the lock an
        # event could come into the default partition between the move and the attachment, which would then fail.
        await driver.execute("LOCK TABLE task_events IN ACCESS EXCLUSIVE MODE")
    for month in missing:
        await driver.execute(MAKE.format(**month))
        moved = (await driver.execute(MOVE.format(**month))).removeprefix("INSERT 0 ")
        await driver.execute(ATTACH.format(**month))
        done.append(f"Made {month['name']}" + (f" and moved {moved} events into it." if moved != "0" else "."))
    for name in expired:
        await driver.execute(f"DROP TABLE {name}")
        done.append(f"Dropped {name}.")
    return done
