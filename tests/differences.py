"""Schemas, documents, variables and resolvers at random: the resolvers misbehave, but each time in the same way."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine, Sequence
from random import Random
from typing import Any

from graphql import (
    GraphQLArgument,
    GraphQLBoolean,
    GraphQLEnumType,
    GraphQLError,
    GraphQLField,
    GraphQLFloat,
    GraphQLID,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInt,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNamedType,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLSchema,
    GraphQLString,
    GraphQLUnionType,
    is_abstract_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
)
from graphql.pyutils import Undefined

from graphql_api.execution.promises import Batch, Promise


def _coerce_odd(value: Any) -> Any:
    if value == 2:
        return None  # as no scalar should
    if value == 4:
        return Undefined
    if value == 6:
        return soon("six", 1)
    if not isinstance(value, int):
        raise TypeError(f"Odd takes no {type(value).__name__}.")
    return [value] if value > 100 else value


_given: list[Coroutine[Any, Any, Any]] = []


def soon(value: Any, turns: int) -> Coroutine[Any, Any, Any]:
    _given.append(_after(value, turns))
    return _given[-1]


def tidy_up() -> None:
    """Closes the coroutines that resolvers gave and nobody wanted, so that they do not complain; forgets batches."""
    _open.clear()
    while _given:
        _given.pop().close()


async def _after(value: Any, turns: int) -> Any:
    """The value after some turns of the loop; an exception is raised."""
    for _ in range(turns):
        await asyncio.sleep(0)
    if isinstance(value, Exception):
        raise value
    return value


_open: dict[int, tuple[Batch, dict[int, Any]]] = {}
"""Batches that are asked for in this turn of the loop, by the number of turns that they take."""


def promise(value: Any, turns: int) -> Promise[Any]:
    """A promise that is settled after so many turns of the loop, and with it all others that are asked for now."""
    loop = asyncio.get_running_loop()
    if turns == 0:
        known = Batch()
        known.settle({"one": value})
        return Promise(known, "one")
    if turns not in _open:
        batch, outcomes = _open[turns] = Batch(), {}

        def tell(turns: int) -> None:
            if turns:
                loop.call_soon(tell, turns - 1)
            else:
                batch.settle(outcomes)

        loop.call_soon(_open.pop, turns, None)
        loop.call_soon(tell, turns - 1)
    batch, outcomes = _open[turns]
    outcomes[len(outcomes)] = value
    return Promise(batch, len(outcomes) - 1)


def _task(value: Any, turns: int) -> asyncio.Task[Any]:
    return asyncio.ensure_future(_after(value, turns))


class Awaitable:
    """Neither coroutine nor future."""

    def __init__(self, value: Any, turns: int) -> None:
        self._value = value
        self._turns = turns

    def __await__(self) -> Any:
        return soon(self._value, self._turns).__await__()


class Extended(GraphQLError):
    """An error with a message, extensions, and nodes of its own."""


ODD = GraphQLScalarType("Odd", coerce_output_value=_coerce_odd)
COLOR = GraphQLEnumType("Color", {"RED": 1, "GREEN": "green", "BLUE": (3,)})
LEAVES: Sequence[Any] = (GraphQLInt, GraphQLFloat, GraphQLString, GraphQLBoolean, GraphQLID, COLOR, ODD)
POINT: GraphQLInputObjectType = GraphQLInputObjectType(
    "Point",
    lambda: {
        "x": GraphQLInputField(GraphQLNonNull(GraphQLInt)),
        "y": GraphQLInputField(GraphQLInt, default_value=7, out_name="up"),
        "next": GraphQLInputField(POINT),
        "colors": GraphQLInputField(GraphQLList(GraphQLNonNull(COLOR))),
    },
)
ARGUMENTS = {
    "count": GraphQLArgument(GraphQLInt, default_value=3),
    "name": GraphQLArgument(GraphQLString, out_name="called"),
    "must": GraphQLArgument(GraphQLNonNull(GraphQLBoolean), default_value=True),
    "point": GraphQLArgument(POINT),
    "ids": GraphQLArgument(GraphQLList(GraphQLNonNull(GraphQLID))),
}
LITERALS = {
    "count": ["1", "null", "$count"],
    "name": ['"a"', "null", "$name"],
    "must": ["true", "$must"],
    "point": ["{x: 1}", "{x: $x, next: {x: 2, y: $count}, colors: [RED, $color]}", "$point"],
    "ids": ['["a", 1]', '"b"', '[$id, "c"]', "[]"],
}
VARIABLES: dict[str, tuple[str, list[Any]]] = {
    "count": ("Int", [1, None, Undefined]),
    "name": ("String", ["x", None, Undefined]),
    "must": ("Boolean = true", [True, False, True, False, None, Undefined]),
    "x": ("Int!", [5]),
    "color": ("Color!", ["GREEN"]),
    "point": ("Point", [{"x": 1}, {"x": 2, "y": None, "next": {"x": 3}}, None, Undefined]),
    "id": ("ID!", ["i", 2]),
    "yes": ("Boolean!", [True, False]),
    "perhaps": ("Boolean = false", [True, False, True, None, Undefined]),
}


class Schemas:
    """One schema at random; its resolvers do the same for the same seed."""

    def __init__(self, random: Random, seed: int, *, asynchronous: bool) -> None:
        self.random = random
        self.seed = seed
        self.asynchronous = asynchronous
        self.calls: list[Any] = []
        """Each call of a resolver, in order: the path and the arguments."""
        self.named = GraphQLInterfaceType(
            "Named", lambda: {"name": GraphQLField(GraphQLString)}, resolve_type=self._resolve_type()
        )
        self.things = [
            GraphQLObjectType(
                f"Thing{number}",
                lambda number=number: self._fields(number),  # type: ignore[misc]
                interfaces=[self.named] if number else [],
                is_type_of=self._is_type_of(number),
            )
            for number in range(3)
        ]
        self.union = GraphQLUnionType("Any", self.things, resolve_type=self._resolve_type())
        query, mutation = (GraphQLObjectType(name, self._fields(name)) for name in ("Query", "Mutation"))
        self.schema = GraphQLSchema(query, mutation, types=self.things)

    def _fields(self, of: object) -> dict[str, GraphQLField]:
        fields = {"name": self._field(GraphQLString)} if of in (1, 2) else {}
        for number in range(self.random.randint(3, 6)):
            composite = self.random.random() < (0.8 if isinstance(of, str) else 0.5)
            inner = self.random.choice([*self.things, self.named, self.union] if composite else LEAVES)
            type_ = inner if isinstance(of, str) and self.random.random() < 0.7 else self._wrapped(inner)
            fields[f"f{of}_{number}"] = self._field(type_)
        return fields

    def _field(self, type_: Any) -> GraphQLField:
        resolve = self._resolve if self.random.random() < 0.7 else None
        return GraphQLField(type_, args=ARGUMENTS if self.random.random() < 0.3 else None, resolve=resolve)

    def _wrapped(self, type_: Any) -> Any:
        for wrapper in (GraphQLNonNull, GraphQLList, GraphQLNonNull):
            if self.random.random() < 0.35:
                type_ = type_ if wrapper is GraphQLNonNull and is_non_null_type(type_) else wrapper(type_)
        return type_

    def _is_type_of(self, number: int) -> Callable[..., Any] | None:
        kind = self.random.choice(["none", "always", "sometimes", "later"])
        if kind == "none" or (kind == "later" and not self.asynchronous):
            return None

        def is_type_of(value: Any, info: Any) -> Any:
            verdict = self._is(value, number) or (kind == "always" and not is_abstract_type(info.return_type))
            return soon(verdict, 1) if kind == "later" else verdict

        return is_type_of

    @staticmethod
    def _is(value: Any, number: int) -> bool:
        return bool(getattr(value, "number", None) == number or (isinstance(value, dict) and value["number"] == number))

    def _resolve_type(self) -> Callable[..., Any] | None:
        kind = self.random.choice(["default", "sync", "later", "wrong"])
        if kind == "default" or (kind == "later" and not self.asynchronous):
            return None

        def resolve_type(value: Any, info: Any, _type: Any) -> Any:
            number = value["number"] if isinstance(value, dict) else getattr(value, "number", None)
            name: Any = None if number is None else f"Thing{number}"
            if kind == "wrong" and self._chance(info.path.as_list()).random() < 0.3:
                name = self._chance(info.path.as_list()).choice([None, 5, [], "Query", "Odd", "Nobody"])
            return soon(name, 1) if kind == "later" else name

        return resolve_type

    def _chance(self, path: Sequence[Any]) -> Random:
        return Random(f"{self.seed} {path}")

    def _resolve(self, _source: Any, info: Any, **arguments: Any) -> Any:
        path = info.path.as_list()
        self.calls.append((path, repr(sorted(arguments.items(), key=str)), info.field_name, str(info.parent_type)))
        for value in arguments.values():
            if isinstance(value, (dict, list)):
                value.clear()  # what a resolver does to its arguments is its own affair
        return self._given(info.return_type, self._chance(path), depth=len(path))

    def _given(self, type_: Any, chance: Random, depth: int) -> Any:
        """What a resolver returns, or raises."""
        kind = chance.random()
        if kind < 0.04:
            raise chance.choice([ValueError("raised"), Extended("with", extensions={"code": 1}), KeyError("key")])
        value = ValueError("as a value") if kind < 0.07 else self._value(type_, chance, depth)
        if self.asynchronous and chance.random() < 0.4:
            return chance.choice([soon, Awaitable, promise, _task])(value, chance.randint(0, 3))
        return value

    def _value(self, type_: Any, chance: Random, depth: int) -> Any:
        if is_non_null_type(type_):
            return self._value(type_.of_type, chance, depth) if chance.random() < 0.97 else None
        if chance.random() < 0.08:
            return chance.choice([None, Undefined])
        if is_list_type(type_):
            return self._list(type_.of_type, chance, depth)
        if is_leaf_type(type_):
            return self._leaf(type_, chance)
        return self._object(type_, chance, depth)

    def _list(self, item: Any, chance: Random, depth: int) -> Any:
        if chance.random() < 0.05:
            return chance.choice(["no list", 5, {"no": "list"}])
        length = chance.randint(0, 3 if depth < 4 else 1)
        items = [self._item(item, chance, depth) for _ in range(length)]
        kind = chance.random()
        if kind < 0.15:
            return tuple(items)
        if kind < 0.3:
            return _one_by_one(items, fails=chance.random() < 0.2)
        if kind < 0.4 and self.asynchronous:
            return _one_by_one_later(items, fails=chance.random() < 0.2)
        return items

    def _item(self, item: Any, chance: Random, depth: int) -> Any:
        try:
            return self._given(item, chance, depth + 1)
        except Exception as error:
            return error

    @staticmethod
    def _leaf(type_: GraphQLNamedType, chance: Random) -> Any:
        wrong = [object, "text", b"bytes", [1], {}, math.inf, math.nan, 2**31, -(2**31) - 1, 10**400, True, 1.5, ""]
        right: dict[str, list[Any]] = {
            "Int": [0, 1, -5, 2**31 - 1, -(2**31), True, 3.0, "12"],
            "Float": [0.5, 1, -1e300, "2.5", False],
            "String": ["", "ü", 1, 1.5, True],
            "Boolean": [True, False, 0, 1, 0.0],
            "ID": ["id", 7, "7"],
            "Color": [1, "green", (3,), 1.0, True],
            "Odd": [1, 3, 2, 4, 6, 101, "no"],
        }
        return chance.choice(wrong) if chance.random() < 0.08 else chance.choice(right[type_.name])

    def _object(self, type_: Any, chance: Random, depth: int) -> Any:
        possible = [type_] if isinstance(type_, GraphQLObjectType) else self.schema.get_possible_types(type_)
        exact = chance.choice(list(possible))
        if chance.random() < 0.04:
            exact = chance.choice(self.things)
        thing: dict[str, Any] = {"number": self.things.index(exact)}
        if chance.random() < 0.8:
            thing["__typename"] = exact.name
        for name, field in exact.fields.items():
            if field.resolve is None and depth < 6:  # else it is missing
                thing[name] = self._attribute(field, chance, depth)
        if chance.random() < 0.5:
            return thing
        made = type("Made", (), {})()
        for name, value in thing.items():
            setattr(made, "_Made__typename" if name == "__typename" else name, value)
        return made

    def _attribute(self, field: GraphQLField, chance: Random, depth: int) -> Any:
        kind = chance.random()
        if kind < 0.2 and not field.args:
            return lambda info: self._value(field.type, self._chance(info.path.as_list()), len(info.path.as_list()))
        value = self._value(field.type, chance, depth + 1)
        return soon(value, 1) if self.asynchronous and kind > 0.8 else value


def _one_by_one(items: Sequence[Any], *, fails: bool) -> Any:
    yield from items
    if fails:
        raise OSError("The list broke off.")


async def _one_by_one_later(items: Sequence[Any], *, fails: bool) -> Any:
    for item in items:
        await asyncio.sleep(0)
        yield item
    if fails:
        raise OSError("The list broke off.")


class Documents:
    """Documents at random for a schema. Not all of them are valid."""

    def __init__(self, random: Random, schema: GraphQLSchema) -> None:
        self.random = random
        self.schema = schema
        self.fragments: dict[str, str] = {}

    def text(self) -> str:
        kind = self.random.choice(["query", "query", "mutation"])
        root = self.schema.query_type if kind == "query" else self.schema.mutation_type
        selected = self._selections(root, 0)
        text = " ".join([selected, *self.fragments.values()])
        declared = [f"${name}: {VARIABLES[name][0]}" for name in VARIABLES if f"${name}" in text.replace("$ids", "")]
        used = [d for d in declared if _uses(text, d)]
        return f"{kind} {'(' + ', '.join(used) + ')' if used else ''} {text}"

    def variables(self) -> dict[str, Any]:
        chosen = {name: self.random.choice(values) for name, (_, values) in VARIABLES.items()}
        return {name: value for name, value in chosen.items() if value is not Undefined}

    def _selections(self, type_: Any, depth: int) -> str:
        count = self.random.randint(2, 5 if depth < 3 else 3)
        return "{ " + " ".join(self._selection(type_, depth) for _ in range(count)) + " }"

    def _selection(self, type_: Any, depth: int) -> str:
        kind = self.random.random()
        fields = getattr(type_, "fields", {})
        if depth < 5 and (kind < 0.2 or (kind < 0.8 and not fields)):
            on = self._narrower(type_)
            return f"... on {on.name} {self._condition()} {self._selections(on, depth + 1)}"
        if depth < 5 and kind < 0.3:
            return f"...{self._fragment(self._narrower(type_), depth)} {self._condition()}"
        leaves = [name for name, field in fields.items() if depth < 5 or is_leaf_type(_named(field.type))]
        if kind < 0.35 or not leaves:
            return f"__typename {self._condition()}"
        name = self.random.choice(leaves)
        return self._field(name, fields[name], depth)

    def _field(self, name: str, field: GraphQLField, depth: int) -> str:
        given = [a for a in field.args if self.random.random() < 0.4]
        arguments = f"({', '.join(f'{a}: {self.random.choice(LITERALS[a])}' for a in given)})" if given else ""
        alias = f"a{self.random.randint(0, 10**6)}: " if arguments or self.random.random() < 0.2 else ""
        inner = _named(field.type)
        below = "" if is_leaf_type(inner) else self._selections(inner, depth + 1)
        return f"{alias}{name}{arguments} {self._condition()} {below}"

    def _condition(self) -> str:
        if self.random.random() < 0.9:
            return ""
        value = self.random.choice(["$yes", "$yes", "$yes", "true", "$perhaps"])
        return f"@{self.random.choice(['skip', 'include'])}(if: {value})"

    def _fragment(self, type_: Any, depth: int) -> str:
        name = f"F{type_.name}{depth}"
        if name not in self.fragments:
            self.fragments[name] = ""  # while it is being written nothing below can use it
            self.fragments[name] = f"fragment {name} on {type_.name} {self._selections(type_, depth + 1)}"
        return name

    def _narrower(self, type_: Any) -> Any:
        if isinstance(type_, GraphQLObjectType):
            return self.random.choice([type_, *(type_.interfaces or [])])
        return self.random.choice([type_, *self.schema.get_possible_types(type_)])


def _named(type_: Any) -> Any:
    while hasattr(type_, "of_type"):
        type_ = type_.of_type
    return type_


def _uses(text: str, declaration: str) -> bool:
    variable = declaration.partition(":")[0]
    return any(part == variable for part in text.replace("(", " ").replace(")", " ").translate(_SIGNS).split())


_SIGNS = str.maketrans(dict.fromkeys("{}[],:", " "))
