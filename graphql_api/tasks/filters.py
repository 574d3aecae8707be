"""The filter language: what a client may ask for, and how it is read.

Two parts come of it, a shape and values: `conditions` makes SQL of the one, and the other fills it in.
"""

import dataclasses
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

import strawberry
from strawberry import UNSET

from graphql_api.errors import Code, RequestError
from graphql_api.scalars import DateTimeOrDuration, Duration
from graphql_api.tasks.conditions import COLUMNS, Shape
from graphql_api.tasks.models import Priority, Status
from graphql_api.users.types import user_id

DEPTH_MAX = 5
CONDITIONS_MAX = 50
FILTERS_MAX = 100
"""Filters inside of filters; without conditions they are still work."""
VALUES_MAX = 100
SEARCH_MAX = 1000


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


class Filter(NamedTuple):
    """A filter that was read: its shape, and the values of the parameters that are named in it."""

    shape: Shape
    values: Mapping[str, Any]


EVERYTHING = Filter(("and_",), {})


def read(task_filter: TaskFilter, now: datetime) -> Filter:
    """What the client says; durations count from `now`. Raises `BadFilter`, which is a BAD_USER_INPUT."""
    reading = _Reading(now)
    return Filter(reading.level(task_filter, "filter", 1), reading.values)


class _Reading:
    """One filter as it is read: its conditions are checked and counted, their values put aside."""

    def __init__(self, now: datetime) -> None:
        self.values: dict[str, Any] = {}
        self._now = now
        self._conditions = 0
        self._filters = 0

    def level(self, task_filter: TaskFilter, path: str, depth: int) -> Shape:
        if depth > DEPTH_MAX:
            raise BadFilter(path, f"is {depth} levels deep; a filter has at most {DEPTH_MAX}.")
        self._filters += depth > 1
        if self._filters > FILTERS_MAX:
            raise BadFilter(path, f"is filter {self._filters} in a filter; at most {FILTERS_MAX} are allowed.")
        return ("and_", *(self._part(name, value, path, depth) for name, value in _fields(task_filter)))

    def _part(self, name: str, value: Any, path: str, depth: int) -> Shape:
        here = f"{path}.{_graphql_name(name)}"
        if name in ("and_", "or_"):
            return (name, *(self.level(item, f"{here}[{index}]", depth + 1) for index, item in enumerate(value)))
        if name == "not_":
            return (name, self.level(value, here, depth + 1))
        if name in COLUMNS:
            return ("and_", *self._comparisons(name, value, here))
        self._count(here)
        if name == "search":
            if len(value) > SEARCH_MAX:
                raise BadFilter(here, f"has {len(value)} characters; at most {SEARCH_MAX} are allowed.")
            return (name, self._put_aside(_text(value, here))) if value.strip() else EVERYTHING.shape
        if name == "overdue":
            overdue = (name, self._put_aside(self._now))
            return overdue if value else ("not_", overdue)
        return (name, value)

    def _comparisons(self, column: str, comparator: Any, path: str) -> Iterator[Shape]:
        for name, value in _fields(comparator):
            here = f"{path}.{_graphql_name(name)}"
            self._count(here)
            if isinstance(value, list) and len(value) > VALUES_MAX:
                raise BadFilter(here, f"has {len(value)} values; at most {VALUES_MAX} are allowed.")
            if name == "is_null":
                yield (column, name, value)
            elif isinstance(value, list):
                values = [self._value(item, f"{here}[{place}]", comparator) for place, item in enumerate(value)]
                yield (column, name, self._put_aside(values))
            else:
                yield (column, name, self._put_aside(self._value(value, here, comparator)))

    def _put_aside(self, value: Any) -> str:
        """The name of the parameter that has the value."""
        name = f"filter_{len(self.values)}"
        self.values[name] = value
        return name

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
