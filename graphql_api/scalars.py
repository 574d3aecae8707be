"""The formats of values that are more than text: times, durations, UUIDs, addresses."""

import re
from calendar import monthrange
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NewType
from uuid import UUID

import strawberry
from graphql import EnumValueNode, GraphQLError, Node, StringValueNode, ValueNode, print_ast
from strawberry.types.scalar import ScalarDefinition

RFC3339 = re.compile(r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d{1,9})?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)", re.ASCII)
ISO_DURATION = re.compile(
    r"(?P<sign>[+-])?P(?=\d|T\d)(?:(?P<years>\d{1,4})Y)?(?:(?P<months>\d{1,5})M)?(?:(?P<weeks>\d{1,6})W)?"
    r"(?:(?P<days>\d{1,7})D)?(?:T(?=\d)(?:(?P<hours>\d{1,8})H)?(?:(?P<minutes>\d{1,9})M)?(?:(?P<seconds>\d{1,9})S)?)?",
    re.ASCII,
)

FIRST_YEAR, LAST_YEAR = 2, 9998
"""A year less than Python has at either end: there the database's infinities begin, and other time zones end."""

DateTimeOrDuration = NewType("DateTimeOrDuration", object)
"""A `datetime`, or a `Duration` to be counted from now."""

URL = NewType("URL", str)


@dataclass(frozen=True, slots=True)
class Duration:
    """An ISO 8601 duration. Months are those of the calendar: a month after 31 January is the last of February."""

    months: int
    rest: timedelta

    def after(self, start: datetime) -> datetime:
        """The moment this long after `start`. Raises OverflowError outside of the years 2 to 9998."""
        years, month = divmod(start.year * 12 + start.month - 1 + self.months, 12)
        if not FIRST_YEAR <= years <= LAST_YEAR:
            raise OverflowError
        day = min(start.day, monthrange(years, month + 1)[1])
        moment = start.replace(year=years, month=month + 1, day=day) + self.rest
        if not FIRST_YEAR <= moment.year <= LAST_YEAR:
            raise OverflowError
        return moment


def parse_datetime(value: object) -> datetime:
    if isinstance(value, str) and RFC3339.fullmatch(value):
        try:
            moment = datetime.fromisoformat(value.upper()).astimezone(UTC)
        except (ValueError, OverflowError):
            pass
        else:
            if FIRST_YEAR <= moment.year <= LAST_YEAR:
                return moment
    raise GraphQLError(
        f"{_shown(value)} is not a date and time with an offset in the years {FIRST_YEAR} to {LAST_YEAR}; "
        "write it like 2026-01-31T09:00:00Z or 2026-01-31T09:00:00+01:00."
    )


def parse_datetime_or_duration(value: object) -> datetime | Duration:
    match = ISO_DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        try:
            return parse_datetime(value)
        except GraphQLError:
            raise GraphQLError(
                f"{_shown(value)} is neither a date and time with an offset in the years {FIRST_YEAR} to {LAST_YEAR}, "
                "like 2026-01-31T09:00:00Z, nor a duration from now, like P7D or -PT1H."
            ) from None
    sign = -1 if match["sign"] == "-" else 1
    number = {unit: int(text or 0) * sign for unit, text in match.groupdict().items() if unit != "sign"}
    months = number.pop("years") * 12 + number.pop("months")
    return Duration(months, timedelta(**number))


def parse_uuid(value: object) -> UUID:
    try:
        parsed = UUID(value) if isinstance(value, str) else None
    except ValueError:
        parsed = None
    if parsed is not None and str(parsed) == str(value).lower():  # not what else Python reads as a UUID
        return parsed
    raise GraphQLError(f"{_shown(value)} is not a UUID; write it like 0190c2ae-7a4b-7c3d-9e1f-2a6b5c4d3e2f.")


def _parse_url(value: object) -> str:
    raise GraphQLError(f"{_shown(value)}: addresses are only answered, never taken.")


def _literal(parse: Callable[[object], Any]) -> Callable[..., Any]:
    """The same for a value that stands in a document: what is wrong with it has its place there."""

    def parse_literal(node: ValueNode, _variables: object = None) -> Any:
        try:
            return parse(node.value if isinstance(node, StringValueNode | EnumValueNode) else node)
        except GraphQLError as error:
            raise GraphQLError(error.message, node) from None

    return parse_literal


def _shown(value: object) -> str:
    text = print_ast(value) if isinstance(value, Node) else repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


# A `datetime` of the graph is in UTC already, from the database or from here. It becomes text when the whole answer
# does: `http.service.encoded`.
SCALARS: Mapping[Any, ScalarDefinition] = {
    datetime: strawberry.scalar(
        name="DateTime",
        description="A moment: RFC 3339 with an offset, `2026-01-31T09:00:00+01:00`. Always answered in UTC.",
        specified_by_url="https://scalars.graphql.org/andimarek/date-time",
        parse_value=parse_datetime,
        parse_literal=_literal(parse_datetime),
    ),
    DateTimeOrDuration: strawberry.scalar(
        name="DateTimeOrDuration",
        description="A moment as RFC 3339, or an ISO 8601 duration counted from now when the request arrives: "
        "`P7D` is a week ahead, `-PT1H` an hour ago.",
        specified_by_url="https://www.rfc-editor.org/rfc/rfc3339",
        parse_value=parse_datetime_or_duration,
        parse_literal=_literal(parse_datetime_or_duration),
    ),
    UUID: strawberry.scalar(
        name="UUID",
        description="A UUID in its 36 characters, `0190c2ae-7a4b-7c3d-9e1f-2a6b5c4d3e2f`; any version.",
        specified_by_url="https://www.rfc-editor.org/rfc/rfc9562",
        serialize=str,
        parse_value=parse_uuid,
        parse_literal=_literal(parse_uuid),
    ),
    URL: strawberry.scalar(
        name="URL",
        description="A web address, as Better Auth stores it.",
        specified_by_url="https://url.spec.whatwg.org/",
        serialize=str,
        parse_value=_parse_url,
    ),
}
