"""Log lines for people or, as JSON, for machines; each with the id of the request it belongs to."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

from flowformers.serving.calls import CURRENT


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        content = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        } | fields_of(record)
        if record.exc_info:
            content["exception"] = self.formatException(record.exc_info)
        return json.dumps(content, ensure_ascii=False, default=str)


class TextFormatter(logging.Formatter):
    """Time, level, message, and name=value for what else is known."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        fields = (f"{name}={_word(value)}" for name, value in fields_of(record).items())
        return " ".join([super().formatMessage(record), *fields])


def _word(value: Any) -> str:
    """On one line and without spaces that are not its own: a client may put any letters into the name of a model."""
    text = str(value)
    return text if text.isprintable() and " " not in text else json.dumps(text)


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """What a line carries beside its message."""
    found: dict[str, Any] = getattr(record, "fields", {})
    call = CURRENT.get()
    return {"request_id": call.request_id} | found if call is not None else found


def configure(log_format: str, *, access: bool) -> None:
    """Everything of flowformers to stderr; access: a line for each request."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    root = logging.getLogger("flowformers")
    root.handlers = [handler]
    root.propagate = False
    root.setLevel(logging.INFO)
    logging.getLogger("flowformers.access").setLevel(logging.INFO if access else logging.WARNING)
