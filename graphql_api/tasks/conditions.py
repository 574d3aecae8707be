"""Filters in SQL. A condition is made of a shape, whatever it compares with, so that each shape is compiled once.

Every comparison is true or false, never unknown: with a null it is false, so `not` is always the complement.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any, cast

import sqlalchemy as sa

from graphql_api.tasks.models import table

Condition = sa.ColumnElement[bool]

Shape = tuple[Any, ...]
"""How a condition reads, whatever it compares with: `("and_", ("completed", False), ("title", "eq", "filter_0"))`."""


OPERATORS: dict[str, Callable[[Any, Any], Condition]] = {
    "eq": lambda column, value: column == value,
    "neq": lambda column, value: column != value,
    "in_": lambda column, values: column == sa.any_(values),
    "nin": lambda column, values: column != sa.all_(values),
    "lt": lambda column, value: column < value,
    "lte": lambda column, value: column <= value,
    "gt": lambda column, value: column > value,
    "gte": lambda column, value: column >= value,
    "contains": lambda column, value: sa.func.strpos(column, value) > 0,
    "starts_with": lambda column, value: sa.func.starts_with(column, value),
    "is_null": lambda column, wanted: column.is_(None) if wanted else column.is_not(None),
}

COLUMNS: dict[str, sa.ColumnElement[Any]] = {
    "id": table.c.id,
    "status": table.c.status,
    "priority": table.c.priority,
    "title": table.c.title,
    "assignee": table.c.assigned_to,
    "due_date": table.c.due_date,
    "created_at": table.c.created_at,
    "updated_at": table.c.updated_at,
    "completed_at": table.c.completed_at,
}


def condition(shape: Shape) -> Condition:
    """The SQL of a filter, with parameters for whatever it compares with."""
    match shape:
        case "and_", *parts:
            return sa.and_(sa.true(), *(condition(part) for part in parts))
        case "or_", *parts:
            return sa.or_(sa.false(), *(condition(part) for part in parts))
        case "not_", part:
            return sa.not_(condition(part))
        case "completed", wanted:
            return cast("Condition", table.c.completed.is_(wanted))
        case "overdue", now:
            return is_overdue(sa.bindparam(now, type_=table.c.due_date.type))
        case "search", text:
            return _search(sa.bindparam(text, type_=sa.String))
    column, operator, operand = shape
    return _comparison(COLUMNS[column], operator, operand)


def _comparison(column: Any, operator: str, operand: Any) -> Condition:
    if operator == "is_null":
        return OPERATORS[operator](column, operand)
    type_ = sa.ARRAY(column.type) if operator in ("in_", "nin") else column.type
    compared = OPERATORS[operator](column, sa.bindparam(operand, type_=type_))
    return compared.is_(True) if column.nullable else compared


def is_overdue(now: sa.ColumnElement[datetime]) -> Condition:
    """True when the due date has passed and the task is not completed."""
    return sa.and_(table.c.due_date.is_not(None), table.c.due_date < now, table.c.completed.is_(False))


def _search(text: sa.ColumnElement[str]) -> Condition:
    """Language-neutral words (`simple`). One user's rows are searched one after the other: under row-level security
    PostgreSQL may not use an index for `@@`, which it does not know to be leakproof."""
    return cast("Condition", table.c.words.bool_op("@@")(sa.func.websearch_to_tsquery(sa.text("'simple'"), text)))
