"""Sessions: bearer tokens, cookies, and the row that decides (better-auth.md, 1 to 3)."""

import base64
import hmac
import json
import time
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from graphql_api import memory
from graphql_api.auth import authenticate
from graphql_api.auth.sessions import cookie_value, sign, unsign
from tests.asking import COOKIE, bearer, cookie, refusal, who
from tests.client import Api, serving, settings
from tests.clock import Clock
from tests.conftest import execute
from tests.issuer import ORIGIN, SECRET, Issuer, Person

UNSIGNED = "The session is not signed by this application; sign in again."
ENDED = "The session has ended; sign in again."
BANNED = "This account is banned."


@pytest.fixture
async def signed_in(api: Api, ada: Person) -> str:
    """The signed token of a session of Ada."""
    return await api.issuer.sign_in(ada)


async def session_of(issuer: Issuer, person: Person, token: str) -> None:
    """A session with a token of one's choice."""
    await issuer.sign_in(person)
    await issuer.connection.execute("UPDATE session SET token = $1", token)


def token_with_plus_and_slash() -> str:
    """A token whose signature has the characters that the ways of decoding treat differently."""
    candidates = (f"{number:032}" for number in range(1000))
    return next(token for token in candidates if {"+", "/"} <= set(sign(token, SECRET)))


# ---------------------------------------------------------------- signatures


def test_a_signature_is_that_of_better_auth() -> None:
    """Seen on better-call 1.4.0, which sets the cookies of Better Auth 1.7.7."""
    token, secret = "tuQ3kZ8vNnXw1RbY5mJc7LdPfG2hTs4A", "a secret, as long as it is"
    cookie = "tuQ3kZ8vNnXw1RbY5mJc7LdPfG2hTs4A.1x0%2FNs8IWlhqr1jYxJaChdyoiW%2BG4AFVOItpJxbxinc%3D"
    assert quote(sign(token, secret), safe="") == cookie
    assert unsign(cookie, [secret]) == token


async def test_a_signed_bearer_counts(api: Api, ada: Person, signed_in: str) -> None:
    assert await who(api.client, bearer(signed_in)) == ada.email


async def test_a_percent_encoded_bearer_counts(api: Api, ada: Person) -> None:
    await session_of(api.issuer, ada, token_with_plus_and_slash())
    signed_token = sign(token_with_plus_and_slash(), SECRET)
    assert await who(api.client, bearer(quote(signed_token, safe=""))) == ada.email
    assert await who(api.client, bearer(signed_token)) == ada.email


@pytest.mark.parametrize("token", ["one.dot", "one.dot.more"])
async def test_a_session_token_may_have_dots(api: Api, ada: Person, token: str) -> None:
    """Those that Better Auth makes have none. With one dot, the signed token has three parts, as a JWT has."""
    await session_of(api.issuer, ada, token)
    signed_token = sign(token, SECRET)
    for headers in (cookie(signed_token), bearer(signed_token), bearer(quote(signed_token, safe=""))):
        assert await who(api.client, headers) == ada.email


async def test_a_signature_in_another_base64_is_refused(api: Api, ada: Person) -> None:
    await session_of(api.issuer, ada, token_with_plus_and_slash())
    signed_token = sign(token_with_plus_and_slash(), SECRET)
    url_safe = signed_token.replace("+", "-").replace("/", "_")
    for other in (signed_token.rstrip("="), url_safe, url_safe.rstrip("="), f"{signed_token}="):
        assert await refusal(api.client, bearer(other)) == UNSIGNED
        assert await refusal(api.client, cookie(other)) == UNSIGNED


async def test_a_wrong_signature_is_refused(api: Api, signed_in: str) -> None:
    token = signed_in.partition(".")[0]
    for wrong in (
        sign(token, "another secret"),
        f"{token}.{'A' * 43}=",
        f"{token}.",
        f".{signed_in.partition('.')[2]}",
    ):
        assert await refusal(api.client, bearer(wrong)) == UNSIGNED
        assert await refusal(api.client, cookie(wrong)) == UNSIGNED


async def test_a_signature_is_good_for_its_own_token_only(api: Api, bob: Person, signed_in: str) -> None:
    token, _, _ = (await api.issuer.sign_in(bob)).partition(".")
    _, _, signature = signed_in.partition(".")
    assert await refusal(api.client, bearer(f"{token}.{signature}")) == UNSIGNED


async def test_a_good_signature_of_an_unknown_token_is_refused(api: Api) -> None:
    for token in ("unknown", "ü", "a b", "\U0001f989", "a\0b", "t" * 5_000):
        signed_token = quote(sign(token, SECRET), safe="")
        await refusal(api.client, bearer(signed_token))
        await refusal(api.client, cookie(sign(token, SECRET)))


@given(token=st.text(min_size=1).filter(lambda token: "%" not in token), secret=st.text(min_size=1))
def test_every_signed_token_is_unsigned_again(token: str, secret: str) -> None:
    assert unsign(quote(sign(token, secret), safe=""), ["another", secret]) == token


async def test_a_raw_bearer_is_refused_unless_it_is_allowed(
    api: Api, database_url: str, ada: Person, signed_in: str
) -> None:
    raw = signed_in.partition(".")[0]
    assert await refusal(api.client, bearer(raw)) == UNSIGNED
    async with serving(settings(database_url, accept_raw_bearer=True)) as client:
        assert await who(client, bearer(raw)) == ada.email
        assert await who(client, bearer(signed_in)) == ada.email
        assert await refusal(client, cookie(raw)) == UNSIGNED
        assert await refusal(client, bearer("unknown")) == ENDED
        assert await refusal(client, bearer(f"{raw}.{'A' * 43}=")) == UNSIGNED


async def test_any_of_several_secrets_may_have_signed(database_url: str, issuer: Issuer) -> None:
    ada = await issuer.sign_up("Ada")
    token = (await issuer.sign_in(ada)).partition(".")[0]
    async with serving(settings(database_url, better_auth_secrets="2:new-one, 1:old-one")) as client:
        for secret in ("new-one", "old-one"):
            assert await who(client, bearer(sign(token, secret))) == ada.email
            assert await who(client, cookie(sign(token, secret))) == ada.email
        for secret in (SECRET, "2:new-one", "new-one, 1:old-one"):
            assert await refusal(client, bearer(sign(token, secret))) == UNSIGNED


async def test_a_server_without_a_secret_accepts_no_sessions(database_url: str, issuer: Issuer) -> None:
    ada = await issuer.sign_up("Ada")
    signed_token = await issuer.sign_in(ada)
    async with serving(settings(database_url, better_auth_secret=None, accept_raw_bearer=True)) as client:
        message = "This server accepts no sessions, only JWTs: send a JWT of Better Auth's JWT plugin."
        for headers in (bearer(signed_token), bearer(signed_token.partition(".")[0]), cookie(signed_token)):
            assert await refusal(client, headers) == message
        assert await who(client, bearer(await issuer.token(ada))) == ada.email


async def test_a_server_that_knows_only_the_secret_accepts_sessions(database_url: str, issuer: Issuer) -> None:
    ada = await issuer.sign_up("Ada")
    async with serving(settings(database_url, auth_url=None)) as client:
        headers = cookie(await issuer.sign_in(ada), "better-auth.session_token")
        assert await who(client, headers) == ada.email


# ---------------------------------------------------------------- cookies


async def test_the_cookie_counts_in_each_of_its_forms(api: Api, ada: Person) -> None:
    await session_of(api.issuer, ada, token_with_plus_and_slash())
    plain = sign(token_with_plus_and_slash(), SECRET)
    encoded = quote(plain, safe="")
    assert "%2B" in encoded
    assert "%2F" in encoded
    for value in (plain, encoded, encoded.replace("%2B", "%2b"), f'"{plain}"', f'"{encoded}"'):
        assert await who(api.client, {"Cookie": f"{COOKIE}={value}"}) == ada.email


async def test_other_cookies_around_it_do_no_harm(api: Api, ada: Person, signed_in: str) -> None:
    own = cookie(signed_in)["Cookie"]
    for around in (f"theme=dark; {own}; a=b", f";;=;a; =b;{own};", f"a=b;\t{own} ", f"x{own}; {own}; {own.lower()}"):
        assert await who(api.client, {"Cookie": around}) == ada.email


async def test_the_cookie_may_be_in_any_of_several_headers(api: Api, ada: Person, signed_in: str) -> None:
    headers = [(b"cookie", b"a=b"), (b"cookie", cookie(signed_in)["Cookie"].encode()), (b"cookie", b"c=d")]
    assert await who(api.client, headers) == ada.email


async def test_two_cookies_of_the_name_are_refused(api: Api, signed_in: str) -> None:
    own = cookie(signed_in)["Cookie"]
    message = f"The cookie {COOKIE} was sent 2 times; only one can be the session."
    for twice in (f"{own}; {own}", f"{own}; {COOKIE}=planted", f"{COOKIE}=; {own}"):
        assert await refusal(api.client, {"Cookie": twice}) == message
    assert await refusal(api.client, [(b"cookie", own.encode()), (b"cookie", own.encode())]) == message


async def test_only_the_exact_name_counts(api: Api, signed_in: str) -> None:
    """Also not after another kind of space: browsers do not guard the prefix of a name that begins with one."""
    plain = "better-auth.session_token"
    for name in (plain, COOKIE.lower(), f"{COOKIE}.0", "__Host-" + plain, f"{COOKIE} x"):
        assert await who(api.client, cookie(signed_in, name)) is None
    for space in (b"\xa0", b"\x85", b"\x1f", b"\x0b"):
        assert await who(api.client, [(b"cookie", space + cookie(signed_in)["Cookie"].encode())]) is None
    assert await who(api.client, {"X-Cookie": cookie(signed_in)["Cookie"]}) is None


async def test_an_http_better_auth_has_the_plain_name(database_url: str, issuer: Issuer) -> None:
    ada = await issuer.sign_up("Ada")
    signed_token = await issuer.sign_in(ada)
    async with serving(settings(database_url, auth_url="http://localhost:3000")) as client:
        assert await who(client, cookie(signed_token, "better-auth.session_token")) == ada.email
        assert await who(client, cookie(signed_token, COOKIE)) is None


async def test_the_name_can_be_set(database_url: str, issuer: Issuer) -> None:
    ada = await issuer.sign_up("Ada")
    signed_token = await issuer.sign_in(ada)
    async with serving(settings(database_url, session_cookie_name="__Secure-acme.sid")) as client:
        assert await who(client, cookie(signed_token, "__Secure-acme.sid")) == ada.email
        assert await who(client, cookie(signed_token)) is None


async def test_an_empty_cookie_is_nobody(api: Api) -> None:
    for value in ("", '""', " "):
        assert await who(api.client, {"Cookie": f"{COOKIE}={value}"}) is None


async def test_a_token_may_have_dots(api: Api, ada: Person) -> None:
    await session_of(api.issuer, ada, "a.b.c")
    assert await who(api.client, cookie(sign("a.b.c", SECRET))) == ada.email


async def test_the_cookie_cache_is_no_session(api: Api, ada: Person, signed_in: str) -> None:
    """Better Auth takes it for one, even when the session has ended."""
    session = {"session": {"token": signed_in.partition(".")[0], "userId": ada.id}, "user": {"id": ada.id}}
    content = {**session, "expiresAt": round(time.time() * 1000) + 300_000}
    digest = hmac.digest(SECRET.encode(), json.dumps(content).encode(), "sha256")
    signature = base64.urlsafe_b64encode(digest).decode().rstrip("=")
    cached = json.dumps({"session": session, "expiresAt": content["expiresAt"], "signature": signature})
    value = base64.urlsafe_b64encode(cached.encode()).decode().rstrip("=")
    assert await who(api.client, {"Cookie": f"__Secure-better-auth.session_data={value}"}) is None
    assert await refusal(api.client, {"Cookie": f"{COOKIE}={value}"}) == UNSIGNED


@given(headers=st.lists(st.text(st.characters(codec="latin-1"))))
@hypothesis_settings(max_examples=200)
def test_every_cookie_header_can_be_read(headers: list[str]) -> None:
    assert cookie_value(headers, "session") is None or any("session" in header for header in headers)


junk = st.binary(max_size=200).map(lambda value: value.translate(None, b"\r\n\0"))


@given(value=junk | st.binary(max_size=40).map(lambda token: quote(sign(quote(token), SECRET)).encode()))
@hypothesis_settings(max_examples=60)
async def test_every_other_cookie_is_nobody_or_refused(api: Api, value: bytes) -> None:
    headers = [(b"cookie", COOKIE.encode() + b"=" + value)]
    if cookie_value([headers[0][1].decode("latin-1")], COOKIE) is None:
        assert await who(api.client, headers) is None
    else:
        await refusal(api.client, headers)


# ---------------------------------------------------------------- pages of other origins


async def test_a_foreign_page_may_not_use_the_cookie(api: Api, signed_in: str) -> None:
    lookalikes = ("https://app.example.com.evil.com", "https://app.example.com:8443", "http://app.example.com")
    for origin in (
        "https://evil.example.com",
        "null",
        "",
        "https://tasks.test.evil.com",
        "http://[",
        "\xff",
        *lookalikes,
    ):
        headers = [(b"origin", origin.encode("latin-1")), (b"cookie", cookie(signed_in)["Cookie"].encode())]
        response = await api.client.post("/graphql", json={"query": "{ __typename }"}, headers=headers)
        assert response.status_code == 403
        [error] = response.json()["errors"]
        assert error["extensions"] == {"code": "FORBIDDEN"}


async def test_a_browser_that_adds_basic_authorization_is_a_browser_still(api: Api, signed_in: str) -> None:
    """It does so by itself behind a proxy that asks for a password."""
    headers = {**cookie(signed_in), "Origin": "https://evil.example.com", "Authorization": "Basic YTpi"}
    response = await api.client.post("/graphql", json={"query": "{ __typename }"}, headers=headers)
    assert response.status_code == 403


async def test_our_own_pages_may_use_the_cookie(database_url: str, issuer: Issuer) -> None:
    ada = await issuer.sign_up("Ada")
    own = cookie(await issuer.sign_in(ada))
    options = settings(database_url, trusted_origins="https://a.example.com, https://b.example.com/")
    trusted = [ORIGIN, "http://tasks.test", "https://tasks.test", "https://a.example.com", "https://b.example.com"]
    async with serving(options) as client:
        for origin in trusted:
            assert await who(client, {**own, "Origin": origin}) == ada.email
        assert await who(client, own) == ada.email


async def test_any_page_may_use_a_bearer(api: Api, ada: Person, signed_in: str) -> None:
    headers = {**bearer(signed_in), **cookie(signed_in), "Origin": "https://elsewhere.example.com"}
    assert await who(api.client, headers) == ada.email


# ---------------------------------------------------------------- rows


async def test_a_session_counts_until_it_expires(api: Api, ada: Person) -> None:
    living = await api.issuer.sign_in(ada, expires_in=timedelta(minutes=1))
    ended = await api.issuer.sign_in(ada, expires_in=timedelta(seconds=-1))
    assert await who(api.client, bearer(living)) == ada.email
    assert await refusal(api.client, bearer(ended)) == ENDED
    assert await refusal(api.client, cookie(ended)) == ENDED


async def test_a_sign_out_counts_at_once_without_a_cache(api: Api, ada: Person, signed_in: str) -> None:
    assert await who(api.client, bearer(signed_in)) == ada.email
    await api.issuer.connection.execute("DELETE FROM session")
    assert await refusal(api.client, bearer(signed_in)) == ENDED
    assert await refusal(api.client, cookie(signed_in)) == ENDED


async def test_a_sign_out_counts_after_the_seconds_of_the_cache(
    database_url: str, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada, clock = await issuer.sign_up("Ada"), Clock.of(monkeypatch, authenticate, memory)
    signed_token = await issuer.sign_in(ada)
    async with serving(settings(database_url, session_cache_seconds=5)) as client:
        assert await who(client, bearer(signed_token)) == ada.email
        await issuer.connection.execute("DELETE FROM session")
        clock.ahead = 4
        assert await who(client, bearer(signed_token)) == ada.email
        clock.ahead = 5
        assert await refusal(client, bearer(signed_token)) == ENDED


async def test_the_cache_does_not_prolong_a_session(
    database_url: str, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada, clock = await issuer.sign_up("Ada"), Clock.of(monkeypatch, authenticate, memory)
    signed_token = await issuer.sign_in(ada, expires_in=timedelta(seconds=60))
    async with serving(settings(database_url, session_cache_seconds=600)) as client:
        assert await who(client, bearer(signed_token)) == ada.email
        await issuer.connection.execute("DELETE FROM session")
        clock.ahead = 61
        assert await refusal(client, bearer(signed_token)) == ENDED


async def test_a_bearer_that_is_remembered_is_no_cookie(database_url: str, issuer: Issuer) -> None:
    raw = (await issuer.sign_in(await issuer.sign_up("Ada"))).partition(".")[0]
    async with serving(settings(database_url, session_cache_seconds=60, accept_raw_bearer=True)) as client:
        assert await who(client, bearer(raw))
        assert await refusal(client, cookie(raw)) == UNSIGNED


async def test_a_cookie_that_is_remembered_is_no_authorization(database_url: str, issuer: Issuer) -> None:
    signed_token = await issuer.sign_in(await issuer.sign_up("Ada"))
    async with serving(settings(database_url, session_cache_seconds=60)) as client:
        assert await who(client, cookie(signed_token))
        value = quote(signed_token, safe="")
        for authorization in (value, f"Cookie {value}"):
            assert await who(client, {"Authorization": authorization}) is None


async def test_a_deleted_user_has_no_session(api: Api, ada: Person, signed_in: str) -> None:
    await api.issuer.connection.execute('DELETE FROM "user" WHERE id = $1', ada.id)
    assert await refusal(api.client, bearer(signed_in)) == ENDED


async def test_a_ban_counts_while_it_lasts(database_url: str, issuer: Issuer) -> None:
    ada = await issuer.sign_up("Ada")
    signed_token = await issuer.sign_in(ada)
    await execute(
        database_url,
        'ALTER TABLE "user" ADD banned boolean, ADD "banExpires" timestamptz',
        'GRANT SELECT (banned, "banExpires") ON "user" TO graphql_api',
    )

    async def ban(banned: bool | None, until: datetime | None) -> None:
        await issuer.connection.execute('UPDATE "user" SET banned = $1, "banExpires" = $2', banned, until)

    past, future = (datetime.now(UTC) + timedelta(hours=hours) for hours in (-1, 1))
    async with serving(settings(database_url)) as client:
        for until in (None, future):
            await ban(True, until)
            assert await refusal(client, bearer(signed_token)) == BANNED
        for banned, until in ((True, past), (False, None), (False, future), (None, None)):
            await ban(banned, until)
            assert await who(client, bearer(signed_token)) == ada.email


async def test_a_session_of_an_impersonating_admin_is_the_users(database_url: str, issuer: Issuer) -> None:
    root, ada = await issuer.sign_up("Root"), await issuer.sign_up("Ada")
    signed_token = await issuer.sign_in(ada)
    await execute(database_url, 'ALTER TABLE session ADD "impersonatedBy" text')
    await issuer.connection.execute('UPDATE session SET "impersonatedBy" = $1', root.id)
    async with serving(settings(database_url)) as client:
        assert await who(client, cookie(signed_token)) == ada.email
