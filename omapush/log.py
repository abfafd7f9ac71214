"""Our log: one event a line on standard error, `event=...` and fields; never content or secrets."""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from omapush.errors import shortened

LONGEST_FIELD = 1024


def setup(process: str, *, level: str, form: str) -> None:
    """
    Make every later `get()` write to standard error; `process` names the writer in each line.

    `level` is the lowest that is written (debug, info, warning, error), `form` logfmt or json.
    """
    last: Processor = (
        structlog.processors.JSONRenderer()
        if form == "json"
        else structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "process", "event"])
    )
    structlog.configure(
        processors=[
            _naming(process),
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _bounded,
            last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )


def set_level(level: str) -> None:
    """Have every later line of this process written from that level on."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())))


def get() -> Any:
    """Return the logger; call it with an event name and fields."""
    return structlog.get_logger()


def _naming(process: str) -> Processor:
    """Put the process into each line, whichever of its threads writes it."""

    def named(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event["process"] = process
        return event

    return named


def _bounded(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Cut and clean each text field, so that no peer can write lines of its own into the log."""
    for key, value in event.items():
        if isinstance(value, str) and key != "exception":
            event[key] = shortened(value, LONGEST_FIELD)
    return event
