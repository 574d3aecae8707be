"""Long lists of objects are completed in a loop, and by their answers nobody can tell."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Generator
from datetime import UTC, datetime
from enum import Enum
from functools import partial
from inspect import isawaitable
from random import Random
from types import SimpleNamespace
from typing import Annotated, Any, NewType, TypeVar, cast

import pytest
import strawberry
from graphql import ExecutionResult, GraphQLError, execute, parse
from graphql.type.directives import GraphQLDisableErrorPropagationDirective
from strawberry.schema.config import StrawberryConfig
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext as Core

from graphql_api.execution.completion import MANY
from graphql_api.execution.executor import Plan
from graphql_api.execution.promises import Batch, Promise
from tests.differences import promise
from tests.test_execution import awaited, outcome, plan, shown

T = TypeVar("T")

Misdeeds = dict[str, str]
"""What resolvers of an object do wrong, by their names."""


class World:
    """The resolvers that were called in an execution, with the numbers of their objects."""

    calls: list[tuple[str, int]]


world = World()


class Soon:
    """Gives the value to all who wait for it, and looks like something similar."""

    def __init__(self, value: object) -> None:
        self._value = value

    def __getattr__(self, name: str) -> Any:
        return -1 if name == "number" else getattr(self._value, name)

    def __repr__(self) -> str:
        return "Soon"

    def __await__(self) -> Generator[Any, None, Any]:
        yield
        return self._value


async def soon(value: object) -> object:
    return value


def failure(value: object) -> object:
    raise ValueError(f"no {value}")


MISDEEDS: dict[str, Callable[[Any], object]] = {
    "raises": failure,
    "gives an error": lambda value: ValueError(f"no {value}"),
    "gives nothing": lambda value: None,
    "gives a number": lambda value: value if isinstance(value, Thing | Box | None) else 2**40,
    "gives a dict": lambda value: value if isinstance(value, Thing | Box | None) else {"of": str(value)},
    "gives a coroutine": soon,
    "gives what is to be awaited": Soon,
}


def act(one: Any, name: str, value: T) -> T:
    """What the resolver of this name gives for an object."""
    world.calls.append((name, one.number))
    misdeed = MISDEEDS.get(one.misdeeds.get(name))
    return cast("T", misdeed(value)) if misdeed else value


def promised(one: Any, name: str, value: T) -> Awaitable[T]:
    """What the resolver of this name promises for an object: kept at once or later, and wrong in either way."""
    try:
        given = act(one, name, value)
    except ValueError as error:
        if one.number % 2:
            raise
        given = cast("T", error)
    if given is not value and (one.number % 2 or isawaitable(given)):
        return cast("Awaitable[T]", given)
    return promise(given, one.number % 3)


@strawberry.enum
class Size(Enum):
    SMALL = 1
    LARGE = strawberry.enum_value(2, name="BIG")


Word = NewType("Word", str)
"""Numbers become null, which no scalar may do."""

SCALARS: dict[object, Any] = {
    Word: strawberry.scalar(name="Word", serialize=lambda value: None if isinstance(value, int) else str(value))
}


@strawberry.type
class Box:
    """It has no interface, and so nobody asks whether an object is one."""

    word: Word


@strawberry.interface
class Named:
    @strawberry.field
    def id(self) -> strawberry.ID:
        return act(self, "id", strawberry.ID("id"))


@strawberry.type
class Thing(Named):
    number: int
    misdeeds: strawberry.Private[Misdeeds]
    of_twin: strawberry.Private[Misdeeds] = strawberry.field(default_factory=dict)
    plain: str | None = "plain"

    @strawberry.field
    def text(self) -> str:
        return act(self, "text", "text")

    @strawberry.field
    def perhaps(self) -> str | None:
        return act(self, "perhaps", "perhaps" if self.number % 2 else None)

    @strawberry.field
    def real(self) -> float | None:
        return act(self, "real", 0.5)

    @strawberry.field
    def flag(self) -> bool:
        return act(self, "flag", True)

    @strawberry.field
    def size(self) -> Size:
        return act(self, "size", Size.LARGE)

    @strawberry.field
    def moment(self) -> datetime | None:
        return act(self, "moment", datetime(2026, 1, 1, tzinfo=UTC))

    @strawberry.field
    def word(self) -> Word | None:
        return act(self, "word", Word("word"))

    @strawberry.field
    def box(self) -> Box | None:
        return act(self, "box", Box(word=Word("in a box")))

    @strawberry.field
    def added(self, to: int = 1) -> int | None:
        return act(self, "added", self.number + to)

    @strawberry.field
    def of(self, parent: strawberry.Parent[Any]) -> int:
        return act(self, "of", self.number + int(parent.number))

    @strawberry.field
    def told(self, info: strawberry.Info) -> str | None:
        return act(self, "told", f"{info.field_name} at {info.path.prev.key if info.path.prev else None}")

    @strawberry.field(graphql_type=Annotated["Thing", strawberry.lazy("tests.test_long_lists")])  # type: ignore[untyped-decorator]
    def twin(self, info: strawberry.Info) -> Awaitable[Thing]:
        return promised(self, "twin", Thing(number=self.number + 100, misdeeds=self.of_twin))

    @strawberry.field(graphql_type=Box | None)  # type: ignore[untyped-decorator]
    def gift(self, unwrapped: bool = False) -> Awaitable[Box] | None:
        return promised(self, "gift", Box(word=Word("a gift"))) if self.number % 4 else act(self, "gift", None)

    @strawberry.field
    async def later(self) -> str | None:
        return act(self, "later", "later")

    @strawberry.field
    def words(self) -> list[str] | None:
        return act(self, "words", ["some", "words"])


@strawberry.type
class Edge:
    """See `Box`."""

    number: strawberry.Private[int]
    misdeeds: strawberry.Private[Misdeeds]
    thing: strawberry.Private[Thing]

    @strawberry.field
    def cursor(self) -> str:
        return act(self, "cursor", f"cursor {self.number}")

    @strawberry.field
    def node(self) -> Thing:
        return act(self, "node", self.thing)

    @strawberry.field
    def other(self) -> Thing | None:
        return act(self, "other", self.thing if self.number % 3 else None)


@strawberry.type
class Query:
    edges: list[Edge]
    some_edges: list[Edge | None] | None
    things: list[Thing]
    some_things: list[Thing | None]


SCHEMA = strawberry.Schema(Query, config=StrawberryConfig(scalar_map=SCALARS))._schema
AT_HAND = ["id", "number", "plain", "text", "perhaps", "real", "flag", "size", "moment", "__typename", "again: text"]
AT_HAND += ["added", "added(to: 2)", "added(to: $to)", "of", "word", "box { word }", "told"]
AT_HAND += ["twin { text }", "twin { told perhaps box { word } }", "twin { twin { told } }", "gift { word }"]
OTHERS = ["later", "words", "added(to: $perhaps)", "twin { later }"]
RESOLVERS = [
    "word",
    "box",
    "id",
    "text",
    "perhaps",
    "real",
    "flag",
    "size",
    "moment",
    "added",
    "of",
    "told",
    "twin",
    "gift",
    "later",
    "words",
]


def document(random: Random, directive: str = "") -> str:
    def of_things() -> str:
        fields = random.sample(AT_HAND, random.randint(1, 6)) + random.sample(OTHERS, random.choice([0, 0, 0, 1]))
        named = (f"a{number}: {name}" if "(" in name else name for number, name in enumerate(fields))
        return f"{{ {' '.join(named)} }}"

    def of_edges() -> str:
        node, other = ("{ ...shared }",) * 2 if random.random() < 0.3 else (of_things(), of_things())
        parts = ["cursor", f"node {node}", f"other {other}", "__typename"]
        return f"{{ {' '.join(random.sample(parts, random.randint(1, 4)))} }}"

    edges, things = random.choice(["edges", "someEdges"]), random.choice(["things", "someThings"])
    query = f"query ($to: Int!, $perhaps: Int) {directive}\n{{ {edges} {of_edges()} {things} {of_things()} }}"
    return f"{query} fragment shared on Thing {of_things()}"


def root(random: Random, count: int, wrong: float) -> Query:
    """Things and edges; this share of their resolvers does something wrong, and some items are none."""

    def misdeeds(*names: str) -> Misdeeds:
        return {name: random.choice([*MISDEEDS]) for name in names if random.random() < wrong}

    def some(values: list[Any]) -> list[Any]:
        odd: list[Callable[[Any], Any]] = [Soon, lambda value: ValueError("no item")]
        missing = random.choice([0, 0.3])
        return [
            random.choice(odd)(value) if random.random() < wrong else None if random.random() < missing else value
            for value in values
        ]

    things = [
        Thing(number=number, misdeeds=misdeeds(*RESOLVERS), of_twin=misdeeds(*RESOLVERS)) for number in range(count)
    ]
    edges = [Edge(number=one.number, misdeeds=misdeeds("cursor", "node", "other"), thing=one) for one in things]
    return Query(edges=edges, some_edges=some(edges), things=things, some_things=some(things))


VARIABLES = {"to": 3}


def asked(ours: Plan, given: Query) -> tuple[ExecutionResult, list[tuple[str, int]]]:
    return outcome(world, partial(ours.execute, VARIABLES, root=given))


def nulls(result: ExecutionResult) -> set[tuple[str | int, ...]]:
    """Where null stands for errors."""

    def of(error: GraphQLError) -> tuple[str | int, ...]:
        at: Any = result.data
        steps = iter(error.path or [])
        way = []
        while at is not None:
            way.append(next(steps))
            at = at[way[-1]]
        return tuple(way)

    return {of(error) for error in result.errors or []}


def agree(ours: ExecutionResult, theirs: ExecutionResult, possible: ExecutionResult) -> bool:
    """True for equal results. Where one null comes of several errors in fields that are waited for, any of them may be
    told (GraphQL, "Handling Execution Errors")."""
    if shown(ours) == shown(theirs):
        return True
    told, tellable = (shown(result)[1] for result in (ours, possible))
    return ours.data == theirs.data and nulls(ours) == nulls(theirs) and all(error in tellable for error in told)


@pytest.mark.filterwarnings("ignore:coroutine 'GraphQLCoreConverter:RuntimeWarning")  # graphql-core's, as the next
@pytest.mark.filterwarnings("ignore:coroutine 'Executor:RuntimeWarning")  # as in `test_execution`
@pytest.mark.filterwarnings("ignore:coroutine 'soon:RuntimeWarning")  # left where null stands, as under graphql-core
@pytest.mark.usefixtures("collects_afterwards")
@pytest.mark.parametrize("chunk", range(8))
def test_gives_the_same_data_and_errors_as_graphql_core(chunk: int) -> None:
    by_loops = 0
    for seed in range(chunk * 40, chunk * 40 + 40):
        random = Random(seed)
        text = document(Random(seed))
        query = parse(text)
        all_errors = parse(document(random, f"@{GraphQLDisableErrorPropagationDirective.name}"))
        for wrong in (0, 0.01, 0.05, 0.3):
            given = root(random, random.choice([0, 1, MANY - 1, MANY, 20]), wrong)
            core = partial(execute, SCHEMA, root_value=given, variable_values=VARIABLES, executor_class=Core)
            expected, their_calls = outcome(world, partial(core, query))
            possible, all_calls = outcome(world, partial(core, all_errors))
            ours = plan(SCHEMA, query, Core)
            first, _ = asked(ours, given)
            second, our_calls = asked(ours, given)
            assert agree(first, expected, possible), seed
            assert agree(second, expected, possible), seed
            if possible.data == expected.data:
                assert sorted(our_calls) == sorted(their_calls), seed
            else:  # some more are called, or some fewer, where null stands in the end
                assert Counter(our_calls) <= Counter(all_calls), seed
            by_loops += our_calls != their_calls
    assert by_loops >= 10


def test_objects_in_a_field_are_resolved_for_all_before_what_is_beside_them() -> None:
    ours = plan(SCHEMA, parse("{ edges { cursor node { text flag } } }"), Core)
    _, calls = asked(ours, root(Random(1), MANY, 0))
    numbers = range(MANY)
    inside = [(name, number) for number in numbers for name in ("text", "flag")]
    assert calls == [*(("node", number) for number in numbers), *inside, *(("cursor", number) for number in numbers)]


PROMISING = parse("{ things { twin { twin { text } perhaps } gift { word } } }")


def test_promised_objects_are_completed_field_by_field_too() -> None:
    ours = plan(SCHEMA, PROMISING, Core)
    result, calls = asked(ours, root(Random(1), 9, 0))
    assert result.errors is None
    asked_for = [("twin", 0), ("gift", 0), ("twin", 100), ("perhaps", 100), ("text", 200)]
    assert calls == [(name, first + number) for name, first in asked_for for number in range(9)]


def test_a_promise_that_is_broken_has_no_other_object_completed_alone() -> None:
    ours = plan(SCHEMA, PROMISING, Core)
    given = root(Random(1), 9, 0)
    given.things[6].misdeeds["gift"] = "raises"
    broken, calls = asked(ours, given)
    assert [error.path for error in broken.errors or []] == [["things", 6, "gift"]]
    given.things[6].misdeeds.clear()
    whole, calls_again = asked(ours, given)
    assert whole.errors is None
    assert calls == calls_again
    assert calls[:9] == [("twin", number) for number in range(9)]


@pytest.mark.parametrize("misdeed", MISDEEDS)
@pytest.mark.parametrize("resolver", ["twin", "gift"])
@pytest.mark.parametrize("numbers", [{3}, {6}, set(range(MANY))], ids=["odd", "even", "all"])
def test_whatever_stands_among_promises_is_seen(resolver: str, misdeed: str, numbers: set[int]) -> None:
    given = root(Random(1), MANY, 0)
    given.some_things = [None, *given.things]
    for number in numbers:
        given.things[number].misdeeds[resolver] = misdeed
    for query in ("{ someThings { twin { text } gift { word } } }", "{ someThings { twin { later } gift { word } } }"):
        expected, _ = outcome(world, partial(execute, SCHEMA, parse(query), given, executor_class=Core))
        ours = plan(SCHEMA, parse(query), Core)
        for _ in range(2):
            assert shown(asked(ours, given)[0]) == shown(expected)


def test_all_promises_may_be_broken() -> None:
    given = root(Random(1), MANY, 0)
    for one in given.things:
        one.number *= 2
        one.misdeeds["twin"] = "raises"
    query = parse("{ someThings { twin { later } } }")
    expected, _ = outcome(world, partial(execute, SCHEMA, query, given, executor_class=Core))
    assert shown(asked(plan(SCHEMA, query, Core), given)[0]) == shown(expected)


def test_what_stands_in_promised_objects_that_are_completed_again_is_waited_for_once() -> None:
    given = root(Random(1), MANY, 0)
    given.things[2].of_twin["perhaps"] = "raises"
    expected, _ = outcome(world, partial(execute, SCHEMA, PROMISING, given, executor_class=Core))
    ours = plan(SCHEMA, PROMISING, Core)
    for _ in range(2):
        assert shown(asked(ours, given)[0]) == shown(expected)


Promises = Callable[[], Awaitable[Any]]


@strawberry.type
class Link:
    """Leads to others, as the context has it."""

    end: str = "end"

    @strawberry.field(graphql_type=Annotated["Link", strawberry.lazy("tests.test_long_lists")] | None)  # type: ignore[untyped-decorator]
    def next(self, info: strawberry.Info[dict[str, Promises], Any], by: str) -> Awaitable[Any]:
        return info.context[by]()


@strawberry.type
class Links:
    @strawberry.field
    def links(self, count: int) -> list[Link]:
        return [Link() for _ in range(count)]


LINKS = strawberry.Schema(Links)._schema


async def test_what_is_promised_with_one_batch_does_not_wait_for_another() -> None:
    late, told = Batch(), {"late": Link()}

    def last() -> Awaitable[Any]:
        late.settle(told)
        return promise(Link(), 0)

    query = parse(
        f'{{ links(count: {MANY}) {{ end slow: next(by: "late") {{ end }} '
        'next(by: "soon") { next(by: "last") { end } } } }'
    )
    context: dict[str, Promises] = {
        "late": lambda: Promise(late, "late"),
        "soon": lambda: promise(Link(), 1),
        "last": last,
    }
    async with asyncio.timeout(5):
        result = await awaited(plan(LINKS, query, Core).execute({}, context, Links()))
    assert result.errors is None
    assert result.data["links"] == [{"end": "end", "slow": {"end": "end"}, "next": {"next": {"end": "end"}}}] * MANY


@pytest.mark.parametrize("count", [1, MANY - 1, MANY])
async def test_a_promise_of_a_promise_is_no_object(count: int) -> None:
    query = parse(f'{{ links(count: {count}) {{ next(by: "twice") {{ end }} }} }}')
    context = {"twice": lambda: promise(promise(Link(), 1), 1)}
    ours = plan(LINKS, query, Core)
    expected = await awaited(execute(LINKS, query, Links(), context, executor_class=Core))
    assert len(expected.errors or []) == count
    for _ in range(2):
        assert shown(await awaited(ours.execute({}, context, Links()))) == shown(expected)


@strawberry.type
class Pair:
    number: int

    @strawberry.field(graphql_type=Annotated["Thing", strawberry.lazy("tests.test_long_lists")])  # type: ignore[untyped-decorator]
    def whole(self) -> Awaitable[Thing]:
        return promise(Thing(number=self.number, misdeeds={}), 1)

    @strawberry.field(graphql_type=Annotated["Thing", strawberry.lazy("tests.test_long_lists")])  # type: ignore[untyped-decorator]
    def broken(self) -> Awaitable[Thing]:
        return promise(ValueError("broken") if self.number else Thing(number=0, misdeeds={}), 1)


@strawberry.type
class Pairs:
    @strawberry.field
    def pairs(self) -> list[Pair]:
        return [Pair(number=number) for number in range(MANY)]


@pytest.mark.usefixtures("collects_afterwards")
def test_what_is_to_be_awaited_beside_a_broken_promise_is_not_left_behind() -> None:
    """Python would complain of a coroutine that nobody waits for."""
    schema = strawberry.Schema(Pairs, config=StrawberryConfig(scalar_map=SCALARS))._schema
    query = parse("{ pairs { whole { later } broken { text } } }")
    expected, _ = outcome(world, partial(execute, schema, query, Pairs(), executor_class=Core))
    assert [error.message for error in expected.errors or []] == ["broken"]
    ours = plan(schema, query, Core)
    for _ in range(2):
        assert shown(outcome(world, partial(ours.execute, {}, root=Pairs()))[0]) == shown(expected)


def test_few_objects_are_completed_one_by_one() -> None:
    ours = plan(SCHEMA, parse("{ things { text flag } }"), Core)
    _, calls = asked(ours, root(Random(1), MANY - 1, 0))
    assert calls == [(name, number) for number in range(MANY - 1) for name in ("text", "flag")]


@pytest.mark.parametrize("field", OTHERS)
def test_a_field_that_asks_for_more_than_its_object_is_known_before_the_first_call(field: str) -> None:
    ours = plan(SCHEMA, parse(f"query ($perhaps: Int) {{ things {{ text {field} }} }}"), Core)
    assert asked(ours, root(Random(1), MANY, 0))[1].count(("text", 0)) == 1


def test_objects_may_be_missing() -> None:
    given = root(Random(1), MANY, 0)
    given.some_edges = [None, *given.edges]
    query = "{ someEdges { cursor other { text perhaps } } }"
    result, calls = asked(plan(SCHEMA, parse(query), Core), given)
    assert (result.data or {})["someEdges"][:3] == [
        None,
        {"cursor": "cursor 0", "other": None},
        {"cursor": "cursor 1", "other": {"text": "text", "perhaps": "perhaps"}},
    ]
    assert [name for name, _ in calls] == [*["other"] * 8, *["text", "perhaps"] * 5, *["cursor"] * 8]


@pytest.mark.parametrize("misdeed", MISDEEDS)
@pytest.mark.parametrize("resolver", ["node", "text", "other", "real"])
def test_no_resolver_is_called_twice_because_another_object_is_odd(resolver: str, misdeed: str) -> None:
    ours = plan(SCHEMA, parse("{ edges { cursor node { text real } other { text } } }"), Core)
    given = root(Random(1), MANY, 0)
    one = given.things[4] if resolver in ("text", "real") else given.edges[4]
    one.misdeeds[resolver] = misdeed
    if misdeed == "raises":
        asked(ours, given)  # all are called again, this once
    for _ in range(2):
        _, calls = asked(ours, given)
        assert Counter(calls) <= Counter({call: 1 + (call[0] == "text") for call in calls})


@strawberry.type
class Kept:
    """Has coroutines that were made before anybody asks."""

    word: str
    kept: strawberry.Private[Any] = None

    @strawberry.field
    def given(self) -> str:
        return cast("str", self.kept)


@strawberry.type
class Keeper:
    soon: list[Kept]
    now: list[Kept]


KEEPER = strawberry.Schema(Keeper)._schema


@pytest.mark.parametrize("count", [MANY - 1, MANY])
@pytest.mark.parametrize("query", ["{ soon { word } }", "{ now { word } }", "{ now { given } }"])
@pytest.mark.parametrize("all_of_them", [True, False])
def test_coroutines_among_many_objects_are_awaited(count: int, query: str, all_of_them: bool) -> None:
    def one(number: int) -> Any:
        def perhaps(value: object) -> Any:
            return soon(value) if all_of_them or number == count - 1 else value

        if "soon" in query:
            return perhaps(Kept(word="word"))
        return Kept(word="word", kept=perhaps("kept")) if "given" in query else Kept(word=perhaps("word"))

    def made() -> Keeper:
        items = [one(number) for number in range(count)]
        return Keeper(soon=items, now=items)

    document = parse(query)
    ours = plan(KEEPER, document, Core)
    expected, _ = outcome(world, partial(execute, KEEPER, document, made(), executor_class=Core))
    assert expected.errors is None
    for _ in range(2):
        assert shown(outcome(world, partial(ours.execute, {}, root=made()))[0]) == shown(expected)


@pytest.mark.parametrize("turn", [partial(strawberry.cast, Edge), lambda one: SimpleNamespace(**vars(one))])
def test_an_object_of_another_type_is_refused(turn: Callable[[Thing], Any]) -> None:
    given = root(Random(1), MANY, 0)
    given.things[4] = turn(given.things[4])
    result, _ = asked(plan(SCHEMA, parse("{ things { text } }"), Core), given)
    assert result.errors
    assert result.errors[0].path == ["things", 4]
