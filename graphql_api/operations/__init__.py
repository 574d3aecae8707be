"""What may be executed, and at what price. Knows GraphQL, not tasks."""
