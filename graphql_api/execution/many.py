"""Many objects of one type, completed in a loop, by the functions of `loops`.

What is usual is completed there. A value that needs a closer look is kept until the loop is done, and then completed
alone, as if it stood in no list. Whatever a resolver raises has the objects completed one by one, now and from then on;
resolvers are called again then. GraphQL lets only root fields of mutations have effects ("Normal and Serial
Execution"). Promises of objects are waited for together: all that come with the same batches are completed at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import Any

from graphql_api.execution.plans import Field, Place, Selection
from graphql_api.execution.promises import Batch, Promise
from graphql_api.execution.run import Run, Steps
from graphql_api.execution.values import PLAIN, Coroutine, Surprise, is_plain
from graphql_api.execution.waiting import PENDING, leave, together

Answers = list[Any]
Parts = list[Any]
"""Coroutines that put into the answers what is still to come."""


@dataclass(slots=True)
class Odd:
    """Stands in an answer for a value that needs a closer look."""

    value: Any


@dataclass(slots=True)
class Rest:
    """What the loops leave over."""

    columns: dict[Column, None] = dataclass_field(default_factory=dict)
    """In the order in which something odd was found in them."""
    promised: list[Promised] = dataclass_field(default_factory=list)


class Rows:
    """Where objects stand in the answer for a list."""

    __slots__ = ("answers", "fields", "listed", "rest", "run")

    answers: Answers
    """Those for them, when the loop is done."""
    fields: Mapping[str, Field]
    """What is selected of them, by keys of the answer."""
    listed: Selection
    """What is selected of the items of the list."""
    rest: Rest
    """Of objects inside of these too."""

    def __init__(self, run: Run, listed: Selection, rest: Rest) -> None:
        self.run = run
        self.listed = listed
        self.rest = rest

    def path(self, place: int) -> Steps:
        """The path of one of them."""
        raise NotImplementedError

    def fail(self, place: int, error: Exception) -> None:
        """Puts null into the place of one of them, or raises the error where null may not stand."""
        raise NotImplementedError

    def keep(self, key: str, value: Any) -> Odd:
        """What stands for a value of a field of one of them until the loop is done."""
        self.rest.columns[Column(self, self.fields[key])] = None
        return Odd(value)


class _Items(Rows):
    """The items of a list."""

    __slots__ = ("_item", "_path", "result")

    result: Answers
    """The answer for the list, in which null may stand for one of them."""

    def __init__(self, item: Place, listed: Selection, run: Run, path: Steps) -> None:
        super().__init__(run, listed, Rest())
        self._item = item
        self._path = path

    def path(self, place: int) -> Steps:
        return self._path, place, None

    def fail(self, place: int, error: Exception) -> None:
        self.result[place] = self._item.fail(self.run, error, self.path(place))


class _Inside(Rows):
    """The objects that stand in a field of others."""

    __slots__ = ("_field", "_outer")

    def __init__(self, outer: Rows, field: Field) -> None:
        super().__init__(outer.run, outer.listed, outer.rest)
        self._outer = outer
        self._field = field

    def path(self, place: int) -> Steps:
        return self._outer.path(place), self._field.key, self._field.parent.name

    def fail(self, place: int, error: Exception) -> None:
        try:
            self._outer.answers[place][self._field.key] = self._field.fail(self.run, error, self.path(place))
        except Exception as located:
            self._outer.fail(place, located)


class _Some(Rows):
    """Those of others in certain places."""

    __slots__ = ("_all", "_places")

    def __init__(self, all_: Rows, places: Sequence[int]) -> None:
        super().__init__(all_.run, all_.listed, all_.rest)
        self._all = all_
        self._places = places

    def path(self, place: int) -> Steps:
        return self._all.path(self._places[place])

    def fail(self, place: int, error: Exception) -> None:
        self._all.fail(self._places[place], error)


def of_list(item: Place, listed: Selection, run: Run, values: list[Any], path: Steps) -> Any:
    """The answers for the items of a list, or a coroutine that gives them; None where each is to be found alone."""
    rows = _Items(item, listed, run, path)
    try:
        answers = rows.result = [*_selected(item, rows, values, {*map(type, values)})]
    except Surprise:
        return None
    except Exception:  # it will come again, in its place
        listed.each = None
        return None
    parts = _finish(run, rows.rest, ())
    return _awaited(parts, answers) if parts else answers


def of_field(field: Field, rows: Rows, values: list[Any]) -> Answers:
    """What is selected of the objects in a field; promises of them, which are kept later."""
    kinds = {*map(type, values)}
    if Promise in kinds and kinds <= ({Promise, type(None)} if field.is_nullable else {Promise}):
        rows.rest.promised.append(Promised(field, rows, values))
        return values
    try:
        return _selected(field, _Inside(rows, field), values, kinds)
    except Surprise:
        return [rows.keep(field.key, value) for value in values]


def _selected(place: Place, rows: Rows, values: list[Any], kinds: set[type]) -> Answers:
    """What is selected of these objects, of these types, each of which stands in such a place; null for null.

    Raises `Surprise` where each is to be completed alone, before any resolver is called; and whatever those raise.
    """
    if place.is_nullable and type(None) in kinds:
        present = [number for number, value in enumerate(values) if value is not None]
        some = [values[number] for number in present]
        answers = iter(_selected(place, _Some(rows, present), some, kinds - {type(None)}))
        return [None if value is None else next(answers) for value in values]
    if not (kinds <= PLAIN or all(map(is_plain, values))) or place.selection is None or place.selection.each is None:
        raise Surprise
    return place.selection.each(rows, values)


def _finish(run: Run, rest: Rest, kept: Sequence[Promised]) -> Parts:
    """Completes what is left over, after promises that are kept; gives what is to be waited for then."""
    if not (kept or rest.columns or rest.promised):
        return []
    parts: Parts = []
    try:
        for promised in kept:
            promised.complete(rest, parts)
        for column in rest.columns:
            column.complete(parts)
    except Exception:
        leave(run, [*parts, *(odd.value for column in rest.columns for odd in column.odd().values())])
        raise
    groups: dict[frozenset[Batch], list[Promised]] = {}
    for promised in rest.promised:
        groups.setdefault(frozenset(one.batch for one in promised.promises if one), []).append(promised)
    return [*parts, *(_group(run, batches, group) for batches, group in groups.items())]


async def _awaited(parts: Parts, answers: Answers) -> Answers:
    """The answers, with all that was still to come."""
    await together(parts)
    return answers


async def _group(run: Run, batches: Iterable[Batch], group: Sequence[Promised]) -> None:
    """Completes what comes with these batches, once they are settled, and then what is promised with it."""
    for batch in batches:
        await batch
    if parts := _finish(run, Rest(), group):
        await together(parts)


@dataclass(frozen=True, slots=True)
class Column:
    """A field of many answers in which something odd stands."""

    rows: Rows
    field: Field

    def odd(self) -> dict[int, Odd]:
        """By its place, what is not completed yet."""
        key = self.field.key
        return {place: answer[key] for place, answer in enumerate(self.rows.answers) if type(answer[key]) is Odd}

    def complete(self, parts: Parts) -> None:
        """Completes each alone; adds what is to be waited for then."""
        run, answers, key = self.rows.run, self.rows.answers, self.field.key
        inside = _Inside(self.rows, self.field)
        for place, odd in self.odd().items():
            try:
                done = answers[place][key] = self.field.complete_any(run, odd.value, inside.path(place))
            except Exception as error:
                inside.fail(place, error)
                continue
            if type(done) in PENDING:
                parts.append(self._await(place, done))

    async def _await(self, place: int, done: Any) -> None:
        try:
            self.rows.answers[place][self.field.key] = await done
        except Exception as located:  # null may not stand here
            self.rows.fail(place, located)


@dataclass(slots=True)
class Promised:
    """A field of many answers in which promises stand, and null."""

    field: Field
    rows: Rows
    promises: list[Promise[Any] | None]

    def complete(self, rest: Rest, parts: Parts) -> None:
        """Puts what is selected of the promised objects into the answers; adds what they leave over, and what is to be
        waited for where each is completed alone."""
        field, rows = self.field, self.rows
        inside = _Inside(rows, field)
        kept: dict[int, Any] = {}
        for place, promise in enumerate(self.promises):
            try:
                if promise:
                    kept[place] = promise.result()
            except Exception as error:
                inside.fail(place, error)
        if not kept:
            return
        some = _Some(rows, [*kept])
        some.rest = Rest()
        some.answers = [rows.answers[place] for place in kept]
        values = [*kept.values()]
        try:
            done = _selected(field, _Inside(some, field), values, {*map(type, values)})
        except Exception:
            rows.listed.each = None
            parts += [self._complete_one(place, inside.path(place)) for place in kept]
            return
        for answer, value in zip(some.answers, done, strict=True):
            answer[field.key] = value
        rest.columns |= some.rest.columns
        rest.promised += some.rest.promised

    async def _complete_one(self, place: int, path: Steps) -> None:
        promise = self.promises[place]
        assert promise is not None
        try:
            value = self.field.complete_promised(self.rows.run, promise, path)
            self.rows.answers[place][self.field.key] = await value if type(value) is Coroutine else value
        except Exception as error:
            self.rows.fail(place, error)
