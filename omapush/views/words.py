"""Spans of time and SIP statuses in words."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

_SIP_PHRASES: Final = {
    408: "Request Timeout",
    480: "Temporarily Unavailable",
    481: "Call/Transaction Does Not Exist",
    486: "Busy Here",
    487: "Request Terminated",
    488: "Not Acceptable Here",
    489: "Bad Event",
    500: "Server Internal Error",
    513: "Message Too Large",
    600: "Busy Everywhere",
    603: "Decline",
    604: "Does Not Exist Anywhere",
    606: "Not Acceptable",
}


def span(milliseconds: int) -> str:
    """Return a length of time for people: `12 ms`, `3.4 s`, `5 min`, `2 h`, `3 d`."""
    seconds = abs(milliseconds) / 1000
    if seconds < 1:
        return f"{abs(milliseconds)} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    for unit, length in (("d", 86_400), ("h", 3_600)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds / 60:.0f} min"


def sip_status(code: int) -> str:
    """Return a SIP status with its usual words, such as `200 OK`; `no answer` for 0."""
    if code == 0:
        return "no answer"
    if code in _SIP_PHRASES:
        return f"{code} {_SIP_PHRASES[code]}"
    known = {status.value: status.phrase for status in HTTPStatus}
    return f"{code} {known.get(code, '')}".strip()
