"""Better Auth's part of a development database: its tables, demo people, and credentials made as it makes them."""

TABLES = """
    CREATE TABLE "user" (
        id text PRIMARY KEY, name text NOT NULL, email text NOT NULL UNIQUE, "emailVerified" boolean NOT NULL,
        image text, "createdAt" timestamptz NOT NULL DEFAULT now(), "updatedAt" timestamptz NOT NULL DEFAULT now());
    CREATE TABLE session (
        id text PRIMARY KEY, "expiresAt" timestamptz NOT NULL, token text NOT NULL UNIQUE,
        "createdAt" timestamptz NOT NULL DEFAULT now(), "updatedAt" timestamptz NOT NULL,
        "ipAddress" text, "userAgent" text, "userId" text NOT NULL REFERENCES "user" ON DELETE CASCADE);
    CREATE INDEX ON session ("userId");
    CREATE TABLE account (
        id text PRIMARY KEY, "accountId" text NOT NULL, "providerId" text NOT NULL,
        "userId" text NOT NULL REFERENCES "user" ON DELETE CASCADE, "accessToken" text, "refreshToken" text,
        "idToken" text, "accessTokenExpiresAt" timestamptz, "refreshTokenExpiresAt" timestamptz, scope text,
        password text, "createdAt" timestamptz NOT NULL DEFAULT now(), "updatedAt" timestamptz NOT NULL);
    CREATE INDEX ON account ("userId");
    CREATE TABLE verification (
        id text PRIMARY KEY, identifier text NOT NULL, value text NOT NULL, "expiresAt" timestamptz NOT NULL,
        "createdAt" timestamptz NOT NULL DEFAULT now(), "updatedAt" timestamptz NOT NULL DEFAULT now());
    CREATE INDEX ON verification (identifier);
    CREATE TABLE jwks (
        id text PRIMARY KEY, "publicKey" text NOT NULL, "privateKey" text NOT NULL,
        "createdAt" timestamptz NOT NULL, "expiresAt" timestamptz, alg text, crv text);
"""
"""What Better Auth 1.7's own migration makes on PostgreSQL, with the JWT plugin."""
