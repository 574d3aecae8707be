"""Moments as PostgreSQL stores them: microseconds since the beginning of the year 2000 in UTC, here called instants.

asyncpg would make a `datetime` of each, by way of a `timedelta` of seconds and microseconds, which Python takes long to
make (asyncpg 0.32, pgproto/codecs/datetime.pyx). So rows keep the number, and `moment` makes a `datetime` of it where
somebody wants one.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, overload

import asyncpg
import sqlalchemy as sa

EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_EPOCH = EPOCH.replace(tzinfo=None)
MICROSECOND = timedelta(microseconds=1)


def instant(moment: datetime) -> int:
    """Exact to the microsecond."""
    return (moment - EPOCH) // MICROSECOND


FIRST, LAST = (instant(moment.replace(tzinfo=UTC)) for moment in (datetime.min, datetime.max))
"""The first and the last that a `datetime` can tell; what lies beyond, as PostgreSQL's infinities do, becomes these."""


@overload
def moment(instant: int) -> datetime: ...
@overload
def moment(instant: int | None) -> datetime | None: ...
def moment(instant: int | None) -> datetime | None:
    """In UTC, exact to the microsecond; None for None."""
    without_zone = answered(instant)
    return without_zone and without_zone.replace(tzinfo=UTC)


@overload
def answered(instant: int) -> datetime: ...
@overload
def answered(instant: int | None) -> datetime | None: ...
def answered(instant: int | None) -> datetime | None:
    """The same for an answer, which says that it is in UTC by itself (`http.service.encoded`): orjson takes three times
    as long for a moment that has to be asked."""
    if instant is None:
        return None
    try:
        return _EPOCH + instant * MICROSECOND
    except OverflowError:
        return answered(LAST if instant > 0 else FIRST)


def in_utc(moment: datetime) -> datetime:
    """One without a time zone is in UTC already."""
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


async def keep(connection: asyncpg.Connection) -> None:
    """From now on its rows have instants, also where a column has no time zone: Drizzle and Prisma store UTC without
    saying so (better-auth.md, pitfall 13). Parameters are of type `Instant`. No round trip."""
    for name in ("timestamptz", "timestamp"):
        await connection.set_builtin_type_codec(name, schema="pg_catalog", codec_name="int8")  # what they are inside


class Instant(sa.types.TypeDecorator[datetime]):
    """`timestamptz`, on a connection that `keep` has seen. A parameter may be an instant or a moment."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | int | None, dialect: sa.Dialect) -> Any:
        return instant(value) if isinstance(value, datetime) else value
