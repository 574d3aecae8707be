"""Loaders collect what aiodataloader's collect, and tell everybody what became of their key."""

import asyncio
from collections.abc import Callable

import pytest
from aiodataloader import DataLoader

from graphql_api.loading import Loader


class Squares(Loader[int, int]):
    """Remembers its batches; knows no square of 7, and fails whole for 13."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[list[int]] = []

    async def batch_load_fn(self, keys: list[int]) -> list[int]:
        self.batches.append(keys)
        await asyncio.sleep(0)
        if 13 in keys:
            raise ValueError("thirteen")
        seven: list[int] = [KeyError(7) if key == 7 else key * key for key in keys]  # type: ignore[misc]
        return seven


async def test_keys_that_are_wanted_together_are_loaded_together() -> None:
    loader = Squares()
    assert await loader.load_many([3, 1, 3, 2]) == [9, 1, 9, 4]
    assert await loader.load(3) == 9
    assert await loader.load(4) == 16
    assert loader.batches == [[3, 1, 2], [4]]


async def test_what_is_made_of_a_value_is_told_to_who_asked_for_it() -> None:
    loader = Squares()
    found = await asyncio.gather(loader.load(2), loader.load(2, str), loader.load(2, lambda value: -value))
    assert [*found] == [4, "4", -4]
    assert await loader.load(2, float) == 4.0
    with pytest.raises(ZeroDivisionError):
        await loader.load(3, lambda value: value / 0)
    assert loader.batches == [[2], [3]]


async def test_an_error_for_one_key_is_told_to_those_who_wait_for_it() -> None:
    loader = Squares()
    found = await asyncio.gather(loader.load(6), loader.load(7), loader.load(8), return_exceptions=True)
    assert [*found[::2]] == [36, 64]
    assert isinstance(found[1], KeyError)


async def test_a_batch_that_fails_is_tried_again_by_the_next_who_asks() -> None:
    loader = Squares()
    for _ in range(2):
        found = await asyncio.gather(loader.load(12), loader.load(13), return_exceptions=True)
        assert [str(error) for error in found] == ["thirteen"] * 2
    assert await loader.load(12) == 144
    assert loader.batches == [[12, 13], [12, 13], [12]]


async def test_a_batch_with_too_few_values_fails() -> None:
    class Short(Squares):
        async def batch_load_fn(self, keys: list[int]) -> list[int]:
            return keys[1:]

    loader = Short()
    for error in await asyncio.gather(loader.load(1), loader.load(2), return_exceptions=True):
        assert isinstance(error, ValueError)


async def test_who_gives_up_does_not_disturb_the_others() -> None:
    loader = Squares()
    first, second, same = (asyncio.ensure_future(loader.load(key)) for key in (1, 2, 1))
    await asyncio.sleep(0)
    first.cancel()
    assert [*await asyncio.gather(second, same, loader.load(1))] == [4, 1, 1]
    assert first.cancelled()
    assert loader.batches == [[1, 2]]


class Endless(Squares):
    """Loads for ever what was asked for too early."""

    def __init__(self) -> None:
        super().__init__()
        self.is_early = True
        self.given_up: list[list[int]] = []

    async def batch_load_fn(self, keys: list[int]) -> list[int]:
        if self.is_early:
            try:
                await asyncio.Event().wait()
            finally:
                self.given_up.append(keys)
        return await super().batch_load_fn(keys)


@pytest.mark.parametrize("turns", range(1, 6))
async def test_what_nobody_waits_for_any_more_is_loaded_no_further_and_anew_for_the_next(turns: int) -> None:
    loader = Endless()
    before = asyncio.all_tasks()

    async def wait(key: int) -> int:
        return await loader.load(key)

    waiting = [asyncio.create_task(wait(key)) for key in (1, 2, 1)]
    for _ in range(turns):
        await asyncio.sleep(0)
    unasked = loader.load(2, str)  # nobody waits for this yet
    for one in waiting:
        one.cancel()
    await asyncio.wait(waiting)
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before
    assert loader.given_up == ([[1, 2]] if turns > 1 else [])
    loader.is_early = False
    async with asyncio.timeout(5):
        assert [*await asyncio.gather(loader.load(1), loader.load(3), unasked)] == [1, 9, "4"]
    assert sorted(key for batch in loader.batches for key in batch) == [1, 2, 3]


async def test_who_stays_gets_what_others_gave_up_waiting_for() -> None:
    loader = Squares()
    first, second = (asyncio.ensure_future(loader.load(1)) for _ in range(2))
    while not loader.batches:  # noqa: ASYNC110
        await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    assert await second == 1
    assert loader.batches == [[1]]


async def test_who_asks_while_it_is_being_loaded_gets_it_with_the_others() -> None:
    loader = Squares()
    first = loader.load(1)
    for _ in range(3):
        await asyncio.sleep(0)
    assert loader.batches == [[1]]
    assert [*await asyncio.gather(loader.load(1), loader.load(2), first)] == [1, 4, 1]
    assert loader.batches == [[1], [2]]


async def test_values_that_are_known_are_not_loaded() -> None:
    loader = Squares()
    assert await loader.prime(5, 25).load(5) == 25
    assert loader.batches == []
    assert await loader.clear(5).load(5) == 25
    assert loader.batches == [[5]]


@pytest.mark.parametrize("turns", range(6))
async def test_collects_as_long_as_aiodataloader(turns: int) -> None:
    class Theirs(DataLoader[int, int]):
        async def batch_load_fn(self, keys: list[int]) -> list[int]:
            batches.append(keys)
            return keys

    class Ours(Loader[int, int]):
        async def batch_load_fn(self, keys: list[int]) -> list[int]:
            batches.append(keys)
            return keys

    found = []
    kinds: list[Callable[[], DataLoader[int, int]]] = [Theirs, Ours]
    for kind in kinds:
        batches: list[list[int]] = []
        loader = kind()
        first = loader.load(1)
        for _ in range(turns):
            await asyncio.sleep(0)
        await asyncio.gather(first, loader.load(2))
        found.append(batches)
    assert found[0] == found[1]
    assert found[0] == ([[1, 2]] if turns < 2 else [[1], [2]])
