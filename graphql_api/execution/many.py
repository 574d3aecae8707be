"""Many objects of one type, completed field by field, by the functions of `columns`.

What is usual is completed by columns. A value that needs a closer look is kept until they are done, and then completed
alone, as if it stood in no list. Whatever a resolver raises has the objects completed one by one, now and from then on;
resolvers are called again then. GraphQL lets only root fields of mutations have effects ("Normal and Serial
Execution"). Promises of objects are waited for together: all that come with the same batches are completed at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
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
    """What the columns leave over."""

    columns: list[Column] = dataclass_field(default_factory=list)
    promised: list[Promised] = dataclass_field(default_factory=list)


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
    rest: Rest
    """Of objects inside of these too."""
    answers: Answers = dataclass_field(default_factory=list)
    """Those for them, when the columns are done."""
    fields: Mapping[str, Field] = dataclass_field(init=False)
    """What is selected of them, by keys of the answer."""

    def some(self, places: Sequence[int]) -> Rows:
        """Those in these places."""

        def path(place: int) -> Steps:
            return self.path(places[place])

        def fail(place: int, error: Exception) -> None:
            self.fail(places[place], error)

        return Rows(self.run, self.listed, path, fail, self.rest)

    def inside(self, field: Field) -> Rows:
        """The objects that stand in this field of these."""

        def path(place: int) -> Steps:
            return self.path(place), field.key, field.parent.name

        def fail(place: int, error: Exception) -> None:
            try:
                self.answers[place][field.key] = field.fail(self.run, error, path(place))
            except Exception as located:
                self.fail(place, located)

        return Rows(self.run, self.listed, path, fail, self.rest)

    def keep(self, key: str, value: Any) -> Odd:
        """What stands for a value of a field of one of them until the columns are done."""
        columns, field = self.rest.columns, self.fields[key]
        if not columns or columns[-1].rows is not self or columns[-1].field is not field:
            columns.append(Column(self, field))
        return Odd(value)


def of_list(item: Place, listed: Selection, run: Run, values: list[Any], path: Steps) -> Any:
    """The answers for the items of a list, or a coroutine that gives them; None where each is to be found alone."""
    answers: Answers = []

    def path_of(index: int) -> Steps:
        return path, index, None

    def fail(index: int, error: Exception) -> None:
        answers[index] = item.fail(run, error, path_of(index))

    rest = Rest()
    try:
        answers += _selected(item, Rows(run, listed, path_of, fail, rest), values, {*map(type, values)})
    except Surprise:
        return None
    except Exception:  # it will come again, in its place
        listed.each = None
        return None
    parts = _finish(run, rest, ())
    return _awaited(parts, answers) if parts else answers


def of_field(field: Field, rows: Rows, values: list[Any]) -> Answers:
    """What is selected of the objects in a field; promises of them, which are kept later."""
    kinds = {*map(type, values)}
    if Promise in kinds and kinds <= ({Promise, type(None)} if field.is_nullable else {Promise}):
        rows.rest.promised.append(Promised(field, rows, values))
        return values
    try:
        return _selected(field, rows.inside(field), values, kinds)
    except Surprise:
        return [rows.keep(field.key, value) for value in values]


def _selected(place: Place, rows: Rows, values: list[Any], kinds: set[type]) -> Answers:
    """What is selected of these objects, of these types, each of which stands in such a place; null for null.

    Raises `Surprise` where each is to be completed alone, before any resolver is called; and whatever those raise.
    """
    if place.is_nullable and type(None) in kinds:
        present = [number for number, value in enumerate(values) if value is not None]
        some = [values[number] for number in present]
        answers = iter(_selected(place, rows.some(present), some, kinds - {type(None)}))
        return [None if value is None else next(answers) for value in values]
    if not (kinds <= PLAIN or all(map(is_plain, values))) or place.selection is None or place.selection.each is None:
        raise Surprise
    return place.selection.each(rows, values)


def _finish(run: Run, rest: Rest, kept: Sequence[Promised]) -> Parts:
    """Completes what is left over, after promises that are kept; gives what is to be waited for then."""
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


@dataclass(slots=True)
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
        inside = self.rows.inside(self.field)
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
        field = self.field
        rows = replace(self.rows, rest=Rest())
        inside = rows.inside(field)
        kept: dict[int, Any] = {}
        for place, promise in enumerate(self.promises):
            try:
                if promise:
                    kept[place] = promise.result()
            except Exception as error:
                inside.fail(place, error)
        if not kept:
            return
        some = rows.some([*kept])
        some.answers = [rows.answers[place] for place in kept]
        values = [*kept.values()]
        try:
            done = _selected(field, some.inside(field), values, {*map(type, values)})
        except Exception:
            rows.listed.each = None
            parts += [self._complete_one(place, inside.path(place)) for place in kept]
            return
        for answer, value in zip(some.answers, done, strict=True):
            answer[field.key] = value
        rest.columns += rows.rest.columns
        rest.promised += rows.rest.promised

    async def _complete_one(self, place: int, path: Steps) -> None:
        promise = self.promises[place]
        assert promise is not None
        try:
            value = self.field.complete_promised(self.rows.run, promise, path)
            self.rows.answers[place][self.field.key] = await value if type(value) is Coroutine else value
        except Exception as error:
            self.rows.fail(place, error)
