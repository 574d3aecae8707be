"""Cursors: the sort keys of one row, together with the order that they belong to."""

import base64
from binascii import b2a_base64
from collections.abc import Sequence

import orjson

from graphql_api import instants
from graphql_api.relay.keyset import Key, Order


class BadCursor(ValueError):
    """A text that is no cursor of this order. Always the same, so that it tells nothing."""


def encode(order: Order, keys: Sequence[object]) -> str:
    """The place of the row with these sort keys; times are instants, so that nothing is rounded."""
    text = orjson.dumps([order.signature, *keys], str)
    return b2a_base64(text, newline=False).decode()


def decode(order: Order, cursor: str) -> list[object]:
    """The sort keys of the row at a cursor. Raises `BadCursor` unless it was made by `encode` for the same order."""
    try:
        signature, *values = orjson.loads(base64.b64decode(cursor, validate=True))
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


def instant(value: object) -> int:
    """The time that `encode` wrote."""
    if type(value) is not int or not instants.FIRST <= value <= instants.LAST:
        raise BadCursor
    return value
