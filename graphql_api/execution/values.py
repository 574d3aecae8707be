"""Values: which need a closer look, and how leaves are written into an answer."""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import Flag
from types import CoroutineType, GeneratorType
from typing import Any

from graphql import GraphQLLeafType, is_enum_type
from graphql.pyutils import Undefined, inspect, is_awaitable
from graphql.type.scalars import (
    GRAPHQL_MAX_INT,
    GRAPHQL_MIN_INT,
    serialize_boolean,
    serialize_float,
    serialize_id,
    serialize_int,
    serialize_string,
)
from strawberry.types.scalar import identity

Coroutine = CoroutineType
"""What completing gives for a value that is still to come; nothing else that is completed has this type."""

PLAIN: set[type] = {str, int, float, bool, list, dict, tuple}
"""Types whose values are nothing but values: not awaitable, not null, no exceptions. It learns, see `is_plain`."""
PLAIN_MAX = 10_000
_NEVER_PLAIN = (type(None), type(Undefined), GeneratorType)  # some generators are awaitable, others are not


def is_plain(value: object) -> bool:
    """True when a look at the value shows that it is plain; then its type is remembered, if that is enough to know."""
    kind = type(value)
    if kind in _NEVER_PLAIN or isinstance(value, Exception) or is_awaitable(value):
        return False
    if not hasattr(kind, "__getattr__") and len(PLAIN) < PLAIN_MAX:  # what it makes up could be `__await__`
        PLAIN.add(kind)
    return True


class Surprise(Exception):
    """Something unusual among many objects, for which nothing is prepared."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """How a leaf type writes its values."""

    coerce: Callable[[Any], Any]
    as_it_is: str | None = None
    """A Python condition on `value` under which it is its own answer; it may name `PLAIN`. None where there is none."""
    enum: type | None = None
    names: Mapping[str, str] | None = None
    """For members of that `enum`: their names in the graph by their names in Python."""


_AS_IT_IS: Mapping[object, str] = {
    serialize_string: "type(value) is str",
    serialize_id: "type(value) is str",
    serialize_boolean: "type(value) is bool",
    serialize_int: f"type(value) is int and {GRAPHQL_MIN_INT} <= value <= {GRAPHQL_MAX_INT}",
    identity: "type(value) in PLAIN",
    serialize_float: f"type(value) is float and {-sys.float_info.max} <= value <= {sys.float_info.max}",
}


def leaf(type_: GraphQLLeafType) -> Leaf:
    """What is known of the type before a value of it is seen."""
    coerce = type_.coerce_output_value
    enum = getattr(type_, "wrapped_cls", None)  # Strawberry's types of enums look through all members each time
    by_strawberry = type_.extensions.get("strawberry-definition") is not None
    if is_enum_type(type_) and by_strawberry and enum is not None and not issubclass(enum, Flag):
        with suppress(Exception):  # of a member that is not equal to itself, say, which nobody may ever give
            return Leaf(coerce, None, enum, {member.name: coerce(member) for member in enum})
    return Leaf(coerce, _AS_IT_IS.get(coerce) if isinstance(coerce, Hashable) else None)


def coerced(type_name: str, value: Any, answer: Any) -> Any:
    """What a leaf type made of a value, if it may stand in an answer. A coroutine when it is awaitable."""
    if answer is None or answer is Undefined:
        raise TypeError(
            f"Expected `{type_name}.coerce_output_value({inspect(value)})` to return non-nullable value, "
            f"returned: {inspect(answer)}"
        )
    return answer if is_plain(answer) or not is_awaitable(answer) else _wait(answer)


async def _wait(awaitable: Any) -> Any:
    return await awaitable
