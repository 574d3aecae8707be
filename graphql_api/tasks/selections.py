"""Which tasks a change to many is about, as a client says it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import strawberry
from strawberry import UNSET

from graphql_api.errors import ErrorCode, PayloadError, Refused, ValidationError
from graphql_api.relay.connections import given
from graphql_api.tasks import filters
from graphql_api.tasks.filters import BadFilter, Filter, TaskFilter
from graphql_api.tasks.inputs import TaskPatch, changed_values, parse_task_id, shown

IDS_MAX = 100


@strawberry.input(one_of=True, description="Which tasks: give either `ids` or `filter`.")
class TaskSelection:
    ids: list[strawberry.ID] | None = strawberry.field(
        default=UNSET,
        description="IDs of tasks that the viewer may see, at most 100. One given several times counts once.",
    )
    filter: TaskFilter | None = strawberry.field(
        default=UNSET,
        description="Tasks that the viewer owns, and that pass this: at most 1000, or nothing is changed. An empty "
        "filter means all of them.",
    )


@strawberry.input(description="One change to many tasks.")
class UpdateTasksInput:
    select: TaskSelection = strawberry.field(description="Which tasks.")
    patch: TaskPatch = strawberry.field(
        description="What to change in each. An assignee may change `status` and `completed`."
    )


@strawberry.input(description="The tasks to delete.")
class DeleteTasksInput:
    select: TaskSelection = strawberry.field(description="Which tasks. Only their owner may delete them.")


@dataclass(frozen=True, slots=True)
class Selection:
    """The tasks that are meant."""

    wanted: Filter
    places: dict[UUID, int] | None = None
    """Where each id stands in `ids`; None for a filter."""
    malformed: dict[int, PayloadError] = field(default_factory=dict)
    """What stands in `ids` but is no ID of a task, by its place."""


def selected(select: TaskSelection, now: datetime) -> Selection:
    """The tasks that are meant; durations in a filter count from `now`.

    Raises `Refused` for too many ids, and for a filter that cannot be used.
    """
    task_filter = given(select.filter)
    if task_filter is None:
        return _by_ids(given(select.ids) or [])
    try:
        return Selection(filters.read(task_filter, now))
    except BadFilter as bad:
        path = ["input", "select", *bad.place]
        raise Refused(ValidationError(message=bad.message, code=ErrorCode.INVALID, path=path)) from None


def selected_and_changed(input: UpdateTasksInput, now: datetime) -> tuple[Selection, dict[str, Any]]:
    """The tasks that are meant, and values of the columns to change. Raises `Refused` with every broken rule."""
    broken: list[PayloadError] = []
    try:
        selection = selected(input.select, now)
    except Refused as refused:
        broken += refused.errors
    try:
        values = changed_values(input.patch, "input", "patch")
    except Refused as refused:
        broken += refused.errors
    if broken:
        raise Refused(*broken)
    return selection, values


def _by_ids(ids: Sequence[str]) -> Selection:
    if len(ids) > IDS_MAX:
        message = f"`ids` has {len(ids)} IDs; at most {IDS_MAX} are allowed."
        path = ["input", "select", "ids"]
        raise Refused(ValidationError(message=message, code=ErrorCode.LIMIT_EXCEEDED, path=path))
    places: dict[UUID, int] = {}
    malformed: dict[int, PayloadError] = {}
    for place, id in enumerate(ids):
        key = parse_task_id(id)
        if key is not None:
            places.setdefault(key, place)
        elif id not in ids[:place]:
            message = f"`ids` has {shown(id)}, which is not the ID of a Task."
            path = ["input", "select", "ids", str(place)]
            malformed[place] = ValidationError(message=message, code=ErrorCode.INVALID, path=path)
    return Selection(Filter(("id", "in_", "ids"), {"ids": list(places)}), places, malformed)
