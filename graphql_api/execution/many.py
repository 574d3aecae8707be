"""Many objects of one type, completed field by field, by the functions of `columns`.

Nothing unusual is prepared for. A `Surprise`, or whatever a resolver raises, has the objects completed one by one, now
and from then on; resolvers are called again then. GraphQL lets only root fields of mutations have effects ("Normal and
Serial Execution"). Nothing is waited for but promises: all that come with the same batches are completed at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from graphql_api.execution.plans import Field, Place, Selection
from graphql_api.execution.promises import Batch, Promise
from graphql_api.execution.run import Run, Steps
from graphql_api.execution.values import PLAIN, Coroutine, Surprise, is_plain, plain
from graphql_api.execution.waiting import together

Answers = list[Any]


@dataclass(slots=True)
class Rows:
    """Where objects stand in the answer for a list."""

    run: Run
    listed: Selection
    """What is selected of the items of the list."""
    path: Callable[[int], Steps]
    """Gives the path of one of them."""
    fail: Callable[[int, Exception], None]
    """Puts null into the place of one of them, or raises the error where null may not stand."""
    waits: list[Promised]
    """What is still to come, of objects inside of these too."""

    def some(self, places: Sequence[int]) -> Rows:
        """Those in these places."""

        def path(place: int) -> Steps:
            return self.path(places[place])

        def fail(place: int, error: Exception) -> None:
            self.fail(places[place], error)

        return Rows(self.run, self.listed, path, fail, self.waits)

    def inside(self, field: Field, answers: Answers) -> Rows:
        """The objects that stand in this field of these; `answers` are those for these."""

        def path(place: int) -> Steps:
            return self.path(place), field.key, field.parent.name

        def fail(place: int, error: Exception) -> None:
            try:
                answers[place][field.key] = field.fail(self.run, error, path(place))
            except Exception as located:
                self.fail(place, located)

        return Rows(self.run, self.listed, path, fail, self.waits)


def of_list(item: Place, listed: Selection, run: Run, values: list[Any], path: Steps) -> Any:
    """The answers for the items of a list, or a coroutine that gives them; None where each is to be found alone."""
    answers: Answers = []

    def path_of(index: int) -> Steps:
        return path, index, None

    def fail(index: int, error: Exception) -> None:
        answers[index] = item.fail(run, error, path_of(index))

    rows = Rows(run, listed, path_of, fail, [])
    try:
        answers += _selected(item, rows, values, {*map(type, values)})
    except Exception:  # it will come again, in its place
        listed.each = None
        return None
    return _awaited(rows.waits, answers) if rows.waits else answers


def of_field(field: Field, rows: Rows, values: list[Any], answers: Answers) -> Answers:
    """What is selected of the objects in a field; promises of them, which are kept later."""
    kinds = {*map(type, values)}
    if Promise in kinds and kinds <= ({Promise, type(None)} if field.is_nullable else {Promise}):
        rows.waits.append(Promised(field, rows, values, answers))
        return values
    return _of_values(field, rows.inside(field, answers), values, kinds)


def _of_values(field: Field, inside: Rows, values: list[Any], kinds: set[type]) -> Answers:
    """What is selected of the objects in a field, of these types."""
    if not kinds <= PLAIN and not all(value is None or is_plain(value) for value in values):
        for value in values:
            if type(value) is Coroutine:
                value.close()  # nobody will wait for it
        raise Surprise
    return _selected(field, inside, values, kinds)


def _selected(place: Place, rows: Rows, values: list[Any], kinds: set[type]) -> Answers:
    """What is selected of these objects, of these types, each of which stands in such a place; null for null."""
    if place.is_nullable and type(None) in kinds:
        present = [number for number, value in enumerate(values) if value is not None]
        some = [values[number] for number in present]
        answers = iter(_selected(place, rows.some(present), some, kinds - {type(None)}))
        return [None if value is None else next(answers) for value in values]
    if not kinds <= PLAIN:
        for value in values:
            plain(value)
    if place.selection is None or place.selection.each is None:
        raise Surprise
    return place.selection.each(rows, values)


async def _awaited(waits: Sequence[Promised], answers: Answers) -> Answers:
    """The answers, with all that was promised."""
    await _complete(waits)
    return answers


async def _complete(waits: Sequence[Promised]) -> None:
    """Completes what was promised, each group as soon as its batches are settled."""
    groups: dict[frozenset[Batch], list[Promised]] = {}
    for promised in waits:
        groups.setdefault(frozenset(one.batch for one in promised.promises if one), []).append(promised)
    if groups:
        await together([_complete_group(batches, group) for batches, group in groups.items()])


async def _complete_group(batches: Iterable[Batch], group: Sequence[Promised]) -> None:
    """Completes what comes with these batches, once they are settled, and then what is promised with it."""
    for batch in batches:
        await batch.settled()
    await _complete([further for promised in group for further in await promised.complete()])


@dataclass(slots=True)
class Promised:
    """A field of many answers in which promises stand, and null."""

    field: Field
    rows: Rows
    promises: list[Promise[Any] | None]
    answers: Answers

    async def complete(self) -> Sequence[Promised]:
        """Puts what is selected of the promised objects into the answers; gives what is promised in them."""
        field = self.field
        rows = replace(self.rows, waits=[])
        inside = rows.inside(field, self.answers)
        kept: dict[int, Any] = {}
        for place, promise in enumerate(self.promises):
            try:
                if promise:
                    kept[place] = promise.result()
            except Exception as error:
                inside.fail(place, error)
        if not kept:
            return ()
        answers = [self.answers[place] for place in kept]
        values = [*kept.values()]
        try:
            done = _of_values(field, rows.some([*kept]).inside(field, answers), values, {*map(type, values)})
        except Exception:
            rows.listed.each = None
            await together({place: self._complete_one(place, inside.path(place)) for place in kept})
            return ()
        for answer, value in zip(answers, done, strict=True):
            answer[field.key] = value
        return rows.waits

    async def _complete_one(self, place: int, path: Steps) -> None:
        promise = self.promises[place]
        assert promise is not None
        try:
            value = self.field.complete_promised(self.rows.run, promise, path)
            self.answers[place][self.field.key] = await value if type(value) is Coroutine else value
        except Exception as error:
            self.rows.fail(place, error)
