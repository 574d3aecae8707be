"""The vocabulary of expected errors, and the masking of all others.

Two kinds reach a client. A `RequestError` stands in the response's `errors` with a code; a `PayloadError` is data in
the payload of a mutation. Whatever else is raised is a fault of ours: it is logged once and shown as a request id.
"""

import logging
from enum import Enum, StrEnum
from typing import Annotated, Any

import strawberry
from graphql import GraphQLError

logger = logging.getLogger(__name__)


class Code(StrEnum):
    """`extensions.code` of an error, for programs; the message is for people."""

    UNAUTHENTICATED = "UNAUTHENTICATED"
    FORBIDDEN = "FORBIDDEN"
    BAD_USER_INPUT = "BAD_USER_INPUT"
    BAD_REQUEST = "BAD_REQUEST"
    GRAPHQL_PARSE_FAILED = "GRAPHQL_PARSE_FAILED"
    GRAPHQL_VALIDATION_FAILED = "GRAPHQL_VALIDATION_FAILED"
    OPERATION_RESOLUTION_FAILURE = "OPERATION_RESOLUTION_FAILURE"
    PERSISTED_QUERY_NOT_SUPPORTED = "PERSISTED_QUERY_NOT_SUPPORTED"
    COST_LIMIT_EXCEEDED = "COST_LIMIT_EXCEEDED"
    RATE_LIMITED = "RATE_LIMITED"
    CURSOR_EXPIRED = "CURSOR_EXPIRED"
    TIMEOUT = "TIMEOUT"
    SERVICE_UNAVAILABLE = "SERVICE_UNAVAILABLE"
    INTERNAL_SERVER_ERROR = "INTERNAL_SERVER_ERROR"


PASSING = frozenset({Code.TIMEOUT, Code.SERVICE_UNAVAILABLE})
"""The database's troubles: the same may go well in a moment."""


class RequestError(GraphQLError):
    """A request, or one field of it, that cannot be answered; the client is told why."""

    def __init__(self, code: Code, message: str, **where: Any) -> None:
        super().__init__(message, extensions={"code": code.value}, **where)

    @property
    def code(self) -> Code:
        assert self.extensions is not None
        return Code(self.extensions["code"])


class Unavailable(RequestError):
    """The database does not answer; the same request may succeed in a few seconds."""

    def __init__(self) -> None:
        super().__init__(
            Code.SERVICE_UNAVAILABLE, "The database does not answer right now. Try again in a few seconds."
        )


class Stopping(RequestError):
    """The server ends before it has an answer; another one, or the next, may have it."""

    def __init__(self) -> None:
        super().__init__(Code.SERVICE_UNAVAILABLE, "The server is about to stop. Try again in a few seconds.")


class RateLimited(RequestError):
    """More at once than one user may have."""

    def __init__(self, message: str) -> None:
        super().__init__(Code.RATE_LIMITED, message)


def unauthenticated(message: str = "Sign in to do this: the request carries no credential.") -> RequestError:
    return RequestError(Code.UNAUTHENTICATED, message)


def bad_input(message: str) -> RequestError:
    return RequestError(Code.BAD_USER_INPUT, message)


def presentable(error: GraphQLError, request_id: str) -> GraphQLError:
    """The error as a client may see it: its own words if we wrote them or graphql-core did, else a request id.

    An error without an `original_error`, or whose original error is one of ours, was written for clients.
    """
    cause = error.original_error
    if "code" in (error.extensions or {}):
        return error
    if cause is None or isinstance(cause, GraphQLError):
        return with_code(error, Code.BAD_USER_INPUT)
    logger.error("request %s failed at %s", request_id, error.path, exc_info=cause)
    return GraphQLError(
        f"Something went wrong on our side. If it happens again, report this request: {request_id}",
        nodes=error.nodes,
        path=error.path,
        extensions={"code": Code.INTERNAL_SERVER_ERROR.value, "requestId": request_id},
    )


def with_code(error: GraphQLError, code: Code) -> GraphQLError:
    """The same error, with a code that says what kind it is."""
    error.extensions = {**(error.extensions or {}), "code": code.value}
    return error


# ---------------------------------------------------------------- expected failures of a mutation, as data


@strawberry.enum(description="Why a mutation refused an input. Values may be added: treat an unknown one as INVALID.")
class ErrorCode(Enum):
    REQUIRED = strawberry.enum_value("REQUIRED", description="A value is missing or empty that must be there.")
    TOO_LONG = strawberry.enum_value("TOO_LONG", description="A text is longer than its bound.")
    INVALID = strawberry.enum_value("INVALID", description="A value cannot be used; the message says what can.")
    NOT_FOUND = strawberry.enum_value("NOT_FOUND", description="There is no such task for this viewer.")
    FORBIDDEN = strawberry.enum_value("FORBIDDEN", description="The viewer sees the task but may not do this to it.")
    CONFLICT = strawberry.enum_value("CONFLICT", description="The task has changed since the version that was given.")
    LIMIT_EXCEEDED = strawberry.enum_value("LIMIT_EXCEEDED", description="More was asked for than one call may do.")


Message = Annotated[
    str, strawberry.field(description="One sentence for people: what is wrong, and what would be right.")
]
ReasonCode = Annotated[ErrorCode, strawberry.field(description="The reason, for programs.")]
InputPath = Annotated[
    list[str],
    strawberry.field(
        description='Leads to the input at fault, for example `["input", "patch", "title"]`; '
        "items of a list by their number from 0."
    ),
]


@strawberry.interface(name="Error", description="An expected failure of a mutation. Nothing was changed by it.")
class PayloadError:
    message: Message
    code: ReasonCode
    path: InputPath


@strawberry.type(description="The input breaks a rule; nothing was changed.")
class ValidationError(PayloadError):
    pass


@strawberry.type(description="There is no such task for this viewer: missing and someone else's look the same.")
class NotFoundError(PayloadError):
    pass


@strawberry.type(description="The viewer sees the task but may not do this to it.")
class ForbiddenError(PayloadError):
    pass


class Refused(Exception):
    """A mutation that cannot be done, with every reason found; its resolver turns it into the payload's `errors`."""

    def __init__(self, *errors: PayloadError) -> None:
        super().__init__(*(error.message for error in errors))
        self.errors = list(errors)
