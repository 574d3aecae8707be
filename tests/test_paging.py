"""Pages: walked in any order, size and direction, they give every task once."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphql_api.relay.ids import GlobalID
from tests.client import Api
from tests.issuer import Person

WALK = """query Walk($first: Int, $after: String, $last: Int, $before: String, $orderBy: [TaskOrder!]) {
  viewer { tasks(first: $first, after: $after, last: $last, before: $before, orderBy: $orderBy) {
    totalCount edges { cursor node { id } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
  } }
}"""

FIELDS = ["CREATED_AT", "UPDATED_AT", "COMPLETED_AT", "DUE_DATE", "PRIORITY", "STATUS", "TITLE"]

orders = st.lists(
    st.fixed_dictionaries(
        {"field": st.sampled_from(FIELDS)},
        optional={"direction": st.sampled_from(["ASC", "DESC"]), "nulls": st.sampled_from(["FIRST", "LAST"])},
    ),
    max_size=3,
    unique_by=lambda order: order["field"],
)

many_examples = settings(max_examples=40)


async def sow(api: Api, owner: Person, number: int = 37) -> None:
    """Tasks full of ties and nulls."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    statuses, priorities = ["pending", "in_progress", "completed"], ["low", "medium", "high", "urgent"]
    titles = ["a", "B", "b", "ä", "\U0001f989", "a b", "a-b", "\\", "'", '"']  # whatever the collation makes of them
    await api.issuer.connection.executemany(
        "INSERT INTO tasks (user_id, title, status, priority, due_date, created_at, updated_at, completed_at) "
        "VALUES ($1, $2, $3::task_status, $4, $5, $6, $7, $8)",
        [
            (
                owner.id,
                titles[n % len(titles)],
                statuses[n % 3],
                priorities[n * 7 % 4],
                None if n % 4 == 0 else start + timedelta(days=n % 5, microseconds=n % 2),
                start + timedelta(hours=n // 3),
                start + timedelta(hours=n % 6),
                start + timedelta(days=n % 2) if statuses[n % 3] == "completed" else None,
            )
            for n in range(number)
        ],
    )


async def expected(api: Api, owner: Person, order_by: list[dict[str, str]]) -> list[str]:
    """Ids in the order that plain SQL gives, without any paging."""
    keys = order_by or [{"field": "CREATED_AT", "direction": "DESC"}]
    columns = [f"{key['field'].lower()} {key.get('direction', 'ASC')} NULLS {key.get('nulls', 'LAST')}" for key in keys]
    sql = (
        f"SELECT id FROM tasks WHERE user_id = $1 ORDER BY {', '.join(columns)}, id {keys[-1].get('direction', 'ASC')}"
    )
    return [global_id(row["id"]) for row in await api.issuer.connection.fetch(sql, owner.id)]


def global_id(id: UUID) -> str:
    return str(GlobalID("Task", str(id)))


async def walk(api: Api, owner: Person, order_by: list[dict[str, str]], size: int, *, backward: bool) -> list[str]:
    """Ids of all pages, one after the other, from either end."""
    found: list[str] = []
    cursor = None
    for _ in range(100):
        window: dict[str, Any] = {"last": size, "before": cursor} if backward else {"first": size, "after": cursor}
        page = (await api.data(owner, WALK, orderBy=order_by, **window))["viewer"]["tasks"]
        ids = [edge["node"]["id"] for edge in page["edges"]]
        found = ids + found if backward else found + ids
        info = page["pageInfo"]
        assert (info["startCursor"], info["endCursor"]) == (page["edges"][0]["cursor"], page["edges"][-1]["cursor"])
        assert info["hasNextPage" if not backward else "hasPreviousPage"] == (len(found) < page["totalCount"])
        assert info["hasPreviousPage" if not backward else "hasNextPage"] == (cursor is not None)
        if len(found) >= page["totalCount"]:
            return found
        cursor = info["startCursor" if backward else "endCursor"]
    raise AssertionError("the walk does not end")


@many_examples
@given(order_by=orders, size=st.integers(1, 40), backward=st.booleans())
async def test_walking_gives_every_task_once_in_order(
    api: Api, ada: Person, order_by: list[dict[str, str]], size: int, backward: bool
) -> None:
    if not await api.issuer.connection.fetchval("SELECT count(*) FROM tasks"):
        await sow(api, ada)
    everything = await expected(api, ada, order_by)
    assert len(everything) == 37
    assert await walk(api, ada, order_by, size, backward=backward) == everything


@many_examples
@given(
    order_by=orders, start=st.integers(0, 36), end=st.integers(0, 36), size=st.integers(1, 40), backward=st.booleans()
)
async def test_a_page_between_two_cursors_is_what_lies_between(
    api: Api, ada: Person, order_by: list[dict[str, str]], start: int, end: int, size: int, backward: bool
) -> None:
    if not await api.issuer.connection.fetchval("SELECT count(*) FROM tasks"):
        await sow(api, ada)
    everything = (await api.data(ada, WALK, first=100, orderBy=order_by))["viewer"]["tasks"]["edges"]
    window: dict[str, Any] = {"after": everything[start]["cursor"], "before": everything[end]["cursor"]}
    page = await api.data(ada, WALK, orderBy=order_by, **{"last" if backward else "first": size}, **window)
    between = everything[start + 1 : end]
    assert page["viewer"]["tasks"]["edges"] == (between[-size:] if backward else between[:size])
    info = page["viewer"]["tasks"]["pageInfo"]
    more = len(between) > size
    assert (info["hasPreviousPage"], info["hasNextPage"]) == ((more, True) if backward else (True, more))


async def test_page_info_alone_is_what_it_is_beside_the_tasks(api: Api, ada: Person) -> None:
    await sow(api, ada, 3)
    query = "{ viewer { tasks(first: 2) { pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } } }"
    page = (await api.data(ada, WALK, first=2))["viewer"]["tasks"]
    assert page["pageInfo"]["hasNextPage"]
    assert (await api.data(ada, query))["viewer"]["tasks"] == {"pageInfo": page["pageInfo"]}


async def test_rows_that_come_and_go_shift_nothing(api: Api, ada: Person) -> None:
    await sow(api, ada)
    before = await expected(api, ada, [])
    page = (await api.data(ada, WALK, first=10))["viewer"]["tasks"]
    cursor = page["pageInfo"]["endCursor"]
    await api.create(ada, "inserted at the front")
    last = GlobalID.parse(page["edges"][-1]["node"]["id"])
    assert last is not None
    await api.issuer.connection.execute("DELETE FROM tasks WHERE id = $1", UUID(last.key))
    rest = (await api.data(ada, WALK, first=100, after=cursor))["viewer"]["tasks"]["edges"]
    assert [edge["node"]["id"] for edge in rest] == before[10:]


async def test_without_a_size_it_is_the_first_20_or_the_last_20_before(api: Api, ada: Person) -> None:
    await sow(api, ada)
    everything = (await api.data(ada, WALK, first=100))["viewer"]["tasks"]["edges"]
    assert (await api.data(ada, WALK))["viewer"]["tasks"]["edges"] == everything[:20]
    for window, expected in (
        ({"before": everything[30]["cursor"]}, everything[10:30]),
        ({"after": everything[3]["cursor"]}, everything[4:24]),
        ({"after": everything[3]["cursor"], "before": everything[30]["cursor"]}, everything[4:24]),
        ({"first": 5, "before": everything[30]["cursor"]}, everything[:5]),
        ({"last": 5, "after": everything[3]["cursor"]}, everything[-5:]),
    ):
        assert (await api.data(ada, WALK, **window))["viewer"]["tasks"]["edges"] == expected


@pytest.mark.parametrize(
    ("window", "words"),
    [
        ({"first": 0}, ["first", "0", "100"]),
        ({"first": -1}, ["first", "-1"]),
        ({"first": 101}, ["first", "101", "100"]),
        ({"last": 0}, ["last", "0"]),
        ({"last": 101}, ["last", "101"]),
        ({"first": 1, "last": 1}, ["first", "last"]),
        ({"after": "garbage"}, ["after", "garbage"]),
        ({"before": ""}, ["before"]),
        ({"orderBy": [{"field": "TITLE"}, {"field": "TITLE"}]}, ["orderBy", "TITLE"]),
    ],
)
async def test_a_bad_window_is_a_clear_error(api: Api, ada: Person, window: dict[str, Any], words: list[str]) -> None:
    [error] = await api.errors(ada, WALK, **window)
    assert (error["code"], error["path"]) == ("BAD_USER_INPUT", ["viewer", "tasks"])
    assert all(word in error["message"] for word in words)


@pytest.mark.parametrize("cursor", ["after", "before"])
@pytest.mark.parametrize("sizes", [{"first": 0}, {"first": 101}, {"last": -1}, {"last": 101}, {"first": 1, "last": 1}])
async def test_a_size_out_of_bounds_is_refused_beside_a_cursor_too(
    api: Api, ada: Person, sizes: dict[str, int], cursor: str
) -> None:
    await api.create(ada)
    info = (await api.data(ada, WALK))["viewer"]["tasks"]["pageInfo"]
    [error] = await api.errors(ada, WALK, **sizes, **{cursor: info["endCursor"]})
    assert (error["code"], error["path"]) == ("BAD_USER_INPUT", ["viewer", "tasks"])
    assert all(f"`{name}`" in error["message"] for name in sizes)


@many_examples
@given(one=orders, other=orders)
async def test_a_cursor_is_refused_in_another_order(
    api: Api, ada: Person, one: list[dict[str, str]], other: list[dict[str, str]]
) -> None:
    if not await api.issuer.connection.fetchval("SELECT count(*) FROM tasks"):
        await sow(api, ada, 1)
    cursor = (await api.data(ada, WALK, orderBy=one))["viewer"]["tasks"]["pageInfo"]["endCursor"]
    result = await api.result(ada, WALK, orderBy=other, after=cursor)
    assert ("errors" not in result) == (meaning(one) == meaning(other))


def meaning(order_by: list[dict[str, str]]) -> list[tuple[str, ...]]:
    """Two orders that mean the same may share cursors: nulls say nothing about columns without nulls."""
    nullable = ("COMPLETED_AT", "DUE_DATE")
    return [
        (key["field"], key.get("direction", "ASC"), key.get("nulls", "LAST") if key["field"] in nullable else "")
        for key in order_by or [{"field": "CREATED_AT", "direction": "DESC"}]
    ]
