"""The compiled executor gives what graphql-core gives, and calls what it calls."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, Awaitable, Mapping, Sequence
from enum import Enum, Flag, StrEnum
from functools import partial, wraps
from inspect import isawaitable
from itertools import product
from random import Random
from typing import Annotated, Any, Protocol

import pytest
import strawberry
from aiodataloader import DataLoader
from graphql import (
    DocumentNode,
    ExecutionResult,
    GraphQLArgument,
    GraphQLError,
    GraphQLField,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLSchema,
    GraphQLString,
    OperationDefinitionNode,
    build_schema,
    execute,
    lexicographic_sort_schema,
    parse,
    validate,
)
from graphql.execution import Executor
from graphql.type.directives import GraphQLDisableErrorPropagationDirective
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from strawberry import UNSET
from strawberry.extensions import FieldExtension
from strawberry.permission import BasePermission
from strawberry.relay.types import GlobalID
from strawberry.schema.config import StrawberryConfig
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext
from strawberry.types.arguments import InputContext
from strawberry.types.fields.resolver import StrawberryResolver

from graphql_api.execution.compiler import FIELDS_MAX
from graphql_api.execution.executor import VARIANTS_MAX, Plan
from graphql_api.execution.promises import Promise
from graphql_api.loading import Loader
from tests.differences import Documents, Schemas, promise, soon, tidy_up


class World(Protocol):
    calls: list[Any]


def plan(schema: GraphQLSchema, document: DocumentNode, executor_class: type[Executor[Any]] = Executor) -> Plan:
    operation = next(d for d in document.definitions if isinstance(d, OperationDefinitionNode))
    return Plan(schema, document, operation, executor_class)


def shown(result: ExecutionResult) -> tuple[Any, list[Any]]:
    """The result with all that a client or a log sees of it; the order of the errors of concurrent fields is free."""
    return repr(result.data), sorted(map(_error, result.errors or []), key=repr)


def _error(error: GraphQLError) -> Any:
    return error.message, error.path, error.locations, error.extensions, repr(error.original_error)


async def awaited(result: Any) -> Any:
    return await result if isawaitable(result) else result


@pytest.mark.filterwarnings("ignore:coroutine 'Executor:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:coroutine 'default_type_resolver:RuntimeWarning")  # held by one of those
@pytest.mark.usefixtures("collects_afterwards")
@pytest.mark.parametrize("asynchronous", [False, True])
def test_gives_the_same_data_and_errors_as_graphql_core(asynchronous: bool) -> None:
    @settings(max_examples=100, suppress_health_check=list(HealthCheck))
    @given(random=st.randoms(use_true_random=False), seed=st.integers(0, 2**32))
    def same(random: Random, seed: int) -> None:
        _compare(random, seed, asynchronous)

    same()


def _compare(random: Random, seed: int, asynchronous: bool) -> bool:
    world = Schemas(random, seed, asynchronous=asynchronous)
    documents = Documents(random, world.schema)
    document = parse(documents.text())
    assume(not validate(world.schema, document))
    ours = plan(world.schema, document)
    for _ in range(2):  # the second time with a plan that has run
        variables = documents.variables()
        expected, their_calls = outcome(
            world,
            lambda variables=variables: execute(
                world.schema, document, variable_values=variables, root_value={}, executor_class=Executor
            ),
        )
        got, our_calls = outcome(world, lambda variables=variables: ours.execute(variables, root={}))
        assert shown(got) == shown(expected)
        assert our_calls == their_calls
    return True


def outcome(world: World, run: Any) -> tuple[ExecutionResult, list[Any]]:
    """The result once all has come to an end that was begun, and what was called."""
    world.calls = []

    async def to_the_end() -> Any:
        result = await awaited(run())
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(others)  # what was left alone belongs to this execution
        return result

    result = asyncio.run(to_the_end())
    tidy_up()
    return result, world.calls


# What resolvers of Strawberry see and give


class Weather(Enum):
    SUN = strawberry.enum_value("sun")
    RAIN = strawberry.enum_value("rain", name="WET")


class Size(StrEnum):
    SMALL = "small"
    LARGE = "large"


class Colour(Flag):
    RED = 1
    BLUE = 2


strawberry.enum(Weather)
strawberry.enum(Size)
strawberry.enum(Colour)


@strawberry.input
class Inner:
    size: Size = Size.SMALL
    tags: list[str] = strawberry.field(default_factory=list)


@strawberry.input
class Outer:
    inner: Inner | None = UNSET
    many: list[Inner] | None = None
    perhaps: strawberry.Maybe[int | None]


@strawberry.input
class Built:
    """Builds its own value."""

    word: str


def _build(_: type, value: Mapping[str, object], context: InputContext) -> object:
    assert context.info is not None
    return f"{value['word']} at {context.path} of {context.info.field_name}"


Built.__strawberry_definition__.from_input = _build  # type: ignore[attr-defined]


@strawberry.input
class Chosen:
    many: list[Built]
    word: str | None


@strawberry.interface
class Named:
    name: str


@strawberry.type
class Cat(Named):
    lives: int = 9

    @strawberry.field
    def twice(self) -> str:
        return self.name * 2


@strawberry.type
class Dog(Named):
    class_: str = strawberry.field(name="class", default="terrier")
    weather: Weather = Weather.SUN

    @property
    def bark(self) -> str:
        return "wuff"

    @strawberry.field
    async def friend(self) -> Named | None:
        return Cat(name="Tom")

    @strawberry.field
    async def missing(self, info: strawberry.Info) -> str | None:
        await asyncio.sleep(0)
        raise LookupError(f"{info.path.as_list()} {info.field_name} {info.python_name} {info.return_type}")


class Never(BasePermission):
    message = "never"

    def has_permission(self, source: Any, info: strawberry.Info, **kwargs: Any) -> bool:
        return False


class Louder(FieldExtension):
    def resolve(self, next_: Any, source: Any, info: strawberry.Info, **kwargs: Any) -> Any:
        return f"{next_(source, info, **kwargs)}!"


@strawberry.type
class Bare:
    value: int
    size: Size
    when: str | None = None


Pet = Annotated[Cat | Dog, strawberry.union("Pet")]


@strawberry.type
class Query:
    @strawberry.field
    def takes(
        self,
        info: strawberry.Info,
        outer: Outer | None = UNSET,
        sizes: list[Size] | None = None,
        id: strawberry.ID | None = None,
        weather: Weather = Weather.RAIN,
        number: Annotated[int | None, strawberry.argument(name="count")] = UNSET,
    ) -> str:
        shown = repr((outer, sizes, id, weather, number, info.variable_values, info.context))
        if outer and outer.inner:
            outer.inner.tags.append("changed")
        if sizes is not None:
            sizes.append(Size.LARGE)
        return shown

    @strawberry.field
    def built(
        self,
        chosen: list[Chosen] | None = None,
        ids: list[GlobalID] | None = None,
        id: GlobalID | None = None,
        perhaps: strawberry.Maybe[int] = None,
    ) -> str | None:
        return repr((chosen, ids, id, perhaps))

    @strawberry.field
    def seen(self, info: strawberry.Info) -> list[str]:
        names = [getattr(one, "name", None) for selected in info.selected_fields for one in selected.selections]
        raw = info._raw_info
        return [
            repr(x) for x in (names, info.query, info.root_value, info.operation.name, raw.path, raw.fragments.keys())
        ]

    @strawberry.field
    def at(root: Any) -> str:  # noqa: N805
        return f"{root}"

    @strawberry.field
    def below(self, above: strawberry.Parent[Any]) -> str:
        return f"{self} {above}"

    @strawberry.field
    @staticmethod
    def still() -> int | None:
        return 2**40

    @strawberry.field
    def pets(self) -> list[Pet]:
        return [Cat(name="Tom"), Dog(name="Rex"), strawberry.cast(Cat, Bare(value=1, size=Size.SMALL))]  # type: ignore[list-item]

    @strawberry.field
    def named(self) -> list[Named]:
        return [Cat(name="Tom"), Dog(name="Rex")]

    @strawberry.field
    def wrong_cat(self) -> Cat | None:
        return Dog(name="Rex")  # type: ignore[return-value]

    @strawberry.field
    def any_cat(self) -> Cat | None:
        return Named(name="no cat")  # type: ignore[return-value]

    @strawberry.field
    def bare(self) -> list[Bare | None]:
        wrong: Any = Bare(value="x", size="unknown")  # type: ignore[arg-type]
        return [Bare(value=1, size=Size.LARGE), Bare(value=2, size="small"), wrong, None, object()]  # type: ignore[list-item, arg-type]

    @strawberry.field
    def colour(self, red: bool = False) -> Colour | None:
        return Colour.RED if red else Colour.RED | Colour.BLUE

    @strawberry.field
    def lazy_list(self) -> list[int]:
        return (number for number in range(3))  # type: ignore[return-value]

    @strawberry.field
    async def streamed(self) -> AsyncGenerator[int, None]:
        for number in range(3):
            yield number

    @strawberry.field(permission_classes=[Never])  # type: ignore[untyped-decorator]
    def forbidden(self) -> str | None:
        return "secret"

    @strawberry.field(extensions=[Louder()])  # type: ignore[untyped-decorator]
    def loud(self, word: str = "hey") -> str:
        return word

    @strawberry.field
    def awaited_by_hand(self) -> str:
        async def value() -> str:
            return "by hand"

        return value()  # type: ignore[return-value]


@strawberry.type
class Mutation:
    @strawberry.mutation
    async def note(self, info: strawberry.Info, word: str, turns: int = 0, fails: bool = False) -> str | None:
        info.context.append(f"{word} begins")
        for _ in range(turns):
            await asyncio.sleep(0)
        info.context.append(f"{word} ends")
        if fails:
            raise ValueError(word)
        return word

    @strawberry.mutation
    def must(self, info: strawberry.Info) -> str:
        info.context.append("must")
        raise ValueError("must")


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def pets(self) -> AsyncGenerator[Cat, None]:
        yield Cat(name="Tom")


STRAWBERRY = strawberry.Schema(Query, Mutation, Subscription, types=[Cat, Dog])._schema
OUTER = "query ($outer: Outer, $size: Size = LARGE, $count: Int) "

QUERIES = [
    "{ takes }",
    "{ takes(outer: {}, sizes: [], id: 5, weather: WET, count: null) }",
    '{ takes(outer: {inner: {tags: ["a"]}, perhaps: null, many: [{}, {size: LARGE}]}, sizes: [SMALL]) }',
    OUTER + "{ takes(outer: $outer, sizes: [$size], count: $count) again: takes(outer: $outer, sizes: [LARGE]) }",
    "query ($size: Size = LARGE, $count: Int) { takes(outer: {inner: {size: $size}, perhaps: $count}) }",
    "query Q { seen ...F } fragment F on Query { seen still at below }",
    "{ pets { __typename ... on Dog { name class weather friend { name } missing } } }",
    "{ pets { ... on Named { name } } }",
    "{ named { __typename name ... on Cat { lives twice } ... on Dog { friend { ... on Cat { twice } } } } }",
    "{ wrongCat { name } anyCat { name lives } }",
    "{ bare { value size when } }",
    "{ streamed other: streamed }",
    "{ lazyList colour red: colour(red: true) }",
    '{ built(chosen: [{many: [{word: "a"}], word: "b"}, {many: []}]) }',
    '{ built(ids: ["VDox"], id: "VDoy") none: built(id: null) bad: built(id: "no") }',
    "{ built(perhaps: 1) null: built(perhaps: null) }",
    '{ lazyList loud(word: "a") other: loud forbidden awaitedByHand }',
    '{ __schema { queryType { name } types { name } } __type(name: "Cat") { fields { name } } __typename }',
]


@strawberry.type
class NamedQuery(Named):
    @strawberry.field
    def here(self) -> bool:
        return True


@pytest.mark.parametrize("root", [None, {}, "a root"])
def test_the_root_may_be_anything(root: object) -> None:
    schema = strawberry.Schema(NamedQuery)._schema
    document = parse("{ here ...F } fragment F on Named { __typename }")
    expected = execute(schema, document, root, executor_class=StrawberryGraphQLCoreExecutionContext)
    result: Any = plan(schema, document, StrawberryGraphQLCoreExecutionContext).execute({}, root=root)
    assert shown(result) == shown(expected)  # type: ignore[arg-type]
    assert result.data == {"here": True, "__typename": "NamedQuery"}


@pytest.mark.parametrize("text", QUERIES)
async def test_calls_strawberry_s_resolvers_as_strawberry_does(text: str) -> None:
    document = parse(text)
    assert not validate(STRAWBERRY, document)
    ours = plan(STRAWBERRY, document, StrawberryGraphQLCoreExecutionContext)
    given: dict[str, Any] = {"outer": {"inner": {"tags": ["x"]}, "perhaps": 1}, "size": "SMALL", "count": 3}
    for variables in ({}, given, {}):
        expected = await awaited(by_graphql_core(STRAWBERRY, document, variables, ["context"], "root"))
        for _ in range(2):
            got = await awaited(ours.execute(variables, ["context"], "root"))
            assert shown(got) == shown(expected)
            assert got.errors == expected.errors


class Whispering(strawberry.Info):
    @property
    def field_name(self) -> str:
        return f"({super().field_name})"


@strawberry.type
class Refused:
    message: str


class Refusing(strawberry.ExceptionHandler[LookupError, Refused]):
    def handle(self, exception: LookupError, *, field: object, info: object) -> Refused:
        return Refused(message=str(exception))


@strawberry.type
class Asking:
    @strawberry.field
    def here(self, info: strawberry.Info) -> str:
        return info.field_name

    @strawberry.field
    def lost(self) -> Annotated[Cat | Refused, strawberry.union("Found")]:
        raise LookupError("no cat")


def test_resolvers_get_the_info_that_their_schema_wants() -> None:
    schema = strawberry.Schema(Asking, config=StrawberryConfig(info_class=Whispering))._schema
    assert plan(schema, parse("{ here }")).execute({}) == ({"here": "(here)"}, None)


def test_what_a_resolver_raises_is_handled_as_its_schema_wants() -> None:
    schema = strawberry.Schema(Asking, exception_handlers=[Refusing()])._schema
    ours = plan(schema, parse("{ lost { ... on Refused { message } } }"), StrawberryGraphQLCoreExecutionContext)
    assert ours.execute({}) == ({"lost": {"message": "no cat"}}, None)


def test_a_copy_of_a_schema_of_strawberry_s_is_executed_as_the_schema() -> None:
    schema, document = lexicographic_sort_schema(STRAWBERRY), parse("{ takes(sizes: [LARGE]) }")
    assert plan(schema, document).execute({}) == by_graphql_core(schema, document, {}, None, None)


@pytest.mark.parametrize(
    "text",
    [
        'mutation { a: note(word: "a", turns: 3) b: note(word: "b", fails: true) c: note(word: "c", turns: 1) }',
        'mutation { a: note(word: "a", turns: 3) must b: note(word: "b") }',
        "mutation { must }",
        'mutation ($no: Boolean = false) { note(word: "a") @include(if: $no) }',
    ],
)
async def test_executes_mutations_one_after_the_other(text: str) -> None:
    document = parse(text)
    theirs: list[str] = []
    ours: list[str] = []
    expected = await awaited(by_graphql_core(STRAWBERRY, document, {}, theirs, None))
    got = await awaited(plan(STRAWBERRY, document, StrawberryGraphQLCoreExecutionContext).execute({}, ours))
    assert shown(got) == shown(expected)
    assert ours == theirs


async def test_executes_the_events_of_a_subscription() -> None:
    ours = plan(STRAWBERRY, parse("subscription { pets { name twice } }"), StrawberryGraphQLCoreExecutionContext)
    values = ours.coerce({})
    assert not isinstance(values, list)
    result = await awaited(ours.run(values, None, Cat(name="Kit")))
    assert result == ({"pets": {"name": "Kit", "twice": "KitKit"}}, None)


def test_answers_variables_that_do_not_fit_as_graphql_core_does() -> None:
    document = parse("query ($count: Int!, $size: Size) { takes(count: $count, sizes: [$size]) }")
    for variables in ({}, {"count": None}, {"count": "x", "size": "HUGE"}, {"count": 2**31}):
        expected = by_graphql_core(STRAWBERRY, document, variables, None, None)
        assert plan(STRAWBERRY, document).execute(variables) == expected


def test_what_is_left_to_graphql_core_is_found_among_other_operations() -> None:
    directive = GraphQLDisableErrorPropagationDirective.name
    document = parse(f"query A {{ still }} query B @{directive} {{ pets {{ ... on Named {{ name }} }} }}")
    operation = document.definitions[1]
    assert isinstance(operation, OperationDefinitionNode)
    ours = Plan(STRAWBERRY, document, operation, StrawberryGraphQLCoreExecutionContext)
    values = ours.coerce({})
    assert not isinstance(values, list)
    result = ours.execute({})
    assert result == ours.run(values) == execute(STRAWBERRY, document, operation_name="B")
    assert isinstance(result, ExecutionResult)
    assert result.data == {"pets": [{"name": "Tom"}, {"name": "Rex"}, {"name": None}]}


def test_fragments_that_lead_too_deep_are_refused_as_by_graphql_core() -> None:
    length = sys.getrecursionlimit()
    fragments = (f"fragment F{number} on Query {{ ...F{number + 1} }}" for number in range(length))
    document = parse(f"{{ ...F0 }} {' '.join(fragments)} fragment F{length} on Query {{ still }}")
    result = plan(STRAWBERRY, document).execute({})
    assert result == execute(STRAWBERRY, document)
    assert "nested too deeply" in str(result)


# Sharing, batching, bounds


@pytest.mark.parametrize("depth", [1, 2, 3])
async def test_loads_in_no_more_batches_than_under_graphql_core(depth: int) -> None:
    batches: list[int] = []

    class Loader(DataLoader[int, int]):
        async def batch_load_fn(self, keys: list[int]) -> list[int]:
            batches.append(len(keys))
            return keys

    schema = build_schema("type Node { id: Int! near: [Node!]! far: Node! } type Query { start: [Node!]! }")
    loader: Loader

    async def load(source: int, *_: Any) -> int:
        return await loader.load(source % 7)

    async def near(source: int, *_: Any) -> Sequence[int]:
        return [await loader.load(source + 10), source + 20]

    for name, resolve in {"id": load, "far": load, "near": near}.items():
        schema.type_map["Node"].fields[name].resolve = resolve  # type: ignore[attr-defined]
    schema.query_type.fields["start"].resolve = lambda *_: [1, 2, 3]  # type: ignore[union-attr]
    below = "{ id }"
    for _ in range(depth):
        below = f"{{ id far {below} near {below} }}"
    document = parse(f"{{ start {below} }}")
    counted = []
    for run in (
        partial(execute, schema, document, executor_class=Executor),
        partial(plan(schema, document).execute, {}),
    ):
        batches.clear()
        loader = Loader()
        result = await awaited(run())
        assert result.errors is None
        counted.append((len(batches), sum(batches)))
    theirs, ours = counted
    assert ours <= theirs


@strawberry.type
class Book:
    number: int

    @strawberry.field
    def title(self) -> str:
        if self.number == 5:
            raise LookupError("no title")
        return f"Book {self.number}"

    @strawberry.field
    async def twin(self, info: strawberry.Info) -> Annotated[Book, strawberry.lazy("tests.test_execution")]:
        return await info.context.load(self.number + 100)  # type: ignore[no-any-return]

    @strawberry.field
    def reader(self) -> str:
        if self.number == 6:
            raise asyncio.CancelledError
        assert asyncio.current_task() is not None
        return "somebody"

    @strawberry.field(graphql_type=str)  # type: ignore[untyped-decorator]
    def title_of_twin(self, info: strawberry.Info) -> Awaitable[str]:
        async def title() -> str:
            twin = await info.context.load(self.number + 100)
            return f"Book {twin.number}"

        return title()

    @strawberry.field(graphql_type=str)  # type: ignore[untyped-decorator]
    def place(self) -> str | Awaitable[str]:
        async def far() -> str:
            return "far"

        return far() if self.number == 4 else "near"


class Books(Loader[int, Book]):
    """Knows no book 7, and is slow to find 8."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[list[int]] = []

    async def batch_load_fn(self, keys: list[int]) -> list[Book]:
        self.batches.append(keys)
        for _ in range(5 if 8 in keys else 1):
            await asyncio.sleep(0)
        return [KeyError(7) if key == 7 else Book(number=key) for key in keys]  # type: ignore[misc]


@strawberry.type
class Library:
    @strawberry.field(graphql_type=Book | None)  # type: ignore[untyped-decorator]
    def book(self, info: strawberry.Info, number: int) -> Awaitable[Book]:
        if number == 9:
            never: asyncio.Future[Book] = asyncio.get_running_loop().create_future()
            never.cancel()
            return never
        return info.context.load(number)  # type: ignore[no-any-return]

    @strawberry.field(graphql_type=Book)  # type: ignore[untyped-decorator]
    def must(self, info: strawberry.Info, number: int) -> Awaitable[Book]:
        return info.context.load(number)  # type: ignore[no-any-return]

    @strawberry.field
    async def slow(self, info: strawberry.Info, number: int) -> Book:
        return await info.context.load(number)  # type: ignore[no-any-return]

    @strawberry.field
    def again(self) -> Library:
        return Library()

    @strawberry.field
    async def fails(self, turns: int) -> str | None:
        for _ in range(turns):
            await asyncio.sleep(0)
        raise LookupError("after some turns")


LIBRARY = strawberry.Schema(Library)._schema


@pytest.mark.parametrize(
    "fields",
    [
        "a: book(number: 1) { title } b: book(number: $n) { __typename number title } c: book(number: 1) { number }",
        "a: book(number: 7) { title } b: book(number: 5) { title } c: must(number: 2) { title }",
        "a: book(number: 1) { title } b: must(number: 7) { title } c: slow(number: 2) { title }",
        "a: book(number: 1) { twin { twin { number } } } b: slow(number: 8) { title } c: must(number: 4) { title }",
        "a: book(number: 6) { title }",
        "a: book(number: 5) { title } b: must(number: 5) { title } c: book(number: 8) { title }",
        "a: book(number: 1) { reader } b: book(number: 2) { reader title } c: slow(number: 3) { reader }",
        "a: book(number: 1) { titleOfTwin } b: book(number: 2) { titleOfTwin } c: slow(number: 3) { titleOfTwin }",
    ],
)
async def test_waits_for_the_promises_of_a_loader_as_graphql_core_does(fields: str) -> None:
    document = parse(f"query ($n: Int! = 3) {{ {fields} last: book(number: $n) {{ number }} }}")
    assert not validate(LIBRARY, document)
    ours = plan(LIBRARY, document, StrawberryGraphQLCoreExecutionContext)
    for _ in range(3):  # the first time it finds out what is plain
        theirs, mine = Books(), Books()
        expected = await awaited(by_graphql_core(LIBRARY, document, {}, theirs, Library()))
        assert shown(await awaited(ours.execute({}, mine, Library()))) == shown(expected)
        assert mine.batches == theirs.batches


class Shelf:
    """Finds books after so many turns of the loop; there is no book 7."""

    def __init__(self, turns: dict[int, int]) -> None:
        self._turns = turns

    def load(self, number: int) -> Promise[Any]:
        book = KeyError(7) if number == 7 else Book(number=number)
        return promise(book, self._turns.get(number, 0))


@pytest.mark.parametrize("turns", [{1: 1, 5: 4}, {1: 4, 5: 1}])
async def test_promises_of_two_batches_are_each_waited_for(turns: dict[int, int]) -> None:
    document = parse("{ a: book(number: 1) { title } b: book(number: 5) { number } }")
    ours = plan(LIBRARY, document, StrawberryGraphQLCoreExecutionContext)
    for _ in range(2):
        result = await awaited(ours.execute({}, Shelf(turns), Library()))
        assert result == ({"a": {"title": "Book 1"}, "b": {"number": 5}}, None)


@pytest.mark.usefixtures("collects_afterwards")
@pytest.mark.parametrize("last", [2, 7])
async def test_what_is_to_be_awaited_in_a_promised_object_for_once_is_awaited(last: int) -> None:
    books = "a: book(number: $n) { place } b: book(number: $n) { place } must(number: $last) { place }"
    document = parse(f"query ($n: Int!, $last: Int!) {{ {books} }}")
    ours = plan(LIBRARY, document, StrawberryGraphQLCoreExecutionContext)
    for variables in ({"n": 1, "last": 1}, {"n": 4, "last": last}):
        expected = await awaited(by_graphql_core(LIBRARY, document, variables, Books(), Library()))
        assert shown(await awaited(ours.execute(variables, Books(), Library()))) == shown(expected)


async def test_nothing_is_completed_any_more_when_the_rest_was_asked_to_end() -> None:
    document = parse("{ a: must(number: 7) { title } b: book(number: 5) { title } c: book(number: 1) { title } }")
    ours = plan(LIBRARY, document, StrawberryGraphQLCoreExecutionContext)
    await awaited(ours.execute({}, Shelf({}), Library()))
    for turns in range(8):
        expected = await awaited(by_graphql_core(LIBRARY, document, {}, Shelf({7: 1, 5: turns, 1: 9}), Library()))
        result = await awaited(ours.execute({}, Shelf({7: 1, 5: turns, 1: 9}), Library()))
        for _ in range(10):
            await asyncio.sleep(0)
        assert shown(result) == shown(expected)


@pytest.mark.parametrize("beside", ["", "slow(number: 3) { title }", "b: book(number: 5) { title }", "__typename"])
async def test_an_error_among_promises_is_told_when_graphql_core_tells_it(beside: str) -> None:
    inner = f"a: must(number: $n) {{ title }} {beside} must(number: 1) {{ title }}"
    document = parse(f"query ($n: Int!, $turns: Int!) {{ again {{ {inner} }} fails(turns: $turns) }}")
    ours = plan(LIBRARY, document, StrawberryGraphQLCoreExecutionContext)
    await awaited(ours.execute({"n": 2, "turns": 1}, Books(), Library()))
    told = set()
    for turns in range(14):
        variables = {"n": 7, "turns": turns}
        expected = await awaited(by_graphql_core(LIBRARY, document, variables, Books(), Library()))
        assert shown(await awaited(ours.execute(variables, Books(), Library()))) == shown(expected)
        told.add(len(expected.errors or []))
    assert len(told) == 2  # with the error of the other field and without


async def test_a_first_object_that_fails_makes_no_later_one_dearer() -> None:
    selected = "{ __typename number title }"
    document = parse(f"query ($n: Int!) {{ a: book(number: $n) {selected} b: book(number: 2) {selected} }}")
    loop = asyncio.get_running_loop()
    begun: list[object] = []

    def task(loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> asyncio.Task[Any]:
        begun.append(work)
        return asyncio.Task(work, loop=loop, **options)

    loop.set_task_factory(task)
    tasks = []
    for first in (5, 1):
        ours = plan(LIBRARY, document, StrawberryGraphQLCoreExecutionContext)
        await awaited(ours.execute({"n": first}, Books(), Library()))
        begun.clear()
        result = await awaited(ours.execute({"n": 1}, Books(), Library()))
        books = {key: {"__typename": "Book", "number": n, "title": f"Book {n}"} for key, n in (("a", 1), ("b", 2))}
        assert result.data == books
        tasks.append(len(begun))
    assert tasks == [1, 1]  # the loader's


async def test_a_future_that_was_cancelled_is_told_like_a_task_that_was() -> None:
    document = parse("{ a: book(number: 1) { title } b: book(number: 9) { title } }")
    ours = plan(LIBRARY, document, StrawberryGraphQLCoreExecutionContext)
    for _ in range(2):
        with pytest.raises(asyncio.CancelledError):
            await awaited(ours.execute({}, Books(), Library()))


@pytest.mark.parametrize("beside", ["b: book(number: 6) { reader }", "b: slow(number: 2) { title }"])
async def test_a_resolver_that_gives_up_ends_the_execution(beside: str) -> None:
    document = parse(f"query ($n: Int!) {{ a: book(number: $n) {{ reader }} {beside} }}")
    ours = plan(LIBRARY, document, StrawberryGraphQLCoreExecutionContext)
    for number in (1, 6, 6):
        async with asyncio.timeout(5):
            running = awaited(ours.execute({"n": number}, Books(), Library()))
            if number == 1 and "6" not in beside:
                await running
                continue
            with pytest.raises(asyncio.CancelledError):
                await running


async def test_who_stops_waiting_for_promises_leaves_them_to_others() -> None:
    document = parse("{ a: book(number: 1) { title } b: book(number: 2) { title } }")
    ours = plan(LIBRARY, document, StrawberryGraphQLCoreExecutionContext)
    await awaited(ours.execute({}, Books(), Library()))
    books = Books()
    running = asyncio.ensure_future(awaited(ours.execute({}, books, Library())))
    for _ in range(2):
        await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await books.load(1) == Book(number=1)
    assert books.batches == [[1, 2]]


async def test_a_coroutine_that_was_given_twice_is_left_to_who_waits_for_it() -> None:
    schema = build_schema(
        "type T { a: String b: String } type Bad { inner: T must: Int! } type Query { ok: String bad: Bad }"
    )
    ours = plan(schema, parse("{ ok bad { inner { a b } must } }"))

    def root(found_after: int, failed_after: int) -> Any:
        shared = soon("here", 12)
        inner = {"a": shared, "b": soon("b", 3)}
        return {"ok": shared, "bad": {"inner": soon(inner, found_after), "must": soon(ValueError(), failed_after)}}

    for turns in product(range(7), repeat=2):
        result = await awaited(ours.execute({}, root=root(*turns)))
        for _ in range(15):
            await asyncio.sleep(0)
        tidy_up()
        assert result.data == {"ok": "here", "bad": None}


@pytest.mark.usefixtures("collects_afterwards")
async def test_what_is_cancelled_before_it_begins_leaves_no_coroutine_behind() -> None:
    """Python would complain of one that nobody waits for."""
    schema = build_schema(
        "type Leaf { a: Int b: Int } type T { inner: Leaf c: Int } type Bad { t: T must: Int! } type Query { bad: Bad }"
    )
    waits: dict[str, int] = {}

    async def number(_: Any, info: Any) -> int:
        for _ in range(waits.get(info.field_name, 0)):
            await asyncio.sleep(0)
        if info.field_name == "must":
            raise LookupError
        return 1

    async def of_t(_: Any, info: Any) -> dict[str, Any]:
        await number(_, info)
        return {"inner": {}}

    for type_, names in {"Leaf": "ab", "T": "c", "Bad": ["must"]}.items():
        for name in names:
            schema.type_map[type_].fields[name].resolve = number  # type: ignore[attr-defined]
    schema.type_map["Bad"].fields["t"].resolve = of_t  # type: ignore[attr-defined]
    ours = plan(schema, parse("{ bad { t { inner { a b } c } must } }"))
    for waits["t"], waits["must"] in product(range(7), repeat=2):
        result = await awaited(ours.execute({}, root={"bad": {}}))
        assert result.data == {"bad": None}


async def test_an_error_that_comes_as_its_field_is_cancelled_is_told_as_by_graphql_core() -> None:
    schema = build_schema("type T { a: Int! b: Int } type Bad { inner: T must: Int! } type Query { bad: Bad }")
    document = parse("{ bad { inner { a b } must } }")
    ours = plan(schema, document)

    def root(turns: int, other_turns: int) -> Any:
        inner = {"a": soon(ValueError("a"), turns), "b": soon(1, 3)}
        return {"bad": {"inner": inner, "must": soon(ValueError("must"), other_turns)}}

    for turns in product(range(7), repeat=2):
        expected = await awaited(execute(schema, document, root(*turns)))
        assert shown(await awaited(ours.execute({}, root=root(*turns)))) == shown(expected)
        tidy_up()


async def test_cancelling_cancels_whatever_still_runs() -> None:
    schema = build_schema("type T { a: T! b: T leaf: Int } type Query { t: [T!]! }")
    ended: list[str] = []

    async def forever(_: Any, info: Any) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(info.path.key)

    schema.type_map["T"].fields["leaf"].resolve = forever  # type: ignore[attr-defined]
    tree: Any = {"a": {"a": {}}, "b": {}}
    document = parse("{ t { a { a { leaf two: leaf } leaf } b { leaf } leaf } }")
    before = asyncio.all_tasks()
    running = asyncio.ensure_future(awaited(plan(schema, document).execute({}, root={"t": [tree, tree]})))
    for _ in range(10):
        await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert sorted(ended) == ["leaf"] * 8 + ["two"] * 2
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize("fields", ["slow other: slow", "slow quick"])
async def test_cancelling_waits_for_resolvers_that_take_their_time_to_end(fields: str) -> None:
    schema = build_schema("type Query { slow: Int quick: Int }")
    ended: list[str] = []

    async def resolve(_: Any, info: Any) -> int:
        if info.field_name == "slow":
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                for _ in range(3):
                    await asyncio.sleep(0)
                ended.append(info.path.key)
        return 1

    for field in schema.type_map["Query"].fields.values():  # type: ignore[attr-defined]
        field.resolve = resolve
    document = parse(f"{{ {fields} }}")
    told = []
    for run in (partial(execute, schema, document), partial(plan(schema, document).execute, {})):
        running = asyncio.ensure_future(awaited(run()))
        for _ in range(5):
            await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        told.append(ended.copy())
        ended.clear()
    assert told == [["slow", "other"][: fields.count("slow")]] * 2


class Number(Enum):
    """A member of it can be given by nobody: it does not equal itself."""

    NONE = float("nan")
    ONE = 1


class Loud(StrawberryResolver[Any]):
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return super().__call__(*args, **kwargs).upper()


def hello() -> str:
    return "hello"


def without_info(resolver: Any) -> Any:
    """A decorator that forgets what Strawberry will call with."""

    @wraps(resolver)
    async def decorated(self: Any) -> Any:
        return await resolver(self, None)

    return decorated


@strawberry.interface
class Called:
    name: str


@strawberry.type
class Ship(Called):
    crew: int = 9


@strawberry.type
class Town:
    name: str = "Bergen"


@strawberry.type
class Odd:
    loud: str = strawberry.field(resolver=Loud(hello))
    fine: str = "fine"

    @strawberry.field
    @without_info
    async def decorated(self, info: strawberry.Info) -> str | None:
        return "decorated"

    @strawberry.field
    def inner(self) -> Annotated[Odd, strawberry.lazy("tests.test_execution")] | None:
        return Odd()

    @strawberry.field
    def number(self, none: bool = False) -> strawberry.enum(Number) | None:  # type: ignore[valid-type]
        return Number.NONE if none else Number.ONE

    @strawberry.field
    def ship(self) -> Ship:
        return Town()  # type: ignore[return-value]

    @strawberry.field
    def perhaps(self) -> Ship | None:
        return Town()  # type: ignore[return-value]


ODD = strawberry.Schema(Odd, types=[Ship])._schema


@pytest.mark.parametrize(
    "text",
    [
        "{ fine decorated }",
        "{ fine inner { fine decorated inner { decorated } } }",
        "{ loud }",
        "{ number }",
        "{ fine number(none: true) }",
        f"{{ fine perhaps {{ {' '.join(f'a{n}: name' for n in range(FIELDS_MAX + 1))} }} }}",
        f"{{ fine inner {{ ship {{ {' '.join(f'a{n}: name' for n in range(FIELDS_MAX + 1))} }} }} }}",
    ],
    ids=lambda text: text[:20],
)
async def test_what_is_odd_about_a_schema_is_answered_as_by_graphql_core(text: str) -> None:
    document = parse(text)
    expected = await awaited(by_graphql_core(ODD, document, {}, None, Odd()))
    ours = plan(ODD, document, StrawberryGraphQLCoreExecutionContext)
    for _ in range(2):
        assert await awaited(ours.execute({}, None, Odd())) == expected


class Day:
    """What the literal `today` means."""

    now = "Monday"


DAY = GraphQLScalarType("Day", coerce_input_value=lambda _: None, coerce_input_literal=lambda _: Day.now)


def test_a_literal_of_a_custom_scalar_means_what_the_scalar_says_each_time() -> None:
    schema = GraphQLSchema(GraphQLObjectType("Query", {"on": telling({"day": GraphQLArgument(DAY)})}))
    ours = plan(schema, parse("{ on(day: today) }"))
    for Day.now in ("Monday", "Tuesday"):
        assert ours.execute({}) == ({"on": f"{{'day': '{Day.now}'}}"}, None)


def test_a_custom_scalar_that_makes_null_of_a_variable_is_refused_where_null_may_not_stand() -> None:
    arguments = {"day": GraphQLArgument(GraphQLNonNull(DAY))}
    schema = GraphQLSchema(GraphQLObjectType("Query", {"on": telling(arguments)}))
    document = parse("query ($day: Day!) { on(day: $day) }")
    expected: Any = execute(schema, document, variable_values={"day": "today"}, executor_class=Executor)
    result: Any = plan(schema, document).execute({"day": "today"})
    assert shown(result) == shown(expected)
    assert result.data == {"on": None}


def telling(arguments: dict[str, GraphQLArgument]) -> GraphQLField:
    """A field that gives the text of its arguments."""
    return GraphQLField(GraphQLString, arguments, resolve=lambda *_, **given: repr(given))


def test_a_scalar_may_be_written_by_what_has_no_hash() -> None:
    class Writer:
        __hash__ = None  # type: ignore[assignment]

        def __call__(self, value: object) -> str:
            return f"<{value}>"

    scalar = GraphQLScalarType("Tag", coerce_output_value=Writer())
    schema = GraphQLSchema(GraphQLObjectType("Query", {"tag": GraphQLField(scalar, resolve=lambda *_: "b")}))
    assert plan(schema, parse("{ tag }")).execute({}) == ({"tag": "<b>"}, None)


def test_a_resolver_s_change_to_its_arguments_is_not_seen_by_the_next() -> None:
    schema = build_schema("input I { a: [Int] } type Query { f(i: I = {a: [1]}, l: [Int]): String }")
    schema.query_type.fields["f"].resolve = lambda *_, i, l: i["a"].append(9) or l.append(9) or f"{i} {l}"  # type: ignore[union-attr]  # noqa: E741
    ours = plan(schema, parse("{ f(i: {a: [2]}, l: [3]) }"))
    assert [ours.execute({}) for _ in range(2)] == [({"f": "{'a': [2, 9]} [3, 9]"}, None)] * 2


def test_compiles_only_so_many_ways_to_skip_and_include() -> None:
    names = [f"v{number}" for number in range(6)]
    fields = " ".join(f"{name}: still @include(if: ${name})" for name in names)
    document = parse(f"query ({', '.join(f'${name}: Boolean!' for name in names)}) {{ {fields} }}")
    ours = plan(STRAWBERRY, document, StrawberryGraphQLCoreExecutionContext)
    for bits in range(64):
        variables = {name: bool(bits >> number & 1) for number, name in enumerate(names)}
        assert ours.execute(variables) == by_graphql_core(STRAWBERRY, document, variables, None, None)
    assert len(ours.sources) == VARIANTS_MAX


def test_compiles_only_so_many_ways_to_merge_fragments() -> None:
    schema = build_schema("type T { a: T b: T c: Int } type Query { t: T }")
    levels = 12
    fragments = [f"fragment F{n} on T {{ a {{ ...F{n + 1} a {{ c }} }} b {{ ...F{n + 1} }} c }}" for n in range(levels)]
    document = parse(f"{{ t {{ ...F0 }} }} {' '.join(fragments)} fragment F{levels} on T {{ c }}")
    tree: Any = {"c": 1}
    for _ in range(levels + 2):
        tree = {"a": tree, "b": tree, "c": 1}
    ours = plan(schema, document)
    assert ours.execute({}, root={"t": tree}) == execute(schema, document, {"t": tree}, executor_class=Executor)
    assert compiled_fields(ours) <= FIELDS_MAX


def test_compiles_only_so_many_fields() -> None:
    places = [
        f"v{place}: t {{ ...G {' '.join(f'u{n}: t {{ x{place}_{n}: c }}' for n in range(15))} }}" for place in range(15)
    ]
    merged = f"fragment G on T {{ {' '.join(f'u{n}: t {{ ...F }}' for n in range(15))} }}"
    many = f"fragment F on T {{ {' '.join(f'f{n}: c' for n in range(500))} }}"
    schema = build_schema("type T { t: T c: Int } type Query { t: T }")
    document = parse(f"{{ {' '.join(places)} }} {merged} {many}")
    tree: Any = {"t": {"t": {"t": {"c": 1}}}}
    ours = plan(schema, document)
    assert ours.execute({}, root=tree) == execute(schema, document, tree, executor_class=Executor)
    assert 500 < compiled_fields(ours) <= FIELDS_MAX


def compiled_fields(ours: Plan) -> int:
    """Each has a comment of its own."""
    return sum(source.count("    # ") for source in ours.sources)


def by_graphql_core(
    schema: GraphQLSchema, document: DocumentNode, variables: dict[str, Any], context: Any, root: Any
) -> Any:
    return execute(
        schema, document, root, context, dict(variables), executor_class=StrawberryGraphQLCoreExecutionContext
    )
