"""The people of Better Auth, as far as the graph shows them. Read, never written: Better Auth owns its tables."""
