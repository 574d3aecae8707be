"""Better Auth's tables are found and read however they are laid out (better-auth.md, 5)."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from graphql_api import migrations
from graphql_api.auth.sessions import sign
from graphql_api.relay.ids import GlobalID
from graphql_api.settings import ConfigurationError
from tests.asking import ask, bearer, cookie, refusal, who
from tests.client import CREATE, CREATE_MANY, RESTORE, serving, settings
from tests.conftest import execute
from tests.issuer import SECRET, Issuer, Person, SigningKey, default_claims
from tests.layouts import LAYOUTS, Layout

SIGNED = sign("token", SECRET)
"""The signed token of the one session."""

ROWS = (
    """INSERT INTO session ("id", "token", "userId", "expiresAt", "updatedAt")
       VALUES ('{id}', 'token', '{id}', '{ends_at}', now())""",
    """INSERT INTO jwks ("id", "publicKey", "privateKey", "createdAt", "expiresAt", "alg")
       VALUES ('{id}', '{jwk}', '', now(), '{key_ends_at}', 'EdDSA')""",
)
NAIVE = LAYOUTS["snake_case, plural"]


def in_layout(layout: Layout, statement: str) -> str:
    """A statement on Better Auth's own names, on the names of a layout."""
    if layout is not NAIVE:
        schema = layout.user.removesuffix('"user"')
        return statement.replace("INTO ", f"INTO {schema}")
    plural = re.sub(r"INTO (\w+)", r"INTO \1s", statement)
    return re.sub(r'"(\w+)"', lambda name: re.sub("([A-Z])", r"_\1", name[1]).lower(), plural)


@asynccontextmanager
async def laid_out(
    url: str, layout: Layout, *, ends_in: timedelta = timedelta(hours=1)
) -> AsyncIterator[tuple[httpx.AsyncClient, str]]:
    """A server on this layout, and a JWT of the first person, who has a session too.

    The session ends then, and so does the time for which the key is still good after its rotation.
    """
    id, ends_at = layout.ids[0], datetime.now(UTC) + ends_in
    key = replace(SigningKey.new(), kid=id)
    values = {"id": id, "ends_at": ends_at, "key_ends_at": ends_at - timedelta(days=30), "jwk": json.dumps(key.public)}
    rows = [in_layout(layout, statement).format(**values) for statement in ROWS]
    await execute(url, layout.tables, layout.people, *rows)
    options = settings(url, **layout.settings)
    await migrations.upgrade(options)
    async with serving(options) as client:
        yield client, key.sign(default_claims(Person(id, "From the claims", "claims@example.com")))


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
async def test_every_credential_counts_in_every_layout(empty_database: str, layout: Layout) -> None:
    async with laid_out(empty_database, layout) as (client, token):
        for headers in (bearer(token), bearer(SIGNED), cookie(SIGNED)):
            assert await who(client, headers) == f"{layout.ids[0]}@example.com"


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
async def test_jwt_and_session_are_the_same_person(empty_database: str, layout: Layout) -> None:
    async with laid_out(empty_database, layout) as (client, token):
        body = {"query": CREATE, "variables": {"input": {"title": "Buy milk"}}}
        made = (await client.post("/graphql", json=body, headers=bearer(token))).json()["data"]["createTask"]
        assert made["errors"] == []
        counts = {"query": "{ viewer { taskCounts { total } } }"}
        found = await client.post("/graphql", json=counts, headers=bearer(SIGNED))
        assert found.json() == {"data": {"viewer": {"taskCounts": {"total": 1}}}}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
async def test_who_is_gone_makes_no_task_though_the_token_lives(empty_database: str, layout: Layout) -> None:
    async with laid_out(empty_database, layout) as (client, token):

        async def answer(mutation: str, **values: Any) -> Any:
            body = {"query": mutation, "variables": {"input": values}}
            return (await client.post("/graphql", json=body, headers=bearer(token))).json()

        made = await answer(CREATE, title="Buy milk", assigneeId=str(GlobalID("User", layout.ids[1])))
        task = made["data"]["createTask"]["task"]["id"]
        await execute(empty_database, f"DELETE FROM {layout.user} WHERE id = '{layout.ids[0]}'")
        for mutation, values in (
            (CREATE, {"title": "Buy bread"}),
            (CREATE_MANY, {"tasks": [{"title": "Buy bread"}]}),
            (RESTORE, {"id": task}),
        ):
            [error] = (await answer(mutation, **values))["errors"]
            assert error["message"] == "The account of this credential no longer exists; sign in again."
            assert error["extensions"]["code"] == "UNAUTHENTICATED"


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/Los_Angeles", "UTC"])
@pytest.mark.parametrize("layout", [NAIVE, LAYOUTS["camelCase, text ids"]], ids=["without time zone", "with"])
async def test_the_time_zone_of_the_database_does_not_matter(empty_database: str, zone: str, layout: Layout) -> None:
    name = empty_database.partition("?")[0].rpartition("/")[2]
    await execute(empty_database, f"ALTER DATABASE {name} SET timezone = '{zone}'")
    async with laid_out(empty_database, layout) as (client, token):
        assert await who(client, bearer(SIGNED)) == f"{layout.ids[0]}@example.com"
        assert await who(client, bearer(token)) == f"{layout.ids[0]}@example.com"


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/Los_Angeles", "UTC"])
@pytest.mark.parametrize("layout", [NAIVE, LAYOUTS["camelCase, text ids"]], ids=["without time zone", "with"])
async def test_what_has_ended_has_ended_in_every_time_zone(empty_database: str, zone: str, layout: Layout) -> None:
    name = empty_database.partition("?")[0].rpartition("/")[2]
    await execute(empty_database, f"ALTER DATABASE {name} SET timezone = '{zone}'")
    async with laid_out(empty_database, layout, ends_in=timedelta(hours=-1)) as (client, token):
        await refusal(client, bearer(SIGNED))
        await refusal(client, bearer(token))


NOBODYS = {
    "uuid ids": ["ada", "{0a0e7b1c-5d1f-4c4e-9a3e-0d6f2b7c8a11}", "0a0e7b1c5d1f4c4e9a3e0d6f2b7c8a11", "0"],
    "serial ids": ["ada", "0", "-1", "+1", "01", "1.0", "1 ", "1_0", "2147483647", "2147483648", "9" * 30],
}


@pytest.mark.parametrize("name", NOBODYS)
async def test_an_id_that_the_column_cannot_hold_is_nobodys(empty_database: str, name: str) -> None:
    layout = LAYOUTS[name]
    async with laid_out(empty_database, layout) as (client, _):
        key = replace(SigningKey.new(), kid=layout.ids[1])
        row = in_layout(layout, ROWS[1]).format(id=key.kid, jwk=json.dumps(key.public), key_ends_at="infinity")
        await execute(empty_database, row)
        for sub in NOBODYS[name]:
            token = key.sign(default_claims(Person(sub, "Nobody", "nobody@example.com")))
            [error] = (await ask(client, bearer(token))).json()["errors"]
            assert error["message"] == "The account of this credential no longer exists; sign in again."


async def test_the_largest_serial_id_is_somebodys(empty_database: str) -> None:
    layout = replace(LAYOUTS["serial ids"], ids=("2147483647", "20"))
    async with laid_out(empty_database, layout) as (client, token):
        assert await who(client, bearer(token)) == "2147483647@example.com"


# ---------------------------------------------------------------- names of one's own


async def test_snake_case_columns_are_found_in_tables_of_the_usual_names(database_url: str, issuer: Issuer) -> None:
    """As Drizzle's generator writes them."""
    ada, key = await issuer.sign_up("Ada"), await issuer.new_key()
    signed_token = await issuer.sign_in(ada)
    await execute(
        database_url,
        'ALTER TABLE session RENAME "userId" TO user_id',
        'ALTER TABLE session RENAME "expiresAt" TO expires_at',
        'ALTER TABLE "user" RENAME "emailVerified" TO email_verified',
        'ALTER TABLE jwks RENAME "publicKey" TO public_key',
    )
    async with serving(settings(database_url)) as client:
        assert await who(client, bearer(signed_token)) == ada.email
        assert await who(client, bearer(key.sign(default_claims(ada)))) == ada.email


async def test_tables_and_columns_can_be_named(database_url: str, issuer: Issuer) -> None:
    ada, key = await issuer.sign_up("Ada"), await issuer.new_key()
    signed_token = await issuer.sign_in(ada)
    await execute(
        database_url,
        'ALTER TABLE session RENAME "userId" TO owner',
        "ALTER TABLE session RENAME TO logins",
        'ALTER TABLE "user" RENAME email TO "eMail address"',
        'ALTER TABLE "user" RENAME TO "People"',
        'ALTER TABLE jwks RENAME "publicKey" TO "select"',
    )
    options = settings(
        database_url,
        auth_user_table="People",
        auth_session_table="public.logins",
        auth_columns={"session.userId": "owner", "user.email": "eMail address", "jwks.publicKey": "select"},
    )
    async with serving(options) as client:
        assert await who(client, cookie(signed_token)) == ada.email
        assert await who(client, bearer(key.sign(default_claims(ada)))) == ada.email


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"auth_user_table": "people"},
            "AUTH_USER_TABLE names people, but there is no such table with the columns id, name, email; "
            "name the table as `table` or `schema.table`",
        ),
        (
            {"auth_session_table": "auth.session"},
            "AUTH_SESSION_TABLE names auth.session, but there is no such table with the columns id, token, userId, "
            "expiresAt; name the table as `table` or `schema.table`",
        ),
        (
            {"auth_jwks_table": "account"},
            "AUTH_JWKS_TABLE names account, but there is no such table with the columns id, publicKey; "
            "name the table as `table` or `schema.table`",
        ),
        (
            {"auth_columns": {"session.userId": "owner"}},
            "AUTH_COLUMNS names 'owner' for session.userId, but the table has no such column",
        ),
        (
            {"auth_columns": {"session.expiresAt": "token"}},
            "AUTH_COLUMNS names 'token' for session.expiresAt, which is no timestamp",
        ),
        (
            {"auth_columns": {"sesion.userId": "userId", "session.userID": "userId"}},
            "AUTH_COLUMNS names sesion.userId, session.userID, which is not read here; it may name user.id, user.name, "
            "user.email, user.emailVerified, user.image, user.createdAt, user.banned, user.banExpires, session.id, "
            "session.token, session.userId, session.expiresAt, jwks.id, jwks.publicKey, jwks.alg, jwks.expiresAt",
        ),
    ],
    ids=["user", "session", "jwks", "column", "type", "field"],
)
async def test_a_name_that_is_nowhere_stops_the_start(database_url: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        async with serving(settings(database_url, **changes)):
            pass
    assert str(refused.value) == message


async def test_what_the_user_table_does_not_tell_is_told_as_nothing(database_url: str, issuer: Issuer) -> None:
    ada = await issuer.sign_up("Ada")
    headers, query = bearer(await issuer.token(ada)), {"query": "{ viewer { name emailVerified image } }"}
    nothing = {"data": {"viewer": {"name": "Ada", "emailVerified": False, "image": None}}}
    await execute(
        database_url,
        'ALTER TABLE "user" ALTER "emailVerified" DROP NOT NULL',
        'UPDATE "user" SET "emailVerified" = NULL',
    )
    async with serving(settings(database_url)) as client:
        assert (await client.post("/graphql", json=query, headers=headers)).json() == nothing
    for name in ("emailVerified", "image", "createdAt"):
        await execute(database_url, f'ALTER TABLE "user" RENAME "{name}" TO "my {name}"')
    async with serving(settings(database_url)) as client:
        assert (await client.post("/graphql", json=query, headers=headers)).json() == nothing


async def test_a_number_is_no_end_of_a_ban(database_url: str, issuer: Issuer) -> None:
    ada = await issuer.sign_up("Ada")
    signed_token = await issuer.sign_in(ada)
    await execute(
        database_url,
        'ALTER TABLE "user" DROP COLUMN IF EXISTS "banExpires", ADD "banExpires" bigint',
        'ALTER TABLE "user" DROP COLUMN IF EXISTS banned, ADD banned boolean',
        'UPDATE "user" SET banned = true, "banExpires" = 1',
    )
    options = settings(database_url)
    await migrations.upgrade(options)
    async with serving(options) as client:
        assert await refusal(client, cookie(signed_token)) == "This account is banned."


async def test_a_table_of_the_name_that_is_not_better_auths_is_passed_over(database_url: str, issuer: Issuer) -> None:
    ada = await issuer.sign_up("Ada")
    signed_token = await issuer.sign_in(ada)
    await execute(
        database_url,
        'ALTER TABLE "user" RENAME TO users',
        'CREATE TABLE "user" (id integer, login text)',
        "CREATE TABLE sessions (sid text, sess json)",
    )
    async with serving(settings(database_url)) as client:
        assert await who(client, bearer(signed_token)) == ada.email


async def test_a_view_counts_as_a_table(database_url: str, issuer: Issuer) -> None:
    ada = await issuer.sign_up("Ada")
    signed_token = await issuer.sign_in(ada)
    await execute(
        database_url, 'ALTER TABLE "user" RENAME TO people', 'CREATE VIEW "user" AS SELECT id, name, email FROM people'
    )
    options = settings(database_url)
    await migrations.upgrade(options)
    async with serving(options) as client:
        assert await who(client, bearer(signed_token)) == ada.email


async def test_of_two_tables_the_first_in_the_search_path_counts(database_url: str, issuer: Issuer) -> None:
    ada = await issuer.sign_up("Ada")
    token = await issuer.token(ada)
    name = database_url.partition("?")[0].rpartition("/")[2]
    await execute(
        database_url,
        'CREATE SCHEMA auth; CREATE TABLE auth."user" AS SELECT * FROM "user"',
        "UPDATE auth.\"user\" SET email = 'first'",
        f"ALTER DATABASE {name} SET search_path = auth, public",
    )
    options = settings(database_url)
    await migrations.upgrade(options)
    async with serving(options) as client:
        assert await who(client, bearer(token)) == "first"


async def test_a_table_outside_of_the_search_path_is_not_found(database_url: str, issuer: Issuer) -> None:
    signed_token = await issuer.sign_in(await issuer.sign_up("Ada"))
    await execute(database_url, "CREATE SCHEMA elsewhere; ALTER TABLE session SET SCHEMA elsewhere")
    async with serving(settings(database_url)) as client:
        assert (await refusal(client, bearer(signed_token))).startswith("This server cannot see sessions")


# ---------------------------------------------------------------- no tables


async def test_without_sessions_in_the_database_only_jwts_count(database_url: str, issuer: Issuer) -> None:
    """As with `secondaryStorage`."""
    ada = await issuer.sign_up("Ada")
    token, signed_token = await issuer.token(ada), await issuer.sign_in(ada)
    await execute(database_url, "DROP TABLE session")
    async with serving(settings(database_url)) as client:
        assert await who(client, bearer(token)) == ada.email
        for headers in (bearer(signed_token), cookie(signed_token)):
            message = "This server cannot see sessions, only JWTs: send a JWT of Better Auth's JWT plugin."
            assert await refusal(client, headers) == message
