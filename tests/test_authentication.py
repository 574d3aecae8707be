"""Which credential of a request decides, and what becomes of the bad ones."""

import logging
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from graphql_api.auth.sessions import sign
from graphql_api.settings import ConfigurationError
from tests.asking import ask, bearer, cookie, refusal, who
from tests.client import Api, serving, settings
from tests.issuer import SECRET, Issuer, Person, SigningKey, default_claims, signed

BAD: dict[str, Callable[[str, str], str]] = {
    "nonsense": lambda token, signed: "nonsense",
    "swapped signature": lambda token, signed: token[:-4] + token[-4:][::-1],
    "JWT that has lost its end": lambda token, signed: token[:-1],
    "session with a wrong signature": lambda token, signed: signed.replace(".", ".A"),
    "raw session token": lambda token, signed: signed.partition(".")[0],
    "nothing": lambda token, signed: "",
}
"""What may be wrong with a bearer token."""


@pytest.fixture
async def key(issuer: Issuer) -> SigningKey:
    return await issuer.new_key()


async def test_nobody_is_nobody(api: Api) -> None:
    assert await who(api.client, {}) is None
    assert await who(api.client, {"Authorization": ""}) is None
    assert await who(api.client, {"Cookie": "theme=dark"}) is None


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer  "])
async def test_the_scheme_is_read_in_any_case(api: Api, ada: Person, scheme: str) -> None:
    for credential in (await api.issuer.token(ada), await api.issuer.sign_in(ada)):
        assert await who(api.client, {"Authorization": f"{scheme} {credential}"}) == ada.email


@pytest.mark.parametrize("header", ["Basic YTpi", "Digest a=b", "Token abc", "Bearertoken", "Negotiate"])
async def test_other_schemes_are_not_ours(api: Api, ada: Person, header: str) -> None:
    assert await who(api.client, {"Authorization": header}) is None
    assert await who(api.client, {"Authorization": header, **cookie(await api.issuer.sign_in(ada))}) == ada.email


async def test_a_bearer_beats_the_cookie(api: Api, ada: Person, bob: Person) -> None:
    of_bob = cookie(await api.issuer.sign_in(bob))
    for credential in (await api.issuer.token(ada), await api.issuer.sign_in(ada)):
        assert await who(api.client, {**bearer(credential), **of_bob}) == ada.email


@pytest.mark.parametrize("spoil", BAD.values(), ids=BAD)
async def test_a_bad_bearer_never_falls_back_to_the_cookie(
    api: Api, ada: Person, spoil: Callable[[str, str], str]
) -> None:
    signed_token = await api.issuer.sign_in(ada)
    bad = bearer(spoil(await api.issuer.token(ada), signed_token))
    await refusal(api.client, bad)
    await refusal(api.client, {**bad, **cookie(signed_token)})


async def test_a_bearer_without_a_token_is_refused(api: Api, ada: Person) -> None:
    """Servers take the space at the end of `Bearer ` away."""
    own = cookie(await api.issuer.sign_in(ada))
    for header in ("Bearer", "bearer", "Bearer "):
        await refusal(api.client, {"Authorization": header, **own})


async def test_two_bearers_are_refused(api: Api, ada: Person, bob: Person) -> None:
    tokens = [await api.issuer.token(person) for person in (ada, bob)]
    headers = [(b"authorization", f"Bearer {token}".encode()) for token in tokens]
    assert await refusal(api.client, headers) == "The request has more than one bearer token."
    await refusal(api.client, [headers[0], headers[0]])


async def test_a_bearer_beside_another_scheme_counts(api: Api, ada: Person) -> None:
    token = f"Bearer {await api.issuer.token(ada)}".encode()
    assert await who(api.client, [(b"authorization", b"Basic YTpi"), (b"authorization", token)]) == ada.email


async def test_a_refused_request_changes_nothing(api: Api, ada: Person) -> None:
    body = {"query": 'mutation { createTask(input: {title: "Buy milk"}) { task { id } } }'}
    response = await api.client.post("/graphql", json=body, headers=bearer("nonsense"))
    assert response.status_code == 401
    assert await api.issuer.connection.fetchval("SELECT count(*) FROM tasks") == 0


async def test_a_wrong_credential_is_401_before_the_document_is_read(api: Api) -> None:
    response = await api.client.post("/graphql", json={"query": "{"}, headers=bearer("nonsense"))
    assert response.status_code == 401


texts = st.text(st.characters(codec="latin-1", exclude_characters="\r\n\0"), max_size=300)
alphabet = "abcXYZ019-_.=%+/ \t\"'{}"
segments = st.lists(st.text(alphabet, max_size=40), min_size=3, max_size=3).map(".".join)


@given(text=texts | st.text(alphabet) | segments)
@example(text="..")
@example(text="." * 100_000)
@example(text="eyJhbGciOiJFZERTQSJ9.e30.")
@hypothesis_settings(max_examples=150)
async def test_every_other_text_as_a_bearer_is_refused(api: Api, text: str) -> None:
    await refusal(api.client, [(b"authorization", b"Bearer " + text.encode("latin-1"))])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
headers = st.fixed_dictionaries({}, optional=dict.fromkeys(("alg", "typ", "kid", "crit", "b64", "jwk"), json_values))
claims = st.dictionaries(st.sampled_from(["sub", "exp", "iat", "nbf", "jti", "banned", "banExpires"]), json_values)


@given(header=headers, claims=claims)
@hypothesis_settings(max_examples=150)
async def test_nothing_that_is_signed_makes_the_server_fail(
    api: Api, ada: Person, key: SigningKey, header: dict[str, object], claims: dict[str, object]
) -> None:
    token = signed({"alg": "EdDSA", "kid": key.kid, **header}, default_claims(ada) | claims, key.private, "EdDSA")
    response = await ask(api.client, bearer(token))
    assert response.status_code in (200, 401)
    assert response.status_code == 401 or claims.get("sub", ada.id) == ada.id or "errors" in response.json()


async def test_it_must_be_possible_to_sign_in(database_url: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        async with serving(settings(database_url, auth_url=None, better_auth_secret=None)):
            pass
    assert "AUTH_URL" in str(refused.value)
    assert "BETTER_AUTH_SECRET" in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


async def test_a_credential_is_neither_logged_nor_repeated(
    api: Api, ada: Person, key: SigningKey, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    token, signed_token = await api.issuer.token(ada), await api.issuer.sign_in(ada)
    raw = signed_token.partition(".")[0]
    sent = [
        bearer(token),
        bearer(signed_token),
        cookie(signed_token),
        bearer(raw),
        *(bearer(spoil(token, signed_token)) for spoil in BAD.values()),
        bearer(await api.issuer.token(ada, exp=1)),
        bearer(await api.issuer.token(ada, iss="https://evil.example.com")),
        bearer(key.sign(default_claims(ada), kid="unknown")),
        cookie(sign(raw, "wrong")),
        {"Cookie": "; ".join([cookie(signed_token)["Cookie"]] * 2)},
        {**cookie(signed_token), "Origin": "https://evil.example.com"},
    ]
    answers = [(await ask(api.client, headers)).text for headers in sent]
    await api.issuer.connection.execute("DELETE FROM session")
    answers.append((await ask(api.client, bearer(signed_token))).text)
    seen = "\n".join([caplog.text, *answers])
    assert "a token was refused" in seen
    for secret in (SECRET, raw, token.rpartition(".")[2], signed_token.rpartition(".")[2]):
        assert secret not in seen


async def test_the_password_of_the_database_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    options = settings("postgresql://ada:pass-word@127.0.0.1:1/tasks", connect_timeout_seconds=0.2)
    with pytest.raises(ConfigurationError) as refused:
        async with serving(options):
            pass
    assert str(refused.value).startswith("DATABASE_URL")
    for text in (str(refused.value), caplog.text, repr(options)):
        assert "pass-word" not in text
        assert SECRET not in text
