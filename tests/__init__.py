"""What users rely on, tested through HTTP on a real PostgreSQL with real credentials."""
