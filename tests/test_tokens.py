"""JWTs: which ones count, and by which keys (better-auth.md, 4)."""

import json
import time
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from graphql_api import memory
from graphql_api.auth import authenticate
from tests.asking import ask, bearer, refusal, who
from tests.client import Api, serving, settings
from tests.clock import Clock
from tests.conftest import execute
from tests.issuer import ALGORITHMS, ORIGIN, SECRET, Issuer, Person, SigningKey, default_claims, signed

INVALID = "The token is not a valid JWT of this application."
UNKNOWN_KEY = "The token is signed with a key that this application does not know."


@pytest.fixture
async def key(issuer: Issuer) -> SigningKey:
    return await issuer.new_key()


def with_claims(key: SigningKey, person: Person, **claims: object) -> dict[str, str]:
    """The header with a token of this person in which these claims replace the usual ones; they may be of any kind."""
    header = {"alg": key.algorithm, "kid": key.kid}
    return bearer(signed(header, default_claims(person) | claims, key.private, key.algorithm))


# ---------------------------------------------------------------- signatures


async def test_every_algorithm_of_better_auth_counts(api: Api, ada: Person) -> None:
    for algorithm in ALGORITHMS:
        key = await api.issuer.new_key(algorithm)
        assert await who(api.client, bearer(key.sign(default_claims(ada)))) == ada.email


async def test_every_algorithm_counts_with_keys_from_before_1_7(database_url: str, issuer: Issuer) -> None:
    ada = await issuer.sign_up("Ada")
    keys = [await issuer.new_key(algorithm) for algorithm in ALGORITHMS]
    await execute(database_url, 'ALTER TABLE jwks DROP alg, DROP crv, DROP "expiresAt"')
    async with serving(settings(database_url)) as client:
        for key in keys:
            assert await who(client, bearer(key.sign(default_claims(ada)))) == ada.email


@pytest.mark.parametrize("stored", [True, False], ids=["stored algorithm", "before 1.7"])
async def test_the_token_does_not_choose_the_algorithm(database_url: str, issuer: Issuer, stored: bool) -> None:
    ada, key = await issuer.sign_up("Ada"), await issuer.new_key("RS256")
    if not stored:
        await execute(database_url, "ALTER TABLE jwks DROP alg, DROP crv")
    async with serving(settings(database_url)) as client:
        for claimed in ("HS256", "none", "None", "ES256", "EdDSA", "RS512", "", None, 3, ["RS256"]):
            token = signed({"alg": claimed, "kid": key.kid}, default_claims(ada), key.private, "RS256")
            assert await refusal(client, bearer(token)) == INVALID


@pytest.mark.parametrize("stored", [True, False], ids=["stored algorithm", "before 1.7"])
async def test_hs256_with_what_others_know_proves_nothing(database_url: str, issuer: Issuer, stored: bool) -> None:
    ada, key = await issuer.sign_up("Ada"), await issuer.new_key("RS256")
    if not stored:
        await execute(database_url, "ALTER TABLE jwks DROP alg, DROP crv")
    public = key.private.public_key()
    known = [
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        json.dumps(key.public).encode(),
        SECRET.encode(),
    ]
    async with serving(settings(database_url)) as client:
        for secret in known:
            token = signed({"alg": "HS256", "kid": key.kid}, default_claims(ada), secret, "HS256")
            assert await refusal(client, bearer(token)) == INVALID


async def test_a_token_without_a_signature_is_refused(api: Api, ada: Person, key: SigningKey) -> None:
    header, payload, _ = key.sign(default_claims(ada)).split(".")
    assert await refusal(api.client, bearer(f"{header}.{payload}.")) == INVALID


async def test_a_signature_is_good_for_its_own_payload_only(api: Api, ada: Person, bob: Person) -> None:
    header, _, signature = (await api.issuer.token(ada)).split(".")
    _, payload, _ = (await api.issuer.token(bob)).split(".")
    assert await refusal(api.client, bearer(f"{header}.{payload}.{signature}")) == INVALID


async def test_another_key_of_the_same_table_did_not_sign_it(api: Api, ada: Person, key: SigningKey) -> None:
    other = await api.issuer.new_key()
    assert await refusal(api.client, bearer(other.sign(default_claims(ada), kid=key.kid))) == INVALID


# ---------------------------------------------------------------- keys


async def test_an_unknown_key_is_refused(api: Api, ada: Person, key: SigningKey) -> None:
    for kid in ("unknown", "", "a\0b", "\ud800", "ключ", "k" * 100_000, "' OR true --"):
        assert await refusal(api.client, bearer(key.sign(default_claims(ada), kid=kid))) == UNKNOWN_KEY


async def test_a_key_id_that_is_no_text_is_refused(api: Api, ada: Person, key: SigningKey) -> None:
    kids: list[object] = [None, 1, 1.5, True, [], ["a"], {}]
    for kid in kids:
        token = signed({"alg": "EdDSA", "kid": kid}, default_claims(ada), key.private, "EdDSA")
        assert await refusal(api.client, bearer(token)) in (INVALID, UNKNOWN_KEY)


async def test_a_token_that_names_no_key_is_refused(api: Api, ada: Person, key: SigningKey) -> None:
    token = signed({"alg": "EdDSA"}, default_claims(ada), key.private, "EdDSA")
    assert await refusal(api.client, bearer(token)) == UNKNOWN_KEY


async def test_a_key_made_after_the_start_counts_at_once(api: Api, ada: Person) -> None:
    first = await api.issuer.new_key()
    assert await who(api.client, bearer(first.sign(default_claims(ada)))) == ada.email
    second = await api.issuer.new_key("ES256")
    assert await who(api.client, bearer(second.sign(default_claims(ada)))) == ada.email


async def test_a_rotated_key_counts_for_30_days(api: Api, ada: Person) -> None:
    limit = datetime.now(UTC) - timedelta(days=30)
    old = await api.issuer.new_key(expires_at=limit + timedelta(minutes=1))
    too_old = await api.issuer.new_key(expires_at=limit - timedelta(minutes=1))
    await api.issuer.new_key()
    assert await who(api.client, bearer(old.sign(default_claims(ada)))) == ada.email
    assert await refusal(api.client, bearer(too_old.sign(default_claims(ada)))) == UNKNOWN_KEY


async def test_a_broken_key_is_no_fault_of_ours(api: Api, ada: Person, key: SigningKey) -> None:
    for public in ("", "null", "[]", "{}", '"x"', "not JSON", '{"kty":"OKP","crv":"Ed25519"}'):
        await api.issuer.connection.execute('UPDATE jwks SET "publicKey" = $1', public)
        assert await refusal(api.client, bearer(key.sign(default_claims(ada)))) == INVALID


# ---------------------------------------------------------------- claims


async def test_a_token_without_one_of_the_claims_is_refused(api: Api, ada: Person, key: SigningKey) -> None:
    for claim in ("exp", "iat", "sub", "iss", "aud"):
        claims = default_claims(ada)
        del claims[claim]
        assert await refusal(api.client, bearer(key.sign(claims))) == INVALID


async def test_a_token_counts_until_it_expires(api: Api, ada: Person) -> None:
    expired = await api.issuer.token(ada, exp=int(time.time()) - 60)
    assert await refusal(api.client, bearer(expired)) == "The token has expired; fetch a new one from Better Auth."


async def test_clocks_may_differ_by_five_seconds(api: Api, ada: Person) -> None:
    now = int(time.time())
    assert await who(api.client, bearer(await api.issuer.token(ada, exp=now - 3))) == ada.email
    assert await who(api.client, bearer(await api.issuer.token(ada, iat=now + 3))) == ada.email
    assert await refusal(api.client, bearer(await api.issuer.token(ada, iat=now + 30))) == INVALID


async def test_a_token_of_another_issuer_is_refused(api: Api, ada: Person, key: SigningKey) -> None:
    for other in ("https://evil.example.com", f"{ORIGIN}/", f"{ORIGIN}/api/auth", "", [ORIGIN]):
        assert await refusal(api.client, with_claims(key, ada, iss=other)) == f"The token is not from {ORIGIN}."


async def test_localhost_is_not_127_0_0_1(database_url: str, issuer: Issuer) -> None:
    ada = await issuer.sign_up("Ada")
    here, there = "http://localhost:3000", "http://127.0.0.1:3000"
    async with serving(settings(database_url, auth_url=here)) as client:
        assert await who(client, bearer(await issuer.token(ada, iss=here, aud=here))) == ada.email
        refused = await refusal(client, bearer(await issuer.token(ada, iss=there, aud=here)))
        assert refused == f"The token is not from {here}."


async def test_a_token_for_another_audience_is_refused(api: Api, ada: Person, key: SigningKey) -> None:
    for other in ("https://evil.example.com", ["a", "b"], [3], 3, "better-auth:session-cache"):
        assert await refusal(api.client, with_claims(key, ada, aud=other)) == f"The token is not meant for {ORIGIN}."


async def test_an_audience_that_is_none_is_refused(api: Api, ada: Person, key: SigningKey) -> None:
    nothings: list[object] = ["", [], None]
    for nothing in nothings:
        assert await refusal(api.client, with_claims(key, ada, aud=nothing)) == INVALID


async def test_one_audience_of_several_suffices(api: Api, ada: Person) -> None:
    assert await who(api.client, bearer(await api.issuer.token(ada, aud=["mobile", ORIGIN]))) == ada.email


async def test_issuer_and_audience_can_be_set(database_url: str, issuer: Issuer) -> None:
    ada = await issuer.sign_up("Ada")
    options = settings(database_url, auth_issuer="https://id.example.com", auth_audience="tasks, calendar")
    async with serving(options) as client:
        token = await issuer.token(ada, iss="https://id.example.com", aud="calendar")
        assert await who(client, bearer(token)) == ada.email
        refused = await refusal(client, bearer(await issuer.token(ada, iss="https://id.example.com")))
        assert refused == "The token is not meant for tasks or calendar."


async def test_the_session_cache_is_no_api_token(api: Api, ada: Person, key: SigningKey) -> None:
    token = key.sign(default_claims(ada) | {"sid": "raw"}, typ="better-auth.session-cache+jwt")
    assert "better-auth.session-cache+jwt" in await refusal(api.client, bearer(token))


async def test_another_type_of_token_is_refused(api: Api, ada: Person, key: SigningKey) -> None:
    for other in ("at+jwt", "", 3, None, {"a": "b" * 500}):
        header = {"alg": "EdDSA", "kid": key.kid, "typ": other}
        refused = await refusal(api.client, bearer(signed(header, default_claims(ada), key.private, "EdDSA")))
        assert len(refused) < 150


async def test_the_type_jwt_may_be_said(api: Api, ada: Person, key: SigningKey) -> None:
    assert await who(api.client, bearer(key.sign(default_claims(ada), typ="JWT"))) == ada.email


async def test_a_subject_that_is_no_user_id_is_refused(api: Api, ada: Person, key: SigningKey) -> None:
    subjects: list[object] = ["", "a\0b", "\ud800", "u" * 256, 7, None, True, [], {}]
    for subject in subjects:
        await refusal(api.client, with_claims(key, ada, sub=subject))


async def test_a_payload_that_is_no_set_of_claims_is_refused(api: Api, key: SigningKey) -> None:
    payloads: list[object] = [None, [], "x", 3, {}]
    for payload in payloads:
        token = signed({"alg": "EdDSA", "kid": key.kid}, payload, key.private, "EdDSA")
        assert await refusal(api.client, bearer(token)) == INVALID


async def test_an_expiry_that_is_no_moment_is_refused(api: Api, ada: Person, key: SigningKey) -> None:
    expiries: list[object] = [None, "soon", [], float("inf"), float("nan"), -1, 10**400]
    for expiry in expiries:
        await refusal(api.client, with_claims(key, ada, exp=expiry))


async def test_the_subject_is_the_user_whatever_id_says(api: Api, ada: Person, bob: Person) -> None:
    assert await who(api.client, bearer(await api.issuer.token(ada, id=bob.id, email=bob.email))) == ada.email


async def test_a_payload_of_ones_own_needs_no_name(api: Api, ada: Person, key: SigningKey) -> None:
    claims = {name: value for name, value in default_claims(ada).items() if name in ("sub", "exp", "iat", "iss", "aud")}
    assert await who(api.client, bearer(key.sign(claims))) == ada.email


async def test_a_token_that_says_banned_is_refused(api: Api, ada: Person) -> None:
    for until in (None, "2999-01-01T00:00:00.000Z", "2999-01-01T00:00:00"):
        token = await api.issuer.token(ada, banned=True, banExpires=until)
        assert await refusal(api.client, bearer(token)) == "This account is banned."


async def test_a_ban_that_is_over_does_not_count(api: Api, ada: Person) -> None:
    over = await api.issuer.token(ada, banned=True, banExpires="2020-01-01T00:00:00.000Z")
    assert await who(api.client, bearer(over)) == ada.email
    assert await who(api.client, bearer(await api.issuer.token(ada, banned=False))) == ada.email


async def test_a_ban_until_no_moment_is_refused(api: Api, ada: Person) -> None:
    assert await refusal(api.client, bearer(await api.issuer.token(ada, banned=True, banExpires="soon"))) == INVALID


async def test_a_token_of_a_deleted_user_shows_nobody(api: Api, ada: Person) -> None:
    token = await api.issuer.token(ada)
    await api.issuer.connection.execute('DELETE FROM "user" WHERE id = $1', ada.id)
    [error] = (await ask(api.client, bearer(token))).json()["errors"]
    assert error["message"] == "The account of this credential no longer exists; sign in again."
    assert error["extensions"] == {"code": "UNAUTHENTICATED"}


async def test_a_token_is_remembered_until_it_expires_and_no_longer(
    api: Api, ada: Person, key: SigningKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock.of(monkeypatch, authenticate, memory)
    token = key.sign(default_claims(ada) | {"exp": int(time.time()) + 900})
    assert await who(api.client, bearer(token)) == ada.email
    await api.issuer.connection.execute("DELETE FROM jwks")
    clock.ahead = 890
    assert await who(api.client, bearer(token)) == ada.email
    clock.ahead = 900
    assert await refusal(api.client, bearer(token)) == UNKNOWN_KEY


async def test_a_server_without_an_issuer_accepts_no_tokens(database_url: str, issuer: Issuer) -> None:
    token = await issuer.token(await issuer.sign_up("Ada"))
    async with serving(settings(database_url, auth_url=None)) as client:
        refused = await refusal(client, bearer(token))
        assert refused == "This server accepts no JWTs, only sessions: send the signed session token."
