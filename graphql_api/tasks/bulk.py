"""Changes to many tasks at once: all in one statement, a transaction of its own, that names the viewer in its WHERE.

Rows are locked in the order of their ids, so that two who change the same tasks wait for each other, never in a circle.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from uuid import UUID

import asyncpg
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from graphql_api.database import IS_SET, ME, STATEMENTS_MAX, VIEWER, Database, Statement, as_me
from graphql_api.tasks import reads
from graphql_api.tasks.conditions import Shape, condition
from graphql_api.tasks.models import table
from graphql_api.tasks.reads import COLUMNS
from graphql_api.tasks.selections import Selection
from graphql_api.tasks.writes import (
    ASSIGNEE_MAY,
    IdTaken,
    carry_out,
    is_owned_by,
    is_workable_by,
    new_values,
    parameters,
    uuid7,
)

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

    creation = INSERT(viewer=viewer_id, **{name: [task[name] for task in new] for name in GIVEN})
    try:
        rows = await carry_out(database, creation, check)
    except IdTaken:  # or the viewer is creating it in this moment, too late for this statement to see
        rows = await carry_out(database, creation, check)
    found = {row["id"]: row for row in rows}
    return [found[task["id"]] for task in new]


async def update(database: Database, viewer_id: str, selection: Selection, values: dict[str, Any]) -> Outcome:
    """The tasks with these values; without any the tasks as they are. One statement. Raises `TooMany`."""
    statement = _update(selection.wanted.shape, selection.places is not None, frozenset(values))
    wanted = statement(viewer=viewer_id, **selection.wanted.values, **new_values(values))
    return _outcome(await (carry_out(database, wanted) if values else database.read(wanted)))


@lru_cache(STATEMENTS_MAX)
def _update(wanted: Shape, by_id: bool, names: frozenset[str]) -> Statement:
    """Changes these columns of what is picked."""
    picked = _picked(wanted, by_id=by_id)
    if not names:
        return as_me(picked.add_columns(table.c.id.label("picked")))
    may = is_workable_by if names <= ASSIGNEE_MAY else is_owned_by
    return _change(picked, sa.update(table).values(**parameters(names)).where(may(ME)).returning(*COLUMNS))


async def delete(database: Database, viewer_id: str, selection: Selection) -> Outcome:
    """The tasks that are no more, of each its id. One statement. Raises `TooMany`."""
    statement = _delete(selection.wanted.shape, selection.places is not None)
    return _outcome(await carry_out(database, statement(viewer=viewer_id, **selection.wanted.values)))


@lru_cache(STATEMENTS_MAX)
def _delete(wanted: Shape, by_id: bool) -> Statement:
    change = sa.delete(table).where(is_owned_by(ME)).returning(table.c.id)
    return _change(_picked(wanted, by_id=by_id), change)


def _insert() -> Statement:
    """Rows of new tasks, and of those that the viewer had already. One array for each column, so that the statement is
    the same for any number of tasks."""
    columns = [table.c[name] for name in GIVEN]
    arrays = {column.name: sa.bindparam(column.name, type_=sa.ARRAY(column.type)) for column in columns}
    unnested = sa.func.unnest(*arrays.values()).table_valued(*(sa.column(c.name, c.type) for c in columns))
    given = unnested.render_derived()
    rows = sa.select(*given.c, VIEWER).where(IS_SET).order_by(given.c.id)
    new = insert(table).from_select([*GIVEN, "user_id"], rows).on_conflict_do_nothing().returning(*COLUMNS).cte("new")
    had = reads.owned_by(ME).where(table.c.id == sa.any_(arrays["id"]), IS_SET)
    return Statement(sa.select(*new.c).union_all(had))


INSERT = _insert()


def _picked(wanted: Shape, *, by_id: bool) -> sa.Select[Any]:
    """The tasks that are selected: by id of all that the viewer sees, by a filter of those that are their own.

    One more than may be changed, to tell that there are too many.
    """
    tasks = reads.visible_to(ME) if by_id else reads.owned_by(ME)
    return tasks.where(condition(wanted)).order_by(table.c.id).limit(ROWS_MAX + 1)


def _change(picked: sa.Select[Any], change: sa.Update | sa.Delete) -> Statement:
    """Lock what is picked, count it, and change it: nothing can slip in between, for it is one statement."""
    locked = picked.with_only_columns(table.c.id).where(IS_SET).with_for_update().cte("locked")
    few_enough = sa.select(sa.func.count()).select_from(locked).scalar_subquery() <= ROWS_MAX
    changed = change.where(table.c.id == locked.c.id, few_enough, IS_SET).cte("changed")
    rows = sa.select(locked.c.id.label("picked"), *changed.c).join_from(
        locked, changed, locked.c.id == changed.c.id, isouter=True
    )
    return Statement(rows.order_by(locked.c.id))


def _outcome(rows: list[asyncpg.Record]) -> Outcome:
    if len(rows) > ROWS_MAX:
        raise TooMany
    changed = {row["id"]: row for row in rows if row["id"] is not None}
    return Outcome(changed, {row["picked"] for row in rows} - changed.keys())
