"""Which media type an answer has, and what its status means there."""

import pytest

from graphql_api.http.negotiation import GRAPHQL_RESPONSE, HTML, JSON, preferred
from tests.client import Api
from tests.issuer import Person

URQL = (
    "application/graphql-response+json, application/graphql+json, application/json, text/event-stream, multipart/mixed"
)
APOLLO = "application/graphql-response+json,application/json;q=0.9"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"

ACCEPTED = {
    "": JSON,
    "*/*": JSON,
    "*": JSON,
    "application/*": JSON,
    JSON: JSON,
    "application/JSON; charset=utf-8": JSON,
    GRAPHQL_RESPONSE: GRAPHQL_RESPONSE,
    URQL: GRAPHQL_RESPONSE,
    APOLLO: GRAPHQL_RESPONSE,
    f"{JSON}, {GRAPHQL_RESPONSE}": JSON,
    f"{GRAPHQL_RESPONSE}, {JSON}": GRAPHQL_RESPONSE,
    f"{JSON};q=0.5, {GRAPHQL_RESPONSE}": GRAPHQL_RESPONSE,
    f"{GRAPHQL_RESPONSE};q=0.4, */*;q=0.5": JSON,
    f"{JSON};q=0, */*": GRAPHQL_RESPONSE,
    f"text/plain, {JSON};q=0.001": JSON,
    BROWSER: JSON,
}
"""What a POST is answered with, by its Accept header."""

REFUSED = ["text/plain", "multipart/mixed", f"{JSON};q=0", "*/*;q=0", f"{JSON};q=often", "json"]

MISTAKES = {
    "syntax": ({"query": "{"}, "GRAPHQL_PARSE_FAILED"),
    "validation": ({"query": "{ nothing }"}, "GRAPHQL_VALIDATION_FAILED"),
    "unknown variable": ({"query": "{ task(id: $id) { id } }"}, "GRAPHQL_VALIDATION_FAILED"),
    "missing variable": ({"query": "query ($id: ID!) { task(id: $id) { id } }"}, "BAD_USER_INPUT"),
    "wrong variable": (
        {"query": "query ($id: ID!) { task(id: $id) { id } }", "variables": {"id": [1]}},
        "BAD_USER_INPUT",
    ),
    "too many values": ({"query": "{ __typename }", "variables": {"ids": ["a"] * 5000}}, "BAD_USER_INPUT"),
    "cost": (
        {"query": "query ($ids: [ID!]!) { nodes(ids: $ids) { id } a: nodes(ids: $ids) { id } b: nodes(ids: $ids) "
                  "{ id } c: nodes(ids: $ids) { id } d: nodes(ids: $ids) { id } }",
         "variables": {"ids": ["a"] * 4500}},
        "COST_LIMIT_EXCEEDED",
    ),
    "unknown operation": ({"query": "{ __typename }", "operationName": "None"}, "OPERATION_RESOLUTION_FAILURE"),
    "two operations": (
        {"query": "query A { __typename } query B { __typename }"},
        "OPERATION_RESOLUTION_FAILURE",
    ),
    "hash of a persisted document": (
        {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": "ab"}}},
        "PERSISTED_QUERY_NOT_SUPPORTED",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("accept", "media"), ACCEPTED.items())
def test_the_preferred_offer_is_chosen(accept: str, media: str) -> None:
    assert preferred(accept.encode(), (JSON, GRAPHQL_RESPONSE)) == media


@pytest.mark.parametrize("accept", REFUSED)
def test_nothing_is_chosen_where_nothing_fits(accept: str) -> None:
    assert preferred(accept.encode(), (JSON, GRAPHQL_RESPONSE)) is None


@pytest.mark.parametrize("accept", [BROWSER, "text/html", "text/*"])
def test_a_browser_prefers_html(accept: str) -> None:
    assert preferred(accept.encode(), (JSON, GRAPHQL_RESPONSE, HTML)) == HTML


@pytest.mark.parametrize("accept", [JSON, GRAPHQL_RESPONSE, URQL, APOLLO])
async def test_an_answer_names_its_media_type_and_charset(api: Api, accept: str) -> None:
    response = await api.post("{ __typename }", headers={"Accept": accept})
    assert response.status_code == 200
    assert response.headers["content-type"] == f"{ACCEPTED[accept]}; charset=utf-8"
    assert response.json() == {"data": {"__typename": "Query"}}


async def test_several_accept_headers_count_as_one(api: Api) -> None:
    headers = [("Accept", "text/plain"), ("Accept", GRAPHQL_RESPONSE)]
    response = await api.client.post("/graphql", json={"query": "{ __typename }"}, headers=headers)
    assert response.headers["content-type"] == f"{GRAPHQL_RESPONSE}; charset=utf-8"


@pytest.mark.parametrize("accept", REFUSED)
async def test_an_accept_header_that_cannot_be_met_is_406(api: Api, accept: str) -> None:
    response = await api.post("{ __typename }", headers={"Accept": accept})
    assert response.status_code == 406
    [error] = response.json()["errors"]
    assert error["extensions"] == {"code": "BAD_REQUEST"}
    assert GRAPHQL_RESPONSE in error["message"]


@pytest.mark.parametrize(("accept", "status"), [(GRAPHQL_RESPONSE, 400), (JSON, 200)])
@pytest.mark.parametrize("mistake", MISTAKES)
async def test_a_mistake_has_the_status_of_its_media_type_and_no_data(
    api: Api, mistake: str, accept: str, status: int
) -> None:
    body, code = MISTAKES[mistake]
    response = await api.client.post("/graphql", json=body, headers={"Accept": accept})
    assert response.status_code == status
    assert response.headers["content-type"].startswith(accept)
    answer = response.json()
    assert answer.keys() == {"errors"}
    assert {error["extensions"]["code"] for error in answer["errors"]} == {code}


@pytest.mark.parametrize("accept", [GRAPHQL_RESPONSE, JSON])
async def test_an_error_of_one_field_leaves_the_status_200(api: Api, ada: Person, accept: str) -> None:
    token = await api.issuer.token(ada)
    headers = {"Accept": accept, "Authorization": f"Bearer {token}"}
    response = await api.post('{ __typename task(id: "x") { id } }', headers=headers)
    assert response.status_code == 200
    assert response.json()["data"] == {"__typename": "Query", "task": None}
    assert [error["path"] for error in response.json()["errors"]] == [["task"]]


@pytest.mark.parametrize("accept", [GRAPHQL_RESPONSE, JSON])
async def test_a_bad_credential_is_401_in_either_media_type(api: Api, accept: str) -> None:
    response = await api.post("{ viewer { id } }", headers={"Accept": accept, "Authorization": "Bearer x"})
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.json().keys() == {"errors"}
    assert [error["extensions"]["code"] for error in response.json()["errors"]] == ["UNAUTHENTICATED"]
