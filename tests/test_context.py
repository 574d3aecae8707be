"""What resolvers reach is one thing for a whole operation."""

from datetime import UTC, datetime

from graphql_api.context import Context


def test_an_operation_has_one_clock() -> None:
    context = Context(None, None, None, None, None)  # type: ignore[arg-type]  # it needs nothing to tell the time
    before = datetime.now(UTC)
    first = context.now
    assert before <= first <= datetime.now(UTC)
    assert context.now is first
