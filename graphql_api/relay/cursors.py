"""Cursors: the sort keys of one row, together with the order that they belong to."""

import base64
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import orjson

from graphql_api.relay.keyset import Key, Order

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


class BadCursor(ValueError):
    """A text that is no cursor of this order. Always the same, so that it tells nothing."""


def encode(order: Order, keys: Sequence[object]) -> str:
    """The place of the row with these sort keys; times become whole microseconds, so that nothing is rounded."""
    values = [(key - EPOCH) // MICROSECOND if isinstance(key, datetime) else key for key in keys]
    return base64.urlsafe_b64encode(orjson.dumps([order.signature, *values], default=str)).decode().rstrip("=")


def decode(order: Order, cursor: str) -> list[object]:
    """The sort keys of the row at a cursor. Raises `BadCursor` unless it was made by `encode` for the same order."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        signature, *values = orjson.loads(base64.b64decode(padded, altchars="-_", validate=True))
        if signature != order.signature:
            raise BadCursor
        keys = [_restore(key, value) for key, value in zip(order.keys, values, strict=True)]
        if encode(order, keys) != cursor:
            raise BadCursor
    except (ValueError, TypeError, OverflowError, AttributeError):
        raise BadCursor from None
    return keys


def _restore(key: Key, value: object) -> object:
    if value is None:
        if not key.nullable:
            raise BadCursor
        return None
    return key.restore(value)


def moment(value: object) -> datetime:
    """The time that `encode` wrote as microseconds since 1970."""
    if type(value) is not int:
        raise BadCursor
    return EPOCH + value * MICROSECOND
