"""The tasks of Better Auth users, over GraphQL."""

__version__ = "0.1.0"
