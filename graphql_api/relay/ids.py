"""Global ids: the name of a type and the id of a row, in one opaque text."""

from __future__ import annotations

from binascii import a2b_base64, b2a_base64
from typing import NamedTuple

import strawberry


class GlobalID(NamedTuple):
    """What an id of the graph says. `str` gives the form that clients see, `parse` takes it back."""

    type_name: str
    key: str

    def __str__(self) -> str:
        return written(*self)

    @classmethod
    def parse(cls, text: str) -> GlobalID | None:
        """None for anything that `str` would not have written, so that one object has one id."""
        try:
            type_name, colon, key = a2b_base64(text, strict_mode=True).decode().partition(":")
        except ValueError:
            return None
        return cls(type_name, key) if colon and key and written(type_name, key) == text else None


def written(type_name: str, key: object) -> strawberry.ID:
    """The id of this object as clients see it."""
    text = f"{type_name}:{key!s}".encode()
    return b2a_base64(text, newline=False).decode()  # type: ignore[return-value]  # to call `strawberry.ID` does nothing


ID_DESCRIPTION = "Unique among all objects of the graph. Opaque: keep it, compare it, send it back."


@strawberry.interface(description="Anything with an id of its own, which `node(id:)` finds again.")
class Node:
    __slots__ = ()

    @strawberry.field(description=ID_DESCRIPTION)
    def id(self) -> strawberry.ID:
        raise NotImplementedError
