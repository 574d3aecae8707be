"""What development and tests need and production has already: a PostgreSQL, and a Better Auth database in it."""
