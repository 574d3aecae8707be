"""Which media type a client wants, by the `Accept` header (RFC 9110, section 12.5.1)."""

from functools import lru_cache

GRAPHQL_RESPONSE = "application/graphql-response+json"
JSON = "application/json"
EVENT_STREAM = "text/event-stream"
HTML = "text/html"


@lru_cache(1000)
def preferred(accept: bytes, offered: tuple[str, ...]) -> str | None:
    """The offer that the header likes best; of equals the one it names first, then the one offered first.

    None when it likes none of them. An empty header likes them all.
    """
    wanted = [_entry(part) for part in accept.decode("latin-1").split(",") if part.strip()] or [("*/*", 1.0)]
    best: tuple[float, int, int] | None = None
    choice = None
    for place, offer in enumerate(offered):
        # the most specific entry that fits decides about an offer, wherever it stands
        fitting = [(_precision(media, offer), quality, -index) for index, (media, quality) in enumerate(wanted)]
        precision, quality, index = max(fitting)
        rank = (quality, index if precision > 1 else -len(wanted), -place)
        if precision and quality > 0 and (best is None or rank > best):
            best, choice = rank, offer
    return choice


def _entry(part: str) -> tuple[str, float]:
    media, *parameters = (piece.strip().lower() for piece in part.split(";"))
    quality = 1.0
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                quality = min(max(float(parameter[2:]), 0.0), 1.0)
            except ValueError:
                quality = 0.0
    return media, quality


def _precision(media: str, offer: str) -> int:
    """3 for the very type, 2 for its family, 1 for anything, 0 when it does not fit."""
    if media == offer:
        return 3
    if media.endswith("/*") and media[:-1] != "*/" and offer.startswith(media[:-1]):
        return 2
    return 1 if media in ("*/*", "*") else 0
