"""Asking who one is, with a credential in the headers."""

from collections.abc import Mapping, Sequence
from urllib.parse import quote

import httpx

COOKIE = "__Secure-better-auth.session_token"
"""Where `AUTH_URL` is https, as it is in `tests.client.settings`."""

Headers = Mapping[str, str] | Sequence[tuple[bytes, bytes]]


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def cookie(signed_token: str, name: str = COOKIE) -> dict[str, str]:
    """The session cookie as Better Auth sets it."""
    return {"Cookie": f"{name}={quote(signed_token, safe='')}"}


async def ask(client: httpx.AsyncClient, headers: Headers) -> httpx.Response:
    return await client.post("/graphql", json={"query": "{ viewer { id name email } }"}, headers=headers)


async def who(client: httpx.AsyncClient, headers: Headers) -> str | None:
    """The email of the person that these headers stand for; None for nobody."""
    response = await ask(client, headers)
    assert response.status_code == 200, response.text
    answer = response.json()
    assert answer.keys() == {"data"}, answer
    viewer = answer["data"]["viewer"]
    email: str | None = viewer and viewer["email"]
    return email


async def refusal(client: httpx.AsyncClient, headers: Headers) -> str:
    """Why these headers are refused, with 401 and nothing but one error."""
    response = await ask(client, headers)
    assert response.status_code == 401, response.text
    assert response.headers["www-authenticate"] == "Bearer"
    [error] = response.json()["errors"]
    message: str = error["message"]
    assert response.json() == {"errors": [{"message": message, "extensions": {"code": "UNAUTHENTICATED"}}]}
    return message
