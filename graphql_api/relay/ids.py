"""Global ids: the name of a type and the id of a row, in one opaque text."""

from __future__ import annotations

import base64
from binascii import b2a_base64
from typing import NamedTuple

import strawberry


class GlobalID(NamedTuple):
    """What an id of the graph says. `str` gives the form that clients see, `parse` takes it back."""

    type_name: str
    key: str

    def __str__(self) -> str:
        return b2a_base64(f"{self.type_name}:{self.key}".encode(), newline=False).decode()

    @classmethod
    def parse(cls, text: str) -> GlobalID | None:
        """None for anything that `str` would not have written, so that one object has one id."""
        try:
            type_name, colon, key = base64.b64decode(text, validate=True).decode().partition(":")
        except ValueError:
            return None
        parsed = cls(type_name, key)
        return parsed if colon and key and str(parsed) == text else None


ID_DESCRIPTION = "Unique among all objects of the graph. Opaque: keep it, compare it, send it back."


@strawberry.interface(description="Anything with an id of its own, which `node(id:)` finds again.")
class Node:
    @strawberry.field(description=ID_DESCRIPTION)
    def id(self) -> strawberry.ID:
        raise NotImplementedError
