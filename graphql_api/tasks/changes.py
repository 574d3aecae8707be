"""What an event says has changed, in words that a client can show."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import strawberry

from graphql_api.tasks.models import Priority, Status
from graphql_api.users.types import global_id

Values = Mapping[str, Any]
"""Columns of a task by name, with values as JSON has them."""


@strawberry.type(description="One value of a task, before and after an event.")
class TaskFieldChange:
    field: Annotated[str, strawberry.field(description="The field of `Task`, for example `dueDate`.")]
    before: Annotated[
        str | None,
        strawberry.field(
            description="The value before, as text: the name of an enum's value, `true` or `false`, a moment in UTC as "
            "RFC 3339, the ID of a `User`. Null for none, and when the viewer did not see the task then."
        ),
    ]
    after: Annotated[str | None, strawberry.field(description="The value after, in the same form.")]


def _moment(value: str) -> str:
    return datetime.fromisoformat(value).astimezone(UTC).isoformat().replace("+00:00", "Z")


def _boolean(value: bool) -> str:
    return "true" if value else "false"


FIELDS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "title": ("title", str),
    "description": ("description", str),
    "status": ("status", lambda value: Status(value).name),
    "completed": ("completed", _boolean),
    "priority": ("priority", lambda value: Priority(value).name),
    "due_date": ("dueDate", _moment),
    "user_id": ("owner", global_id),
    "assigned_to": ("assignee", global_id),
    "created_at": ("createdAt", _moment),
    "completed_at": ("completedAt", _moment),
}
"""By column: the field, and how its value reads. `version` and `updatedAt` change with everything, and say nothing."""


def changes(before: Values | None, after: Values | None) -> list[TaskFieldChange]:
    """What differs between the two; None is a task that the viewer does not see, or that is not."""
    found = []
    for column, (field, text) in FIELDS.items():
        old, new = (values.get(column) if values else None for values in (before, after))
        if old != new:
            old_text, new_text = (None if value is None else text(value) for value in (old, new))
            found.append(TaskFieldChange(field=field, before=old_text, after=new_text))
    return found
