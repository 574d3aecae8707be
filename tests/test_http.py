"""How /graphql answers requests, good and bad (GraphQL over HTTP; RFC 9110)."""

import asyncio
import gc
import json
import logging
import re
import signal
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import httpx
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from graphql_api.http.negotiation import GRAPHQL_RESPONSE, JSON
from tests.asking import bearer as bearer_of
from tests.client import Api, serving, settings
from tests.conftest import WAITING, new_database, until_somebody_waits
from tests.issuer import ORIGIN, Issuer, Person
from tests.process import Server, running
from tests.streams import listening

TYPENAME = {"query": "{ __typename }"}
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
ELSEWHERE = "https://elsewhere.example.com"


async def bearer(api: Api, person: Person) -> dict[str, str]:
    return {"Authorization": f"Bearer {await api.issuer.token(person)}"}


def refusal(response: httpx.Response) -> str:
    """The message of the one error in a response that has nothing else."""
    assert response.headers["content-type"] == f"{JSON}; charset=utf-8"
    answer = response.json()
    assert answer.keys() == {"errors"}
    [error] = answer["errors"]
    assert error["extensions"] == {"code": "BAD_REQUEST"}
    message: str = error["message"]
    return message


# ---------------------------------------------------------------- bodies

NO_OBJECT = [b"null", b'"x"', b"3", b"true", b"[]", b"[1]", b'[{"query":"{ __typename }"}]']
NOT_JSON = [
    b"",
    b"{",
    b"\xff\xfe",
    b"NaN",
    b'{"query":"{ __typename }","variables":{"a":NaN}}',
    b'{"query":"\xe9"}',
    b'{"query":"\\ud800"}',
    b'{"query":"query ($a: ID!) { task(id: $a) { id } }","variables":{"a":"\\udfff"}}',
    b"[" * 100_000,
    b'{"query":"{ __typename }","variables":{"a":' + b"9" * 5_000 + b"}}",
    '{"query":"{ __typename }"}'.encode("utf-16"),
]
NO_PARAMETERS = [
    {},
    {"query": None},
    {"query": ""},
    {"query": 3},
    {"query": ["{ __typename }"]},
    {**TYPENAME, "variables": []},
    {**TYPENAME, "variables": "{}"},
    {**TYPENAME, "operationName": 1},
    {**TYPENAME, "extensions": True},
]


async def post(api: Api, body: bytes) -> httpx.Response:
    return await api.client.post("/graphql", content=body, headers={"Content-Type": JSON})


@pytest.mark.parametrize("body", NO_OBJECT + NOT_JSON, ids=repr)
async def test_a_body_that_is_no_object_is_400(api: Api, body: bytes) -> None:
    response = await post(api, body)
    assert response.status_code == 400
    assert refusal(response).startswith("The body is ")


@pytest.mark.parametrize("parameters", NO_PARAMETERS, ids=repr)
async def test_a_parameter_of_a_wrong_kind_is_400(api: Api, parameters: dict[str, object]) -> None:
    response = await api.client.post("/graphql", json=parameters)
    assert response.status_code == 400
    assert re.match(r"`(query|variables|operationName|extensions)` is ", refusal(response))


async def test_a_parameter_is_refused_however_deep_it_is(api: Api) -> None:
    response = await post(api, b'{"query":' + b"[" * 900 + b"]" * 900 + b"}")
    assert (response.status_code, refusal(response)) == (400, "`query` is an array; it must be a string.")


async def test_variables_of_any_depth_are_answered(api: Api, ada: Person) -> None:
    deep = b'{"not":' * 900 + b"{}" + b"}" * 900
    query = b"query ($filter: TaskFilter) { viewer { tasks(filter: $filter) { totalCount } } }"
    response = await post(api, b'{"query":"' + query + b'","variables":{"filter":' + deep + b"}}")
    assert response.status_code == 200
    assert [error["extensions"]["code"] for error in response.json()["errors"]] == ["BAD_USER_INPUT"]


async def test_unknown_parameters_and_nulls_are_ignored(api: Api) -> None:
    nothing = {"operationName": None, "variables": None, "extensions": None, "id": 7}
    response = await api.client.post("/graphql", json=TYPENAME | nothing)
    assert response.json() == {"data": {"__typename": "Query"}}


async def test_a_long_message_is_cut_off(api: Api) -> None:
    response = await api.post("{ %s }" % ("a" * 900_000))
    [error] = response.json()["errors"]
    assert error["message"] == f"Cannot query field '{'a' * 480}…"


async def test_a_body_that_is_too_long_is_413(api: Api) -> None:
    response = await post(api, json.dumps(TYPENAME).encode().ljust(1_000_001))
    assert response.status_code == 413
    assert refusal(response) == "The body is longer than 1000000 bytes, which is the most that is read."


async def test_a_body_of_the_longest_length_is_answered(api: Api) -> None:
    response = await post(api, json.dumps(TYPENAME).encode().ljust(1_000_000))
    assert response.json() == {"data": {"__typename": "Query"}}


@pytest.mark.parametrize(
    "content_type",
    [None, "", "text/plain", "application/graphql", "application/jsonx", "multipart/form-data; boundary=x",
     "application/x-www-form-urlencoded", f"{JSON}; charset=latin-1", f"{GRAPHQL_RESPONSE}"],
)  # fmt: skip
async def test_another_content_type_is_415(api: Api, content_type: str | None) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    response = await api.client.post("/graphql", content=json.dumps(TYPENAME), headers=headers)
    assert response.status_code == 415
    assert response.headers["accept-post"] == JSON
    assert refusal(response).startswith("The C" if "charset" not in str(content_type) else "The charset")


@pytest.mark.parametrize("parameters", ["", "; charset=utf-8", ';charset="UTF-8"', "; charset=utf8", "; profile=x"])
async def test_json_in_utf_8_is_read(api: Api, parameters: str) -> None:
    headers = {"Content-Type": f"Application/JSON{parameters}"}
    response = await api.client.post("/graphql", content='{"query":"{ __typename } # é"}'.encode(), headers=headers)
    assert response.json() == {"data": {"__typename": "Query"}}


# ---------------------------------------------------------------- methods


async def test_a_query_may_come_by_get(api: Api, ada: Person) -> None:
    task = await api.create(ada, "By GET")
    parameters = {
        "query": "query One { __typename } query Two($id: ID!) { task(id: $id) { title } }",
        "operationName": "Two",
        "variables": json.dumps({"id": task["id"]}),
        "extensions": "{}",
    }
    response = await api.client.get("/graphql", params=parameters, headers=await bearer(api, ada))
    assert response.json() == {"data": {"task": {"title": "By GET"}}}


async def test_empty_parameters_of_a_get_count_as_absent(api: Api) -> None:
    response = await api.client.get("/graphql?query={__typename}&operationName=&variables=&extensions=")
    assert response.json() == {"data": {"__typename": "Query"}}


@pytest.mark.parametrize("variables", ["{", "[]", "3", "NaN", "\N{PILE OF POO}"])
async def test_malformed_variables_of_a_get_are_400(api: Api, variables: str) -> None:
    response = await api.client.get("/graphql", params={"query": "{ __typename }", "variables": variables})
    assert response.status_code == 400
    assert refusal(response).startswith("`variables` is ")


async def test_a_get_without_a_query_is_400(api: Api) -> None:
    response = await api.client.get("/graphql")
    assert (response.status_code, refusal(response)) == (
        400,
        "`query` is missing; send the GraphQL document in it.",
    )


async def test_a_mutation_by_get_is_405_and_changes_nothing(api: Api, ada: Person) -> None:
    mutation = 'mutation { createTask(input: { title: "By GET" }) { task { id } } }'
    response = await api.client.get("/graphql", params={"query": mutation}, headers=await bearer(api, ada))
    assert response.status_code == 405
    assert response.headers["allow"] == "POST"
    assert refusal(response) == "A mutation is not executed over GET; send it by POST."
    assert await api.issuer.connection.fetchval("SELECT count(*) FROM tasks") == 0


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_another_method_is_405(api: Api, method: str) -> None:
    response = await api.client.request(method, "/graphql", json=TYPENAME)
    assert response.status_code == 405
    assert response.headers["allow"] == "GET, POST"
    assert refusal(response) == f"{method} is not answered here; send GET or POST."


async def test_head_is_405_without_a_body(api: Api) -> None:
    response = await api.client.head("/graphql")
    assert (response.status_code, response.headers["allow"], response.content) == (405, "GET, POST", b"")


# ---------------------------------------------------------------- headers


async def test_a_page_of_a_trusted_origin_may_call(api: Api) -> None:
    headers = {
        "Origin": ORIGIN,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    response = await api.client.options("/graphql", headers=headers)
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == ORIGIN
    assert response.headers["access-control-allow-credentials"] == "true"
    assert "authorization" in response.headers["access-control-allow-headers"].lower()


async def test_a_page_of_another_origin_may_not(api: Api) -> None:
    headers = {"Origin": ELSEWHERE, "Access-Control-Request-Method": "POST"}
    response = await api.client.options("/graphql", headers=headers)
    assert response.status_code == 400
    assert "access-control-allow-origin" not in response.headers


@pytest.mark.parametrize("body", [TYPENAME, {}])
async def test_a_trusted_page_may_read_every_answer_and_its_request_id(api: Api, body: dict[str, str]) -> None:
    response = await api.client.post("/graphql", json=body, headers={"Origin": ORIGIN})
    assert response.headers["access-control-allow-origin"] == ORIGIN
    assert "X-Request-Id" in response.headers["access-control-expose-headers"]


@pytest.mark.parametrize("id", ["a", "0b5c-4.7_f", "x" * 64])
async def test_a_plain_request_id_is_answered(api: Api, id: str) -> None:
    response = await api.client.post("/graphql", json=TYPENAME, headers={"X-Request-Id": id})
    assert response.headers["x-request-id"] == id


@pytest.mark.parametrize("id", [None, "", "a b", "<script>", "x" * 65, "é"])
async def test_any_other_request_id_is_made_anew(api: Api, id: str | None) -> None:
    headers = {} if id is None else {b"X-Request-Id": id.encode("latin-1")}
    response = await api.client.get("/", headers=headers)
    assert re.fullmatch("[0-9a-f]{16}-[1-9][0-9]*", response.headers["x-request-id"])
    again = await api.client.get("/", headers=headers)
    assert again.headers["x-request-id"] != response.headers["x-request-id"]


@pytest.mark.parametrize("body", [TYPENAME, {}])
async def test_no_cache_keeps_an_answer(api: Api, body: dict[str, str]) -> None:
    response = await api.client.post("/graphql", json=body)
    assert response.headers["cache-control"] == "private, no-store"
    assert response.headers["vary"] == "Accept, Origin"


async def test_a_slash_at_the_end_makes_no_difference(api: Api) -> None:
    response = await api.client.post("/graphql/", json={"query": "{ __typename }"})
    assert response.json() == {"data": {"__typename": "Query"}}


# ---------------------------------------------------------------- browsers


async def test_a_browser_gets_graphiql_with_scripts_that_cannot_change(api: Api) -> None:
    response = await api.client.get("/graphql", headers={"Accept": BROWSER})
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    files = re.findall(r"<(?:script|link)\s[^>]*?(?:src|href)=[^>]*>", response.text)
    assert len(files) == 4
    for file in files:
        assert re.search(r"@\d+\.\d+\.\d+/", file), file
        assert re.search(r'integrity="sha384-[\w+/]{64}"', file), file


async def test_graphiql_can_be_off(database_url: str) -> None:
    async with serving(settings(database_url, graphiql=False)) as client:
        response = await client.get("/graphql", params=TYPENAME, headers={"Accept": BROWSER})
        assert response.json() == {"data": {"__typename": "Query"}}


async def test_introspection_can_be_off(database_url: str) -> None:
    async with serving(settings(database_url, introspection=False)) as client:
        response = await client.post("/graphql", json={"query": "{ __typename __schema { queryType { name } } }"})
        [error, *_] = response.json()["errors"]
        assert error["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"
        assert "introspection" in error["message"]


async def test_the_root_links_to_the_rest_for_programs(api: Api) -> None:
    response = await api.client.get("/")
    assert response.json()["links"] == {"graphql": "/graphql", "live": "/health/live", "ready": "/health/ready"}


async def test_the_root_links_to_the_rest_for_people(api: Api) -> None:
    response = await api.client.get("/", headers={"Accept": BROWSER})
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert '<a href="/graphql">' in response.text


# ---------------------------------------------------------------- failures of ours


async def test_an_unexpected_failure_is_masked_and_logged_once(
    api: Api, ada: Person, caplog: pytest.LogCaptureFixture
) -> None:
    await api.issuer.connection.execute("ALTER TABLE tasks DROP COLUMN priority")
    query = "{ viewer { name } broken: viewer { tasks { nodes { priority } } } }"
    response = await api.post(query, headers={**await bearer(api, ada), "X-Request-Id": "r-1"})
    assert response.status_code == 200
    assert response.json()["data"] == {"viewer": {"name": "Ada"}, "broken": None}
    [error] = response.json()["errors"]
    assert error["extensions"] == {"code": "INTERNAL_SERVER_ERROR", "requestId": "r-1"}
    assert error["path"] == ["broken", "tasks"]
    assert "priority" not in response.text
    [record] = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert "r-1" in record.getMessage()
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], asyncpg.UndefinedColumnError)


async def test_a_failure_before_the_operation_is_500(api: Api, ada: Person, caplog: pytest.LogCaptureFixture) -> None:
    signed_in = await api.issuer.sign_in(ada)
    await api.issuer.connection.execute("ALTER TABLE session DROP COLUMN token")
    response = await api.post("{ viewer { name } }", headers={"Authorization": f"Bearer {signed_in}"})
    assert response.status_code == 500
    assert response.json().keys() == {"errors"}
    [error] = response.json()["errors"]
    assert error["extensions"] == {
        "code": "INTERNAL_SERVER_ERROR",
        "requestId": response.headers["x-request-id"],
    }
    assert "token" not in response.text
    assert len([record for record in caplog.records if record.levelno >= logging.ERROR]) == 1


@asynccontextmanager
async def locked_tasks(url: str) -> AsyncIterator[None]:
    """Nobody else can read or write a task within the block."""
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            await connection.execute("LOCK TABLE tasks")
            yield
    finally:
        await connection.close()


async def test_a_request_that_takes_too_long_is_ended(database_url: str, issuer: Issuer) -> None:
    async with serving(settings(database_url, request_timeout_seconds=1)) as client:
        api = Api(client, issuer)
        headers = await bearer(api, await api.sign_up("Ada"))
        async with locked_tasks(database_url):
            response = await api.post("{ viewer { taskCounts { total } } }", headers=headers)
        assert response.status_code == 504
        [error] = response.json()["errors"]
        assert error["extensions"] == {"code": "TIMEOUT"}
        assert "1 s" in error["message"]
        again = await api.post("{ viewer { taskCounts { total } } }", headers=headers)
        assert again.json() == {"data": {"viewer": {"taskCounts": {"total": 0}}}}


@pytest.mark.parametrize("query", ["{ viewer { tasks { totalCount } } }", '{ task(id: "%s") { title } }'])
async def test_a_request_that_is_ended_ends_its_statement(database_url: str, issuer: Issuer, query: str) -> None:
    """Or it would keep the connection from others. What the second reads is read for all who ask for it."""
    async with serving(settings(database_url, request_timeout_seconds=1)) as client:
        api = Api(client, issuer)
        ada = await api.sign_up("Ada")
        task = await api.create(ada)
        async with locked_tasks(database_url):
            response = await api.post(query.replace("%s", task["id"]), headers=await bearer(api, ada))
            assert response.status_code == 504
            async with asyncio.timeout(10):
                while await issuer.connection.fetch(WAITING):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)


async def test_a_statement_that_takes_too_long_is_ended(database_url: str, issuer: Issuer) -> None:
    async with serving(settings(database_url, statement_timeout_seconds=0.2)) as client:
        api = Api(client, issuer)
        ada = await api.sign_up("Ada")
        async with locked_tasks(database_url):
            errors = await api.errors(ada, "{ viewer { taskCounts { total } } }")
        message = "The database needed more than 0.2 s. Ask for less at once."
        assert errors == [{"code": "TIMEOUT", "message": message, "path": ["viewer", "taskCounts"]}]


# ---------------------------------------------------------------- anything at all

anything = hypothesis_settings(max_examples=100)
header_text = st.text(st.characters(codec="latin-1", exclude_characters="\r\n\0")).map(lambda text: text.strip())
documents = st.lists(
    st.sampled_from(
        ["{", "}", "(", ")", "query", "viewer", "tasks", "first", ":", "$a", "1", "...", "on", "@", '"', "\0"]
    )
).map(" ".join)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
bodies = st.binary() | st.fixed_dictionaries({"query": documents | st.text() | values, "variables": values}).map(
    lambda body: json.dumps(body).encode()
)


@given(body=bodies)
@anything
async def test_no_body_makes_the_server_fail(api: Api, body: bytes) -> None:
    response = await post(api, body)
    assert response.status_code in (200, 400)
    assert all("code" in error["extensions"] for error in response.json().get("errors", []))


@given(accept=header_text, content_type=header_text)
@anything
async def test_no_header_makes_the_server_fail(api: Api, accept: str, content_type: str) -> None:
    headers = {b"Accept": accept.encode("latin-1"), b"Content-Type": content_type.encode("latin-1")}
    response = await api.client.post("/graphql", content=json.dumps(TYPENAME), headers=headers)
    assert response.status_code in (200, 406, 415)


@pytest.mark.parametrize("name", ["Accept", "Content-Type"])
async def test_a_header_without_end_is_not_remembered(api: Api, name: str) -> None:
    begin = "application/json;" + "x" * 100_000
    headers = {"Content-Type": "application/json", "Accept": "*/*"}
    await api.client.post("/graphql", json=TYPENAME, headers=headers | {name: begin})
    tracemalloc.start()
    for number in range(50):
        answer = await api.client.post("/graphql", json=TYPENAME, headers=headers | {name: f"{begin}{number}"})
        assert answer.status_code == 200
    gc.collect()
    remembered, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert remembered < 10 * len(begin)  # and not 50 times


# ---------------------------------------------------------------- real sockets


@pytest.fixture(scope="module")
async def server(template: str) -> AsyncIterator[Server]:
    async with new_database(template) as url, running(url) as server:
        yield server


async def exchange(server: Server, *parts: bytes) -> bytes:
    """What the server sends on one connection for these bytes, until it closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    for part in parts:
        writer.write(part)
        await writer.drain()
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


def raw(body: bytes, *headers: bytes) -> bytes:
    lines = [b"POST /graphql HTTP/1.1", b"Host: tasks.test", b"Content-Type: application/json", *headers]
    return b"\r\n".join([*lines, b"", body])


def raw_query(*headers: bytes) -> bytes:
    body = json.dumps(TYPENAME).encode()
    return raw(body, b"Content-Length: %d" % len(body), *headers)


LAST = b"Connection: close"
DATA = b'{"data":{"__typename":"Query"}}'


async def test_the_sender_of_10_megabytes_reads_why_they_are_refused(server: Server) -> None:
    async with httpx.AsyncClient(base_url=server.address) as client:
        response = await client.post("/graphql", content=b" " * 10_000_000, headers={"Content-Type": JSON})
        assert response.status_code == 413
        assert refusal(response).startswith("The body is longer than 1000000 bytes")


async def test_a_connection_goes_on_after_errors(server: Server) -> None:
    too_long = raw(b" " * 2_000_000, b"Content-Length: 2000000")
    answer = await exchange(server, raw(b"{", b"Content-Length: 1"), too_long, raw_query(LAST))
    assert re.findall(rb"HTTP/1.1 (\d+)", answer) == [b"400", b"413", b"200"]
    assert answer.endswith(DATA)


async def test_a_body_in_chunks_is_read(server: Server) -> None:
    body = json.dumps(TYPENAME).encode()
    chunks = [b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:5], body[5:])]
    answer = await exchange(server, raw(b"", b"Transfer-Encoding: chunked", LAST), *chunks, b"0\r\n\r\n")
    assert answer.endswith(DATA)


async def test_endless_chunks_are_refused(server: Server) -> None:
    chunk = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
    answer = await exchange(server, raw(b"", b"Transfer-Encoding: chunked", LAST), *[chunk] * 4, b"0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("junk", [b"\x16\x03\x01\r\n\r\n", b"POST\r\n\r\n", raw(b"", b"Content-Length: -1")])
async def test_malformed_http_is_400(server: Server, junk: bytes) -> None:
    assert (await exchange(server, junk)).startswith(b"HTTP/1.1 400 ")


async def test_a_connection_that_breaks_in_the_body_harms_nobody(server: Server) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(raw(b"{", b"Content-Length: 1000"))
    await writer.drain()
    writer.transport.abort()
    assert (await exchange(server, raw_query(LAST))).endswith(DATA)
    assert not [line for line in server.log if "Traceback" in line or "ERROR" in line]


async def test_an_answer_to_somebody_who_has_left_is_no_error(database_url: str, issuer: Issuer, ada: Person) -> None:
    body = json.dumps({"query": "{ viewer { tasks { totalCount } } }"}).encode()
    headers = [b"Content-Length: %d" % len(body), f"Authorization: Bearer {await issuer.token(ada)}".encode()]
    async with running(database_url) as server:
        owner = await asyncpg.connect(database_url)
        async with owner.transaction():
            await owner.execute("LOCK TABLE tasks")
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(raw(body, *headers))
            await until_somebody_waits(owner)
            writer.transport.abort()
            assert (await exchange(server, raw_query(LAST))).endswith(DATA)  # so it has seen the other leave
        await owner.close()
        assert (await exchange(server, raw(body, *headers, LAST))).endswith(b'{"totalCount":0}}}}')
        assert not [line for line in server.log if "Traceback" in line or "ERROR" in line]


async def test_open_requests_are_answered_before_the_server_ends(database_url: str) -> None:
    async with running(database_url) as server:
        request = raw_query()
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(request[:-1])
        # answered after the first bytes of the other have been read
        assert (await exchange(server, raw_query(LAST))).endswith(DATA)
        server.process.terminate()
        await server.wrote("Shutting down")
        writer.write(request[-1:])
        assert (await reader.read()).endswith(DATA)
        writer.close()
        await writer.wait_closed()
        # uvicorn passes the signal on to itself when all is done, which a shell calls 143
        assert await server.process.wait() in (0, -signal.SIGTERM)
        assert not [line for line in server.log if "Traceback" in line or "ERROR" in line]


async def test_what_takes_longer_than_the_server_waits_is_to_be_tried_again(
    database_url: str, issuer: Issuer, ada: Person, caplog: pytest.LogCaptureFixture
) -> None:
    headers = bearer_of(await issuer.token(ada))
    owner = issuer.connection
    async with owner.transaction(), httpx.AsyncClient() as client:
        await owner.execute("LOCK TABLE tasks")
        async with listening(settings(database_url)) as address:
            query = {"query": "{ viewer { tasks { totalCount } } }"}
            asking = asyncio.create_task(client.post(f"http://{address}/graphql", json=query, headers=headers))
            await until_somebody_waits(owner)
        response = await asking
    assert (response.status_code, response.headers["retry-after"]) == (503, "5")
    assert response.headers["x-request-id"]
    [error] = response.json()["errors"]
    assert error["extensions"] == {"code": "SERVICE_UNAVAILABLE"}
    assert not [record for record in caplog.records if record.exc_info]


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nowhere", 404), ("POST", "/health/live", 405)])
async def test_what_is_not_here_is_told_in_json(api: Api, method: str, path: str, status: int) -> None:
    response = await api.client.request(method, path)
    assert response.status_code == status
    [error] = response.json()["errors"]
    assert error["extensions"] == {"code": "BAD_REQUEST"}
    assert "/graphql" in error["message"]
    assert ("allow" in response.headers) == (status == 405)
