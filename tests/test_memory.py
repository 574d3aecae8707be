"""What a process remembers is bounded, and no older than it may be."""

import pytest

from graphql_api import memory
from graphql_api.memory import Memory
from tests.clock import Clock


def test_forgets_what_was_kept_the_longest() -> None:
    known: Memory[str, int] = Memory(2)
    for number, key in enumerate("abac"):
        known.keep(key, number)
    assert [known.get(key) for key in "abc"] == [2, None, 3]


def test_remembers_nothing_for_longer_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock.of(monkeypatch, memory)
    known: Memory[str, int] = Memory(10, seconds=5)
    known.keep("always", 1)
    known.keep("soon over", 2, until=clock.time() + 3)
    clock.ahead = 4
    assert (known.get("always"), known.get("soon over")) == (1, None)
    clock.ahead = 5
    assert known.get("always") is None


def test_forgets_what_is_kept_anew_when_it_is_over_already(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock.of(monkeypatch, memory)
    known: Memory[str, int] = Memory(10)
    known.keep("key", 1)
    known.keep("key", 2, until=clock.time())
    assert known.get("key") is None
    never: Memory[str, int] = Memory(10, seconds=0)
    never.keep("key", 1)
    assert never.get("key") is None
