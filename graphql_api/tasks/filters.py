"""The filter language: what a client may ask for, and what that means in SQL.

Every comparison is true or false, never unknown: with a null it is false, so `not` is always the complement.
"""

import dataclasses
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, cast

import sqlalchemy as sa
import strawberry
from strawberry import UNSET

from graphql_api.errors import Code, RequestError
from graphql_api.scalars import DateTimeOrDuration, Duration
from graphql_api.tasks.models import Priority, Status, table
from graphql_api.users.types import user_id

DEPTH_MAX = 5
CONDITIONS_MAX = 50
FILTERS_MAX = 100
"""Filters inside of filters; without conditions they are still work."""
VALUES_MAX = 100
SEARCH_MAX = 1000

Condition = sa.ColumnElement[bool]


def _given(description: str, **options: Any) -> Any:
    """An optional field of an input. Null means the same as leaving it out."""
    return strawberry.field(default=UNSET, description=description, **options)


@strawberry.input(description="Conditions on a status; all that are given must hold.")
class TaskStatusComparator:
    eq: Status | None = _given("Is this one.")
    neq: Status | None = _given("Is any other than this one.")
    in_: list[Status] | None = _given("Is one of these; an empty list matches nothing.", name="in")
    nin: list[Status] | None = _given("Is none of these.")


@strawberry.input(description="Conditions on a priority; all that are given must hold.")
class TaskPriorityComparator:
    eq: Priority | None = _given("Is this one.")
    neq: Priority | None = _given("Is any other than this one.")
    in_: list[Priority] | None = _given("Is one of these; an empty list matches nothing.", name="in")
    nin: list[Priority] | None = _given("Is none of these.")
    lt: Priority | None = _given("Matters less than this one.")
    lte: Priority | None = _given("Matters at most as much as this one.")
    gt: Priority | None = _given("Matters more than this one.")
    gte: Priority | None = _given("Matters at least as much as this one.")


@strawberry.input(description="Conditions on a text, letter by letter, case included; all that are given must hold.")
class StringComparator:
    eq: str | None = _given("Is exactly this.")
    neq: str | None = _given("Is anything but this.")
    in_: list[str] | None = _given("Is one of these, at most 100; an empty list matches nothing.", name="in")
    nin: list[str] | None = _given("Is none of these, at most 100.")
    contains: str | None = _given("Has this somewhere in it. For words in any case there is `search`.")
    starts_with: str | None = _given("Begins with this.")


@strawberry.input(description="Conditions on a reference to an object; all that are given must hold.")
class IDComparator:
    eq: strawberry.ID | None = _given("Is the object with this ID.")
    in_: list[strawberry.ID] | None = _given(
        "Is one of the objects with these IDs, at most 100; an empty list matches nothing.", name="in"
    )
    is_null: bool | None = _given("True: there is none. False: there is one.")


@strawberry.input(
    description="Conditions on a moment; all that are given must hold. Without a moment only `isNull` can."
)
class DateTimeComparator:
    lt: DateTimeOrDuration | None = _given("Before this moment.")
    lte: DateTimeOrDuration | None = _given("At this moment or before.")
    gt: DateTimeOrDuration | None = _given("After this moment.")
    gte: DateTimeOrDuration | None = _given("At this moment or after.")
    is_null: bool | None = _given("True: there is none. False: there is one.")


@strawberry.input(
    description="Which tasks. All given conditions must hold. At most 5 levels deep, 50 conditions in all."
)
class TaskFilter:
    and_: list["TaskFilter"] | None = _given("All of these hold; an empty list holds.", name="and")
    or_: list["TaskFilter"] | None = _given("At least one of these holds; an empty list does not.", name="or")
    not_: "TaskFilter | None" = _given("This does not hold.", name="not")
    search: str | None = _given(
        'Words of title and description in any case, as in a search box: `milk -oat "corner shop"`. Blank matches all. '
        "At most 1000 characters."
    )
    completed: bool | None = _given("Is completed, or is not.")
    overdue: bool | None = _given("The due date has passed and the task is not completed, or else.")
    status: TaskStatusComparator | None = _given("How far it has come.")
    priority: TaskPriorityComparator | None = _given("How much it matters.")
    title: StringComparator | None = _given("Its title.")
    assignee: IDComparator | None = _given("The `User` it is assigned to.")
    due_date: DateTimeComparator | None = _given("When it is due.")
    created_at: DateTimeComparator | None = _given("When it was created.")
    updated_at: DateTimeComparator | None = _given("When it was last changed.")
    completed_at: DateTimeComparator | None = _given("When it was completed.")


class BadFilter(RequestError):
    """A filter that is too large or malformed, with the `place` of its part at fault, `filter` first."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(Code.BAD_USER_INPUT, f"`{path}` {problem}")
        self.place = re.findall(r"\w+", path)


def condition(task_filter: TaskFilter | None, now: datetime) -> Condition | None:
    """The filter in SQL, None without one; durations count from `now`.

    Raises `BadFilter`, which is a BAD_USER_INPUT.
    """
    return None if task_filter is None else _Translation(now).level(task_filter, "filter", 1)


OPERATORS: dict[str, Callable[[Any, Any], Condition]] = {
    "eq": lambda column, value: column == value,
    "neq": lambda column, value: column != value,
    "in_": lambda column, values: column == sa.any_(sa.literal(values, sa.ARRAY(column.type))),
    "nin": lambda column, values: column != sa.all_(sa.literal(values, sa.ARRAY(column.type))),
    "lt": lambda column, value: column < value,
    "lte": lambda column, value: column <= value,
    "gt": lambda column, value: column > value,
    "gte": lambda column, value: column >= value,
    "contains": lambda column, value: sa.func.strpos(column, value) > 0,
    "starts_with": lambda column, value: sa.func.starts_with(column, value),
    "is_null": lambda column, wanted: column.is_(None) if wanted else column.is_not(None),
}

COLUMNS: dict[str, sa.ColumnElement[Any]] = {
    "status": table.c.status,
    "priority": table.c.priority,
    "title": table.c.title,
    "assignee": table.c.assigned_to,
    "due_date": table.c.due_date,
    "created_at": table.c.created_at,
    "updated_at": table.c.updated_at,
    "completed_at": table.c.completed_at,
}


class _Translation:
    """One filter on its way into SQL, counting its conditions."""

    def __init__(self, now: datetime) -> None:
        self._now = now
        self._conditions = 0
        self._filters = 0

    def level(self, task_filter: TaskFilter, path: str, depth: int) -> Condition:
        if depth > DEPTH_MAX:
            raise BadFilter(path, f"is {depth} levels deep; a filter has at most {DEPTH_MAX}.")
        self._filters += depth > 1
        if self._filters > FILTERS_MAX:
            raise BadFilter(path, f"is filter {self._filters} in a filter; at most {FILTERS_MAX} are allowed.")
        parts = [self._part(task_filter, name, value, path, depth) for name, value in _fields(task_filter)]
        return sa.and_(sa.true(), *parts)

    def _part(self, task_filter: TaskFilter, name: str, value: Any, path: str, depth: int) -> Condition:
        here = f"{path}.{_graphql_name(name)}"
        if name in ("and_", "or_"):
            levels = [self.level(item, f"{here}[{index}]", depth + 1) for index, item in enumerate(value)]
            return sa.and_(sa.true(), *levels) if name == "and_" else sa.or_(sa.false(), *levels)
        if name == "not_":
            return sa.not_(self.level(value, here, depth + 1))
        if name in COLUMNS:
            return self._comparison(COLUMNS[name], value, here)
        self._count(here)
        if name == "search":
            if len(value) > SEARCH_MAX:
                raise BadFilter(here, f"has {len(value)} characters; at most {SEARCH_MAX} are allowed.")
            return _search(_text(value, here))
        if name == "overdue":
            overdue = is_overdue(self._now)
            return overdue if value else sa.not_(overdue)
        return cast("Condition", table.c.completed.is_(value))

    def _comparison(self, column: Any, comparator: Any, path: str) -> Condition:
        parts = []
        for name, value in _fields(comparator):
            here = f"{path}.{_graphql_name(name)}"
            self._count(here)
            if isinstance(value, list) and len(value) > VALUES_MAX:
                raise BadFilter(here, f"has {len(value)} values; at most {VALUES_MAX} are allowed.")
            values = [self._value(item, here, comparator) for item in value] if isinstance(value, list) else None
            operand = self._value(value, here, comparator) if values is None else values
            part = OPERATORS[name](column, operand)
            parts.append(part if name == "is_null" or not column.nullable else part.is_(True))
        return sa.and_(sa.true(), *parts)

    def _value(self, value: Any, path: str, comparator: Any) -> Any:
        if isinstance(value, Duration):
            try:
                return value.after(self._now)
            except OverflowError:
                raise BadFilter(path, "leads out of the years 2 to 9998.") from None
        if isinstance(comparator, IDComparator) and isinstance(value, str):
            found = user_id(value)
            if found is None:
                raise BadFilter(path, f"is {value!r}, which is not the ID of a User.")
            return found
        return _text(value, path) if isinstance(value, str) else value

    def _count(self, path: str) -> None:
        self._conditions += 1
        if self._conditions > CONDITIONS_MAX:
            raise BadFilter(path, f"is condition {self._conditions}; a filter has at most {CONDITIONS_MAX}.")


def is_overdue(now: datetime) -> Condition:
    """True when the due date has passed and the task is not completed."""
    return sa.and_(table.c.due_date.is_not(None), table.c.due_date < now, table.c.completed.is_(False))


def _search(text: str) -> Condition:
    """Language-neutral words (`simple`). One user's rows are searched one after the other: under row-level security
    PostgreSQL may not use an index for `@@`, which it does not know to be leakproof."""
    if not text.strip():
        return sa.true()
    return cast("Condition", table.c.words.bool_op("@@")(sa.func.websearch_to_tsquery(sa.text("'simple'"), text)))


def _text(value: str, path: str) -> str:
    if "\x00" in value:
        raise BadFilter(path, "has a null character, which no text in the database can have.")
    return value


def _fields(value: Any) -> Iterator[tuple[str, Any]]:
    for field in dataclasses.fields(value):
        given = getattr(value, field.name)
        if given is not UNSET and given is not None:
            yield field.name, given


def _graphql_name(name: str) -> str:
    first, *rest = name.rstrip("_").split("_")
    return first + "".join(word.capitalize() for word in rest)
