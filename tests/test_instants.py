"""Moments go into the database and come back exactly, whatever they are; rows keep them as numbers."""

from datetime import UTC, datetime, timedelta, timezone

import asyncpg
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from graphql_api import instants
from graphql_api.database import Statement, compiled
from graphql_api.http.service import encoded
from graphql_api.instants import Instant, answered, in_utc, instant, moment

EARLIEST, LATEST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_moment_is_the_same_again_after_it_was_a_number(when: datetime) -> None:
    assert moment(instant(when)) == when


@given(st.integers(instants.FIRST, instants.LAST))
def test_a_number_is_the_same_again_after_it_was_a_moment(number: int) -> None:
    assert instant(moment(number)) == number


@given(st.integers(instants.FIRST - 10, instants.LAST + 10))
def test_an_answer_says_of_a_moment_what_it_would_say_of_one_in_utc(number: int) -> None:
    assert encoded(answered(number)) == encoded(moment(number))


def test_another_time_zone_is_the_same_moment() -> None:
    there = timezone(timedelta(hours=5, minutes=30))
    assert instant(datetime(2000, 1, 1, 5, 30, tzinfo=there)) == 0
    assert moment(0) == datetime(2000, 1, 1, tzinfo=UTC)


def test_no_number_is_no_moment() -> None:
    assert moment(None) is None
    assert answered(None) is None


def test_without_a_time_zone_it_is_utc() -> None:
    assert in_utc(datetime(2026, 1, 1)) == datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("type_", ["timestamptz", "timestamp"])
@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2026-01-31 09:00:00.000001", datetime(2026, 1, 31, 9, 0, 0, 1, tzinfo=UTC)),
        ("1969-12-31 23:59:59.999999", datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)),
        ("9999-12-31 23:59:59.999999", LATEST),
        ("0001-01-01 00:00:00", EARLIEST),
        ("infinity", LATEST),
        ("-infinity", EARLIEST),
        ("0044-03-15 12:00:00 BC", EARLIEST),
        ("294276-12-31 00:00:00", LATEST),
    ],
)
async def test_rows_have_what_postgresql_has(database_url: str, type_: str, written: str, expected: datetime) -> None:
    connection = await asyncpg.connect(database_url, server_settings={"timezone": "UTC"})
    try:
        await instants.keep(connection)
        found = await connection.fetchval(f"SELECT '{written}'::{type_}")
        assert type(found) is int
        assert moment(found) == expected
        assert await connection.fetchval(f"SELECT $1::{type_} = '{written}'", found)
    finally:
        await connection.close()


async def test_a_parameter_may_be_a_moment(database_url: str) -> None:
    there = datetime(2026, 1, 31, 4, tzinfo=timezone(timedelta(hours=-5)))
    equal = Statement(sa.select(sa.bindparam("given", type_=Instant()) == sa.text("timestamptz '2026-01-31T10:00+01'")))
    connection = await asyncpg.connect(database_url)
    try:
        await instants.keep(connection)
        for given_, expected in ((there, True), (instant(there), True), (0, False), (None, None)):
            sql, parameters = compiled(equal(given=given_))
            assert await connection.fetchval(sql, *parameters) is expected
    finally:
        await connection.close()
