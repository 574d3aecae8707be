"""The filter language, against the same words in Python."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from graphql_api.relay.ids import GlobalID
from tests.client import Api
from tests.issuer import Person

FIND = "query Find($filter: TaskFilter) { viewer { tasks(first: 100, filter: $filter) { totalCount nodes { id } } } }"

DAY = timedelta(days=1)
NOW = datetime.now(UTC).replace(microsecond=123456)
STATUSES = ["pending", "in_progress", "completed"]
PRIORITIES = ["low", "medium", "high", "urgent"]
TITLES = ["Buy milk", "buy oat milk", "Sell 100%", "a_b", "a\\b", "Überraschung", "x" * 255]


def enum_conditions(values: list[str], *operators: str) -> st.SearchStrategy[dict[str, Any]]:
    one = st.sampled_from([value.upper() for value in values])
    return st.fixed_dictionaries(
        {},
        optional={
            **dict.fromkeys(("eq", "neq", *operators), one),
            **dict.fromkeys(("in", "nin"), st.lists(one, max_size=3)),
        },
    )


moments = st.sampled_from([(NOW + n * DAY / 2).isoformat() for n in range(-9, 10, 2)] + ["P1DT12H", "-P1DT12H", "PT0S"])
words = st.sampled_from([*TITLES, "milk", "b", "%", "_", "\\", "", "no such"])
times = st.fixed_dictionaries(
    {}, optional={**dict.fromkeys(("lt", "lte", "gt", "gte"), moments), "isNull": st.booleans()}
)
strings = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("eq", "neq", "contains", "startsWith"), words),
        **dict.fromkeys(("in", "nin"), st.lists(words, max_size=3)),
    },
)
ids = st.sampled_from([str(GlobalID("User", id)) for id in ("helper", "nobody")])
references = st.fixed_dictionaries({}, optional={"eq": ids, "in": st.lists(ids, max_size=2), "isNull": st.booleans()})
flat = st.fixed_dictionaries(
    {},
    optional={
        "completed": st.booleans(),
        "overdue": st.booleans(),
        "status": enum_conditions(STATUSES),
        "priority": enum_conditions(PRIORITIES, "lt", "lte", "gt", "gte"),
        "title": strings,
        "assignee": references,
        "dueDate": times,
        "createdAt": times,
        "updatedAt": times,
        "completedAt": times,
    },
)
filters: st.SearchStrategy[dict[str, Any]] = st.recursive(
    flat,
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "and": st.lists(inner, max_size=2),
            "or": st.lists(inner, max_size=2),
            "not": inner,
            "completed": st.booleans(),
        },
    ),
    max_leaves=4,
).filter(lambda value: depth(value) <= 5 and conditions(value) <= 50)


def depth(value: dict[str, Any]) -> int:
    inner = [*value.get("and", []), *value.get("or", []), *([value["not"]] if "not" in value else [])]
    return 1 + max(map(depth, inner), default=0)


def conditions(value: dict[str, Any]) -> int:
    inner = [*value.get("and", []), *value.get("or", []), *([value["not"]] if "not" in value else [])]
    own = [
        1 if isinstance(given, bool) else len(given)
        for name, given in value.items()
        if name not in ("and", "or", "not")
    ]
    return sum(own) + sum(map(conditions, inner))


def holds(value: dict[str, Any], row: asyncpg.Record) -> bool:
    """What a filter means, in Python."""
    return all(part(name, given, row) for name, given in value.items())


def part(name: str, given: Any, row: asyncpg.Record) -> bool:
    match name:
        case "and":
            return all(holds(inner, row) for inner in given)
        case "or":
            return any(holds(inner, row) for inner in given)
        case "not":
            return not holds(given, row)
        case "completed":
            return bool(row["completed"] == given)
        case "overdue":
            return bool(given) == (row["due_date"] is not None and row["due_date"] < NOW and not row["completed"])
        case "status":
            return compare(given, row["status"].upper(), str)
        case "priority":
            return compare(given, PRIORITIES.index(row["priority"]), lambda word: PRIORITIES.index(word.lower()))
        case "title":
            return compare(given, row["title"], str)
        case "assignee":
            return compare(given, row["assigned_to"], lambda id: (GlobalID.parse(id) or ("", ""))[1])
    column = {
        "dueDate": "due_date",
        "createdAt": "created_at",
        "updatedAt": "updated_at",
        "completedAt": "completed_at",
    }
    return compare(given, row[column[name]], moment)


def moment(text: str) -> datetime:
    durations = {"P1DT12H": 1.5 * DAY, "-P1DT12H": -1.5 * DAY, "PT0S": 0 * DAY}
    return NOW + durations[text] if text in durations else datetime.fromisoformat(text)


def compare(comparator: dict[str, Any], value: Any, read: Any) -> bool:
    tests: dict[str, Callable[[Any], bool]] = {
        "eq": lambda wanted: value == read(wanted),
        "neq": lambda wanted: value != read(wanted),
        "in": lambda wanted: value in map(read, wanted),
        "nin": lambda wanted: value not in map(read, wanted),
        "lt": lambda wanted: value < read(wanted),
        "lte": lambda wanted: value <= read(wanted),
        "gt": lambda wanted: value > read(wanted),
        "gte": lambda wanted: value >= read(wanted),
        "contains": lambda wanted: wanted in value,
        "startsWith": lambda wanted: value.startswith(wanted),
    }
    return all(
        (value is None) == wanted if name == "isNull" else value is not None and tests[name](wanted)
        for name, wanted in comparator.items()
    )


async def sow(api: Api, owner: Person) -> None:
    await api.issuer.connection.execute(
        'INSERT INTO "user" (id, name, email, "emailVerified") VALUES ($1, $1, $1, true)', "helper"
    )
    await api.issuer.connection.executemany(
        "INSERT INTO tasks (user_id, title, status, priority, due_date, assigned_to, created_at, updated_at, "
        "completed_at) VALUES ($1, $2, $3::task_status, $4, $5, $6, $7, $7, $8)",
        [
            (
                owner.id,
                TITLES[n % 7],
                STATUSES[n % 3],
                PRIORITIES[n % 4],
                None if n % 5 == 0 else NOW + (n % 7 - 3) * DAY + DAY / 4,
                "helper" if n % 2 else None,
                NOW + (n % 3 - 3) * DAY,
                NOW + (n % 4 - 2) * DAY + DAY / 4,  # of those that are completed
            )
            for n in range(30)
        ],
    )


@settings(max_examples=100)
@given(task_filter=filters)
@example(task_filter={"completedAt": {"lt": "PT0S"}})
async def test_a_filter_finds_what_its_words_mean(api: Api, ada: Person, task_filter: dict[str, Any]) -> None:
    if not await api.issuer.connection.fetchval("SELECT count(*) FROM tasks"):
        await sow(api, ada)
    rows = await api.issuer.connection.fetch("SELECT * FROM tasks ORDER BY created_at DESC, id DESC")
    found = (await api.data(ada, FIND, filter=task_filter))["viewer"]["tasks"]
    assert found["nodes"] == [{"id": str(GlobalID("Task", str(row["id"])))} for row in rows if holds(task_filter, row)]
    assert found["totalCount"] == len(found["nodes"])


@pytest.mark.parametrize(
    ("search", "titles"),
    [
        ("milk", {"Buy milk", "Buy oat milk"}),
        ("MILK", {"Buy milk", "Buy oat milk"}),
        ("milk -oat", {"Buy milk"}),
        ("milk bread", set()),
        ("milk or bread", {"Buy milk", "Buy oat milk", "Call"}),
        ('"oat milk"', {"Buy oat milk"}),
        ('"milk oat"', set()),
        ("  ", {"Buy milk", "Buy oat milk", "Call"}),
        ("!!! ''' :*& \\", set()),
        ("mil", set()),
    ],
)
async def test_search_reads_as_in_a_search_box(api: Api, ada: Person, search: str, titles: set[str]) -> None:
    for title, description in (("Buy milk", None), ("Buy oat milk", None), ("Call", "about the bread")):
        await api.create(ada, title, description=description)
    data = await api.data(
        ada, "query($s: String) { viewer { tasks(filter: {search: $s}) { nodes { title } } } }", s=search
    )
    assert {node["title"] for node in data["viewer"]["tasks"]["nodes"]} == titles


@pytest.mark.parametrize(
    ("duration", "found"), [("P1M", True), ("P27D", False), ("P4W", True), ("P1Y2M3W4DT5H6M7S", True), ("-P1D", False)]
)
async def test_a_duration_counts_from_now(api: Api, ada: Person, duration: str, found: bool) -> None:
    await api.create(ada, dueDate=(datetime.now(UTC) + timedelta(days=27, hours=12)).isoformat())
    data = await api.data(ada, FIND, filter={"dueDate": {"lte": duration}})
    assert data["viewer"]["tasks"]["totalCount"] == int(found)


@pytest.mark.parametrize("duration", ['"P1D"', "P1D"])
async def test_a_duration_in_a_document_needs_no_quotes(api: Api, ada: Person, duration: str) -> None:
    await api.create(ada, dueDate="2020-01-01T00:00:00Z")
    query = f"{{ viewer {{ tasks(filter: {{ dueDate: {{ lt: {duration} }} }}) {{ totalCount }} }} }}"
    assert await api.data(ada, query) == {"viewer": {"tasks": {"totalCount": 1}}}


async def test_a_search_is_at_most_1000_characters(api: Api, ada: Person) -> None:
    await api.data(ada, FIND, filter={"search": "x " * 500})
    [error] = await api.errors(ada, FIND, filter={"search": "x" * 1001})
    assert error["message"] == "`filter.search` has 1001 characters; at most 1000 are allowed."


async def test_conditions_are_at_most_50_and_several_on_one_field_count_each(api: Api, ada: Person) -> None:
    two = {"title": {"neq": "a", "contains": "b"}}
    await api.data(ada, FIND, filter={"and": [two] * 25})
    [error] = await api.errors(ada, FIND, filter={"and": [two] * 26})
    assert error["message"] == "`filter.and[25].title.neq` is condition 51; a filter has at most 50."


async def test_a_list_may_have_100_values(api: Api, ada: Person) -> None:
    await api.create(ada, "99")
    found = await api.data(ada, FIND, filter={"title": {"in": [str(n) for n in range(100)]}})
    assert found["viewer"]["tasks"]["totalCount"] == 1


async def test_filters_in_a_filter_are_at_most_100(api: Api, ada: Person) -> None:
    await api.data(ada, FIND, filter={"and": [{}] * 100})
    [error] = await api.errors(ada, FIND, filter={"and": [{}] * 101})
    assert error["message"] == "`filter.and[100]` is filter 101 in a filter; at most 100 are allowed."


async def test_null_means_the_same_as_leaving_it_out(api: Api, ada: Person) -> None:
    await api.create(ada)
    empty = {"completed": None, "title": {"eq": None, "in": None}, "and": None, "not": None, "dueDate": None}
    assert (await api.data(ada, FIND, filter=empty))["viewer"]["tasks"]["totalCount"] == 1
