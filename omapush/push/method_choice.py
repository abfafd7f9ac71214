"""Which SIP method carries a push, and why: a pure function, its reason goes into the event log."""

from __future__ import annotations

from typing import NamedTuple

from omapush.push.outcome import Outcome
from omapush.push.request import LARGEST_HEADERS, LARGEST_URI, Request
from omapush.push.values import Method


class Choice(NamedTuple):
    """The method for one delivery; or none, and the result that follows from that."""

    method: Method | None
    why: str
    outcome: Outcome | None = None


def choose(request: Request, *, registered: bool, send_unregistered: bool, message_bytes: int) -> Choice:
    """
    Return how `request`, composed as a MESSAGE, leaves; or the result when it can't.

    Above `message_bytes` a MESSAGE is forbidden (MSG-SIZE): the push needs another method.
    """
    if not registered and not send_unregistered:
        text = "not registered, and the application's profile sends to registered users only"
        return Choice(None, text, Outcome(None, "undeliverable", "2003", text))
    if request.size > message_bytes:
        return _refused(
            f"MESSAGE would have {request.size} bytes, limit {message_bytes}: needs another method"
        )
    if len(request.headers.encode()) > LARGEST_HEADERS or len(request.request_uri) > LARGEST_URI:
        return _refused("headers or URI are too long for one SIP request")
    known = "registered" if registered else "registration unknown, the core decides"
    return Choice("MESSAGE", f"{request.size} of {message_bytes} bytes, {known}")


def too_large(content_bytes: int, message_bytes: int) -> Outcome:
    """Return the result of a push whose content no MESSAGE can carry in any form."""
    why = f"content has {content_bytes} bytes, a MESSAGE at most {message_bytes} in all: needs another method"
    return Outcome(None, "undeliverable", "2006", why)


def _refused(why: str) -> Choice:
    return Choice(None, why, Outcome(None, "undeliverable", "2006", why))
