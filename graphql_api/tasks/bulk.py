"""Changes to many tasks at once: all in one statement, a transaction of its own, that names the viewer in its WHERE.

Rows are locked in the order of their ids, so that two who change the same tasks wait for each other, never in a circle.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from graphql_api.database import Database
from graphql_api.tasks import reads
from graphql_api.tasks.models import table
from graphql_api.tasks.reads import COLUMNS
from graphql_api.tasks.selections import Selection
from graphql_api.tasks.writes import ASSIGNEE_MAY, IdTaken, carry_out, is_owned_by, is_workable_by, uuid7

ROWS_MAX = 1000

GIVEN = ("id", "title", "description", "status", "priority", "due_date", "assigned_to")
"""Columns of a new task that the statement says; the owner is the viewer, and the rest is the trigger's."""


class TooMany(Exception):
    """More tasks are selected than one statement may change; none was changed."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Rows by id, in the order of ids: those that were changed, and ids of those that the viewer only sees."""

    changed: dict[UUID, asyncpg.Record]
    not_allowed: set[UUID]

    def in_order_of(self, selection: Selection) -> list[asyncpg.Record]:
        """What was changed: as the ids were given, and by id where a filter was."""
        places = self.changed if selection.places is None else selection.places
        return [self.changed[id] for id in places if id in self.changed]


async def create(database: Database, viewer_id: str, tasks: list[dict[str, Any]]) -> list[asyncpg.Record]:
    """Rows of the new tasks, in this order; where the viewer has a task with a chosen id it is that one, unchanged.

    One statement. Raises `IdTaken` when an id is that of another's task; then nothing is created.
    """
    fresh = sorted(uuid7() for _ in tasks)  # in the order of the list, as if they were created one after the other
    new = [{**task, "id": task["id"] or id} for task, id in zip(tasks, fresh, strict=True)]

    def check(rows: list[asyncpg.Record]) -> None:
        if missing := {task["id"] for task in new} - {row["id"] for row in rows}:
            raise IdTaken(*missing)

    statement = _insert(viewer_id, new)
    try:
        rows = await carry_out(database, viewer_id, statement, check)
    except IdTaken:  # or the viewer is creating it in this moment, too late for this statement to see
        rows = await carry_out(database, viewer_id, statement, check)
    found = {row["id"]: row for row in rows}
    return [found[task["id"]] for task in new]


async def update(database: Database, viewer_id: str, selection: Selection, values: dict[str, Any]) -> Outcome:
    """The tasks with these values; without any the tasks as they are. One statement. Raises `TooMany`."""
    picked = _picked(viewer_id, selection)
    if not values:
        return _outcome(await database.read(picked.add_columns(table.c.id.label("picked")), user_id=viewer_id))
    may = is_workable_by if values.keys() <= ASSIGNEE_MAY else is_owned_by
    change = sa.update(table).values(**values).where(may(viewer_id)).returning(*COLUMNS)
    return await _change(database, viewer_id, picked, change)


async def delete(database: Database, viewer_id: str, selection: Selection) -> Outcome:
    """The tasks that are no more, of each its id. One statement. Raises `TooMany`."""
    change = sa.delete(table).where(is_owned_by(viewer_id)).returning(table.c.id)
    return await _change(database, viewer_id, _picked(viewer_id, selection), change)


def _insert(viewer_id: str, tasks: list[dict[str, Any]]) -> sa.CompoundSelect[Any]:
    """Rows of new tasks, and of those that the viewer had already. One array for each column, so that the statement is
    the same for any number of tasks."""
    columns = [table.c[name] for name in GIVEN]
    arrays = [sa.literal([task[column.name] for task in tasks], sa.ARRAY(column.type)) for column in columns]
    given = sa.func.unnest(*arrays).table_valued(*(sa.column(c.name, c.type) for c in columns)).render_derived()
    rows = sa.select(*given.c, sa.literal(viewer_id, sa.Text)).order_by(given.c.id)
    new = insert(table).from_select([*GIVEN, "user_id"], rows).on_conflict_do_nothing().returning(*COLUMNS).cte("new")
    ids = sa.literal([task["id"] for task in tasks], sa.ARRAY(sa.Uuid))
    return sa.select(*new.c).union_all(reads.owned_by(viewer_id).where(table.c.id == sa.any_(ids)))


def _picked(viewer_id: str, selection: Selection) -> sa.Select[Any]:
    """The tasks that are selected: by id of all that the viewer sees, by a filter of those that are their own.

    One more than may be changed, to tell that there are too many.
    """
    tasks = reads.owned_by(viewer_id) if selection.places is None else reads.visible_to(viewer_id)
    return tasks.where(selection.condition).order_by(table.c.id).limit(ROWS_MAX + 1)


async def _change(database: Database, viewer_id: str, picked: sa.Select[Any], change: sa.Update | sa.Delete) -> Outcome:
    """Lock what is picked, count it, and change it: nothing can slip in between, for it is one statement."""
    locked = picked.with_only_columns(table.c.id).with_for_update().cte("locked")
    few_enough = sa.select(sa.func.count()).select_from(locked).scalar_subquery() <= ROWS_MAX
    changed = change.where(table.c.id == locked.c.id, few_enough).cte("changed")
    rows = sa.select(locked.c.id.label("picked"), *changed.c).join_from(
        locked, changed, locked.c.id == changed.c.id, isouter=True
    )
    return _outcome(await carry_out(database, viewer_id, rows.order_by(locked.c.id)))


def _outcome(rows: list[asyncpg.Record]) -> Outcome:
    if len(rows) > ROWS_MAX:
        raise TooMany
    changed = {row["id"]: row for row in rows if row["id"] is not None}
    return Outcome(changed, {row["picked"] for row in rows} - changed.keys())
