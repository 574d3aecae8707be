"""What may be executed, and at what price: documents, cost, rules."""

import asyncio
import json
from collections.abc import AsyncGenerator
from math import ceil
from typing import Any

import pytest
from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    GraphQLField,
    GraphQLInt,
    GraphQLObjectType,
    GraphQLSchema,
    get_introspection_query,
    parse,
)

from graphql_api import schema
from graphql_api.errors import Code, RequestError, Unavailable
from graphql_api.operations import cost, documents, rules
from graphql_api.operations import engine as engine_module
from graphql_api.operations.documents import Documents, NotExecuted
from graphql_api.operations.engine import Engine
from graphql_api.relay.connections import PAGE_DEFAULT
from tests.client import CREATE, CREATE_MANY, DELETE_MANY, UPDATE_MANY, Api
from tests.issuer import Person

PAGE = PAGE_DEFAULT

EVERY_OPTION = get_introspection_query(
    specified_by_url=True,
    directive_is_repeatable=True,
    schema_description=True,
    input_value_deprecation=True,
    one_of=True,
)


def engine(**limits: int) -> Engine:
    return Engine(schema.build(), introspection=True, **{"max_tokens": 5_000, "max_cost": 20_000, **limits})


def known(*, introspection: bool = True) -> Documents:
    return Documents(schema.build(), max_tokens=5_000, introspection=introspection)


def price(query: str, **variables: Any) -> int:
    operation, _ = engine(max_cost=10**30).prepare(query, None, variables)
    return operation.price(variables)


def refused(query: str, **variables: Any) -> Code:
    """The code with which the operation is refused before it runs."""
    try:
        engine().prepare(query, None, variables)
    except RequestError as error:
        return error.code
    except NotExecuted as invalid:
        [code] = {Code((error.extensions or {})["code"]) for error in invalid.errors}
        return code
    raise AssertionError("it was not refused")


# ---------------------------------------------------------------- documents


def test_a_document_is_read_once() -> None:
    documents = known()
    assert documents.get("{ viewer { id } }") is documents.get("{ viewer { id } }")


def test_the_document_asked_for_longest_ago_is_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "REMEMBERED", 2)
    remembering = known()
    first, second, third = ("{ a: __typename }", "{ b: __typename }", "{ c: __typename }")
    kept, forgotten = remembering.get(first), remembering.get(second)
    remembering.get(first)
    remembering.get(third)
    assert remembering.get(first) is kept
    assert remembering.get(second) is not forgotten


def test_a_long_document_is_not_remembered() -> None:
    documents, long = known(), "{ __typename } #" + "." * 20_000
    assert documents.get(long) is not documents.get(long)


def test_an_invalid_document_is_not_remembered() -> None:
    documents = known()
    for _ in range(2):
        with pytest.raises(NotExecuted):
            documents.get("{ nothing }")


def test_prices_are_remembered_by_the_size_of_variables_alone() -> None:
    document = known().get(
        "query ($first: Int, $filter: TaskFilter) { viewer { tasks(first: $first, filter: $filter) { totalCount } } }"
    )
    operation = document.operation(None)
    for words in ("milk", "bread" * 1000):
        operation.price({"first": 7, "filter": {"search": words}})
    assert operation._priced.cache_info().currsize == 1


def test_remembered_prices_are_bounded() -> None:
    operation = known().get("query ($ids: [ID!]!) { nodes(ids: $ids) { id } }").operation(None)
    for number in range(1000):
        operation.price({"ids": ["a"] * number})
    assert operation._priced.cache_info().currsize <= documents.PRICES_REMEMBERED


@pytest.mark.parametrize("query", [get_introspection_query(descriptions=False), EVERY_OPTION])
async def test_tools_may_ask_for_the_whole_schema(api: Api, query: str) -> None:
    data = await api.data(None, query)
    assert {"Task", "Viewer"} <= {type["name"] for type in data["__schema"]["types"]}


def test_introspection_can_be_refused() -> None:
    for query in (EVERY_OPTION, '{ __type(name: "Task") { name } }'):
        with pytest.raises(NotExecuted, match="introspection"):
            known(introspection=False).get(query)
    assert known(introspection=False).get("{ __typename viewer { __typename } }")


# ---------------------------------------------------------------- cost

TASKS = "query ($n: Int) { viewer { tasks(first: $n) { nodes { id owner { id } } } } }"

PRICES = {
    "{ __typename }": 0,
    "{ viewer { id name } }": 1,
    "{ viewer { user { name } } }": 2,
    "{ viewer { tasks { totalCount } } }": 2 + 100,
    "{ viewer { taskCounts { total overdue } } }": 1 + 100,
    "{ viewer { tasks { pageInfo { hasNextPage } } } }": 3,
    "{ viewer { tasks { nodes { id } } } }": 2 + PAGE,
    "{ viewer { tasks(first: 3) { nodes { id } } } }": 2 + 3,
    "{ viewer { tasks(last: 4) { nodes { id } } } }": 2 + 4,
    "{ viewer { tasks(first: null) { nodes { id } } } }": 2 + PAGE,
    "{ viewer { tasks(first: 1000) { nodes { id } } } }": 2 + 100,
    "{ viewer { tasks(first: -5) { nodes { id } } } }": 2 + PAGE,
    "{ viewer { tasks(first: 5) { nodes { owner { id } assignee { id } } } } }": 2 + 5 * 3,
    "{ viewer { tasks(first: 5) { edges { cursor node { id } } } } }": 2 + 5 * 2,
    "{ viewer { a: tasks(first: 5) { nodes { id } } b: tasks(first: 6) { nodes { id } } } }": 1 + 6 + 7,
    "{ viewer { tasks(first: 5) { ...F } } } fragment F on TaskConnection { nodes { id } }": 2 + 5,
    "{ viewer { tasks(first: 5) { ... { nodes { id } } ... on TaskConnection { nodes { id } } } } }": 2 + 5 + 5,
    "{ viewer { a: tasks(first: 5) { ...F } b: tasks(first: 7) { ...F } } } "
    "fragment F on TaskConnection { nodes { id } }": 1 + 6 + 8,
    "{ viewer { tasks(filter: { and: [{ completed: true }, { overdue: true }] }) { nodes { id } } } }": 2 + PAGE + 5,
    "query ($n: Int = 7) { viewer { ...F } } fragment F on Viewer { tasks(first: $n) { nodes { id } } }": 2 + 7,
    f"{{ viewer {{ {' '.join(f'a{n}: id' for n in range(25))} }} }}": 1 + 5,
    f"{{ viewer {{ tasks(first: 7) {{ nodes {{ {' '.join(f'a{n}: title ...F' for n in range(3))} }} }} }} }} "
    f"fragment F on Task {{ {' '.join(f'b{n}: title' for n in range(6))} ... {{ id }} }}": 2 + 7 * (1 + 4),
    f"{{ {' '.join(f'a{n}: __typename' for n in range(21))} }}": 1,
    f"{{ node(id: {'9' * 5_000}) {{ id }} }}": 1,
    f"query ($f: TaskFilter = {{ assignee: {{ eq: {'9' * 5_000} }} }}) "
    "{ viewer { tasks(filter: $f) { nodes { id } } } }": 2 + PAGE + 2,
    "{ __schema { types { name } } }": ceil((1 + 2 * len(schema.build().type_map)) / 20),
    "{ __schema { types { fields { name } } } }": ceil((1 + (1 + 8 * 2) * len(schema.build().type_map)) / 20),
    '{ nodes(ids: ["a", "b", "c"]) { id } }': 3 + 3,
    '{ nodes(ids: "a") { id } }': 1,
    "{ nodes(ids: []) { id } }": 1,
    'query ($ids: [ID!]! = ["a", "b"]) { nodes(ids: $ids) { id ... on Task { owner { id } } } }': 2 + 2 * 2,
    'mutation { toggleTask(input: { id: "a" }) { task { id } errors { code } } }': 1 + 2 + 1 + 10,
    "mutation { ...F } fragment F on Mutation "
    '{ a: deleteTask(input: { id: "a" }) { task { id } } b: deleteTask(input: { id: "b" }) { task { id } } }': 2 * 13,
    "mutation { updateTasks(input: { select: { filter: {} }, patch: {} }) { affected } }": 1 + 3 + 3_000,
    'mutation { updateTasks(input: { select: { ids: ["a"] }, patch: {} }) { tasks { owner { id } } errors { code } } }':
        1 + 1_000 * 2 + 1_000 + 4 + 3_000,
    'mutation { createTasks(input: { tasks: [{ title: "a" }] }) { tasks { id } } }': 1 + 1_000 + 3 + 3_000,
}  # fmt: skip
"""By document, without variables."""


@pytest.mark.parametrize("query", PRICES)
def test_an_operation_costs_what_it_could_read(query: str) -> None:
    assert price(query) == PRICES[query]


@pytest.mark.parametrize(
    ("value", "size"),
    [(1, 1), (50, 50), (50.0, 50), (100, 100), (101, 100), (2**31, 100), (0, PAGE), (-1, PAGE), (None, PAGE)],
)
def test_a_page_costs_what_its_variable_asks_for(value: object, size: int) -> None:
    assert price(TASKS, n=value) == 2 + size * 2


@pytest.mark.parametrize("value", ["x", "9" * 1000, [], ["x"], {}, {"a": 1}, True, 1e300, float("inf"), 0.5])
def test_a_variable_of_a_wrong_type_has_some_price(value: object) -> None:
    assert 2 < price(TASKS, n=value) <= 2 + 100 * 2


@pytest.mark.parametrize(("value", "size"), [(["a"] * 30, 30 + 30), ("a", 1), (None, 1), (7, 1), ({}, 1)])
def test_a_list_of_ids_costs_as_many_as_it_has(value: object, size: int) -> None:
    assert price("query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", ids=value) == size


@pytest.mark.parametrize(
    ("query", "times"),
    [
        ("query ($f: TaskFilter) { viewer { tasks(filter: $f) { pageInfo { hasNextPage } } } }", 1),
        ("query ($f: TaskFilter!) { viewer { tasks(filter: { and: [$f] }) { pageInfo { hasNextPage } } } }", 1),
        (
            "query ($f: TaskFilter) { viewer { ...F user { id } } } fragment F on Viewer "
            "{ a: tasks(filter: $f) { pageInfo { hasNextPage } } b: tasks(filter: $f) { pageInfo { hasNextPage } } }",
            2,
        ),
    ],
)
def test_a_filter_costs_what_it_has_wherever_it_is_used(query: str, times: int) -> None:
    large = {"or": [{"title": {"in": ["a"] * 50}}] * 10}
    values = 1 + 10 * (1 + 1 + 1 + 50)
    assert price(query, f=large) - price(query, f=None) == times * values


def test_a_value_takes_the_place_of_a_default() -> None:
    query = TASKS.replace("$n: Int", "$n: Int = 100")
    assert price(query) == 2 + 100 * 2
    assert price(query, n=3) == 2 + 3 * 2
    assert price(query, n=None) == 2 + PAGE * 2


def test_each_operation_has_its_own_price() -> None:
    document = known().get("query A { viewer { id } } query B { viewer { user { id } } }")
    assert [document.operation(name).price({}) for name in "AB"] == [1, 2]


def test_everything_of_100_tasks_may_be_asked_for_when_they_are_changed() -> None:
    ids = ["a" * 60] * 100
    text = {
        "title": "x",
        "description": "x",
        "id": "x",
        "status": "x",
        "priority": "x",
        "dueDate": "x",
        "assigneeId": "x",
    }
    engine().prepare(UPDATE_MANY, None, {"input": {"select": {"ids": ids}, "patch": text}})
    engine().prepare(DELETE_MANY, None, {"input": {"select": {"ids": ids}}})
    engine().prepare(CREATE_MANY, None, {"input": {"tasks": [text] * 100}})


@pytest.mark.parametrize("change", ["deleteTasks(input: $i) { affected }", "updateTasks(input: $i) { affected }"])
def test_many_changes_of_many_are_refused(change: str) -> None:
    kind = change[0].upper() + change.split("(")[0][1:]
    engine().prepare(f"mutation ($i: {kind}Input!) {{ {many(6, f'm#: {change}')} }}", None, {})
    assert refused(f"mutation ($i: {kind}Input!) {{ {many(7, f'm#: {change}')} }}") is Code.COST_LIMIT_EXCEEDED


def test_an_operation_above_the_limit_is_refused_with_its_price() -> None:
    query = "{ viewer { tasks { nodes { id } } } }"
    engine(max_cost=22).prepare(query, None, {})
    with pytest.raises(RequestError, match=r"could read 22 objects; at most 21 are allowed") as refusal:
        engine(max_cost=21).prepare(query, None, {})
    assert refusal.value.code is Code.COST_LIMIT_EXCEEDED


def test_the_schema_costs_a_part_of_the_limit() -> None:
    assert 1 < price(EVERY_OPTION) < 15_000


def test_the_schema_asked_for_many_times_over_is_refused() -> None:
    fields = " ".join(f"a{number}: fields {{ ...F }}" for number in range(20))
    arguments = " ".join(f"b{number}: args {{ name }}" for number in range(20))
    query = f"{{ __schema {{ types {{ {fields} }} }} }} fragment F on __Field {{ {arguments} }}"
    assert refused(query) is Code.COST_LIMIT_EXCEEDED


def chain(length: int) -> str:
    """Fragments that each spread the next one twice: 2 to the power of `length` objects."""
    links = [f"fragment F{n} on Viewer {{ a{n}: user {{ id }} ...F{n + 1} ...F{n + 1} }}" for n in range(length)]
    return "\n".join(["{ viewer { ...F0 } }", *links, f"fragment F{length} on Viewer {{ user {{ id }} }}"])


def test_a_fragment_is_priced_once_however_often_it_is_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    visited: list[str] = []
    price_of_field = cost.Price._field

    def visit(self: cost.Price, field: FieldNode, *place: Any) -> cost.Cost:
        visited.append(field.name.value)
        return price_of_field(self, field, *place)

    monkeypatch.setattr(cost.Price, "_field", visit)
    assert price(chain(40)) > 2**40
    assert len(visited) == 1 + 41 * 2


def test_an_exponential_chain_of_fragments_is_refused() -> None:
    assert refused(chain(40)) is Code.COST_LIMIT_EXCEEDED


# ---------------------------------------------------------------- rules


def many(number: int, text: str) -> str:
    """The text so many times, each with its number in the place of `#`."""
    return " ".join(text.replace("#", str(n)) for n in range(number))


def block(name: str, inner: str) -> str:
    return f"{name} {{ {inner} }}"


USERS = many(5, "a#: user { id }")

SLOW = {
    "repeated fields": block("", many(400, "viewer { id }")),
    "repeated fields in one another": block(
        "", many(10, block("viewer", many(10, block("tasks", many(10, "nodes { id }")))))
    ),
    "repeated fields in inline fragments": block("", many(400, "... { viewer { id } }")),
    "repeated aliases": block("{ viewer", many(600, "a: id")) + " }",
    "wide repeated fields": block("{ viewer", many(50, block("tasks { nodes", many(28, "a#: id")) + " }")) + " }",
    "many fragments with the same fields": block("{ viewer", many(100, "...F#"))
    + " }"
    + "".join(block(f"fragment F{n} on Viewer", USERS) for n in range(100)),
}
"""Documents within the limit of tokens that graphql-core would compare for a third of a second or more."""


@pytest.mark.parametrize("name", SLOW)
def test_a_document_that_is_slow_to_validate_is_refused(name: str) -> None:
    assert refused(SLOW[name]) is Code.GRAPHQL_VALIDATION_FAILED
    with pytest.raises(RequestError, match="too many to compare"):
        rules.check(parse(SLOW[name], max_tokens=5_000))


def test_a_large_document_of_an_application_is_accepted() -> None:
    fragments = many(80, "fragment F# on Task { id title status owner { id name } }")
    query = f"{{ viewer {{ tasks {{ nodes {{ {many(80, '...F#')} }} }} }} }} {fragments}"
    engine().prepare(query, None, {})


def test_many_different_fields_are_accepted() -> None:
    engine().prepare(block("{ viewer", many(1600, "a#: id")) + " }", None, {})


def test_fields_of_an_inline_fragment_count_once() -> None:
    engine().prepare(block("{ viewer", block("...", many(230, "id"))) + " }", None, {})


def test_more_tokens_than_the_limit_are_refused() -> None:
    engine(max_tokens=100).prepare(block("", many(98, "__typename")), None, {})
    with pytest.raises(NotExecuted, match="more than 100 tokens"):
        engine(max_tokens=100).prepare(block("", many(99, "__typename")), None, {})


def test_more_values_than_the_limit_are_refused() -> None:
    engine(max_tokens=100).prepare("{ __typename }", None, {"a": [1] * 99})
    too_many: list[dict[str, Any]] = [
        {"a": [1] * 100},
        {"a": [[1]] * 99},
        {"a": [[[{}] * 50] * 2]},
        {f"a{n}": 1 for n in range(101)},
    ]
    for variables in too_many:
        with pytest.raises(RequestError, match="more than 100 values") as refusal:
            engine(max_tokens=100).prepare("{ __typename }", None, variables)
        assert refusal.value.code is Code.BAD_USER_INPUT


@pytest.mark.parametrize(
    "query",
    [
        "{ viewer { ...A } } fragment A on Viewer { ...A }",
        "{ viewer { ...A } } fragment A on Viewer { ...B } fragment B on Viewer { ...A }",
        "{ viewer { user { ...A } } } fragment A on User { id ... on User { ...A } }",
    ],
)
def test_a_fragment_inside_itself_is_refused(query: str) -> None:
    assert refused(query) is Code.GRAPHQL_VALIDATION_FAILED


def test_a_document_that_is_too_deep_is_refused() -> None:
    def nested(depth: int) -> str:
        return "{ viewer { " + "... { " * depth + "id" + " }" * depth + " } }"

    engine().prepare(nested(190), None, {})
    for depth in (210, 1_200):
        assert refused(nested(depth)) is Code.GRAPHQL_PARSE_FAILED


def test_a_document_whose_answer_could_not_be_written_is_refused() -> None:
    def nested(fields: int) -> str:
        """Fields in fields, half of them in a fragment, and one beside them that leads nowhere."""
        below = "history { nodes { task { " * (fields // 6)
        opened, closed = (below, " }" * below.count("{"))
        fragment = f"fragment F on Task {{ {opened} id {closed} title }}"
        return f"{{ task(id: 1) {{ {opened} ... {{ ...F }} {closed} title }} }} {fragment}"

    engine(max_cost=10**99).prepare(nested(96), None, {})
    with pytest.raises(NotExecuted) as refusal:
        engine(max_cost=10**99).prepare(nested(102), None, {})
    [error] = refusal.value.errors
    assert error.message == "The document asks for fields inside of fields, 104 deep; at most 100 are answered."


async def test_the_deepest_answer_can_be_written(api: Api, ada: Person) -> None:
    task = await api.create(ada)
    below = "history(first: 1) { nodes { task { " * 32
    deepest = f"{below} history(first: 1) {{ nodes {{ id }} }} {' }' * 96}"  # 100 with the field around it
    data = await api.data(ada, f"query($id: ID!) {{ task(id: $id) {{ {deepest} }} }}", id=task["id"])
    assert '"id":' in json.dumps(data)


@pytest.mark.parametrize("query", ["{ node(id: %s) { id } }", "{ nodes(ids: [%s]) { id } }", "{ task(id: %s) { id } }"])
async def test_an_id_may_be_a_very_long_number(api: Api, ada: Person, query: str) -> None:
    number = "9" * 4_301  # of which Python makes no int
    for person in (ada, None):
        result = await api.result(person, query % number)
        codes = {error["extensions"]["code"] for error in result.get("errors", [])}
        assert codes <= {"BAD_USER_INPUT", "UNAUTHENTICATED"}


async def test_a_chain_of_fragments_that_is_too_long_is_refused(api: Api) -> None:
    def chained(length: int) -> str:
        links = [f"fragment F{n} on Viewer {{ ...F{n + 1} }}" for n in range(length)]
        return " ".join(["{ viewer { ...F0 } }", *links, f"fragment F{length} on Viewer {{ id }}"])

    assert await api.data(None, chained(100)) == {"viewer": None}
    [error] = await api.errors(None, chained(600))
    assert error["code"] == "GRAPHQL_VALIDATION_FAILED"
    assert error["message"].startswith("The fragments of the document lead too deep.")


def test_the_documents_of_the_tests_pass() -> None:
    definitions = parse(CREATE).definitions
    assert any(isinstance(node, FragmentDefinitionNode) for node in definitions)
    engine().prepare(CREATE, "Create", {"input": {"title": "Any"}})


# ---------------------------------------------------------------- subscriptions


async def numbers() -> AsyncGenerator[int, None]:
    yield 1
    yield 2


ADDING = GraphQLSchema(
    query=GraphQLObjectType("Query", {"answer": GraphQLField(GraphQLInt)}),
    subscription=GraphQLObjectType(
        "Subscription",
        {
            "number": GraphQLField(
                GraphQLObjectType(
                    "Number", {"next": GraphQLField(GraphQLInt, resolve=lambda number, info: info.context(number))}
                ),
                subscribe=lambda *_: numbers(),
                resolve=lambda number, _: number,
            )
        },
    ),
)


async def test_an_event_that_meets_the_database_away_is_executed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "RETRY_SECONDS", 0)
    asked: list[int] = []

    def add_one(number: int) -> int:
        asked.append(number)
        if len(asked) == 2:
            raise Unavailable
        return number + 1

    adding = Engine(ADDING, introspection=True, max_tokens=5_000, max_cost=20_000)
    prepared = adding.prepare("subscription { number { next } }", None, {})
    results = [result async for result in adding.subscribe(prepared, lambda: add_one)]
    assert [(result.data, result.errors) for result in results] == [
        ({"number": {"next": 2}}, None),
        ({"number": {"next": 3}}, None),
    ]
    assert asked == [1, 2, 2]


async def test_a_resolver_that_is_cancelled_by_itself_is_a_fault_of_ours_and_no_silence() -> None:
    async def give_up(*_: object) -> None:
        raise asyncio.CancelledError

    schema = GraphQLSchema(GraphQLObjectType("Query", {"a": GraphQLField(GraphQLInt, resolve=give_up)}))
    operations = Engine(schema, introspection=True, max_tokens=5_000, max_cost=20_000)
    with pytest.raises(RuntimeError, match="A resolver was cancelled"):
        await operations.execute(operations.prepare("{ a }", None, {}), None)


async def test_a_request_that_is_cancelled_stays_cancelled() -> None:
    async def wait(*_: object) -> None:
        begun.set()
        await asyncio.Event().wait()

    begun = asyncio.Event()
    schema = GraphQLSchema(GraphQLObjectType("Query", {"a": GraphQLField(GraphQLInt, resolve=wait)}))
    operations = Engine(schema, introspection=True, max_tokens=5_000, max_cost=20_000)
    task = asyncio.create_task(operations.execute(operations.prepare("{ a }", None, {}), None))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_a_subscription_keeps_neither_a_long_text_nor_variables_that_it_does_not_declare() -> None:
    query = "subscription ($after: String) { taskChanged(after: $after) { kind } }"
    _, variables = engine().prepare(query, None, {"after": "x", "more": "y" * 100_000})
    assert variables == {"after": "x"}
    with pytest.raises(RequestError, match=r"has 20\d{3} characters; .* may have 20000"):
        engine().prepare(f"{query} # {'x' * 20_000}", None, {})
