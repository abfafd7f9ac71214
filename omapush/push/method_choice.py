"""Which SIP method carries a push, and why: a pure function, its reason goes into the event log."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from omapush.push.device_choice import Devices
from omapush.push.outcome import Outcome
from omapush.push.request import LARGEST_HEADERS, LARGEST_URI, Request
from omapush.push.values import Method

Rule = Literal["send", "refuse", "hold"]
"What to do without a device to send to: let the core decide, end it, or wait for the registration to change."

_REFUSAL: Final = {"unregistered": "2003", "none fits": "2006"}


class Rules(NamedTuple):
    """What the application's profile says about sending."""

    unregistered: Rule
    "When nobody is known to be there."
    no_match: Rule
    "When devices are there, none of which has the application."
    message_bytes: int
    "Largest whole MESSAGE; above it the push needs another method (MSG-SIZE)."


class Choice(NamedTuple):
    """The method for one delivery; or none, and then its result, or that it is held."""

    method: Method | None
    why: str
    outcome: Outcome | None = None
    hold: bool = False
    "Wait in the outbox until the user's registration changes."


def choose(request: Request, devices: Devices, rules: Rules) -> Choice:
    """
    Return how `request`, composed as a MESSAGE, leaves; or the result when it can't; or that it is held.

    What could never be sent is not held: it is refused at once.
    """
    rule = _rule(devices, rules)
    if rule == "refuse":
        why = f"{devices.why}, and the application's profile refuses then"
        return Choice(None, why, Outcome(None, "undeliverable", _REFUSAL[devices.presence], why))
    if request.size > rules.message_bytes:
        return _refused(
            f"MESSAGE would have {request.size} bytes, limit {rules.message_bytes}: needs another method"
        )
    if len(request.headers.encode()) > LARGEST_HEADERS or len(request.request_uri) > LARGEST_URI:
        return _refused("headers or URI are too long for one SIP request")
    if rule == "hold":
        return Choice(None, devices.why, hold=True)
    core_decides = "" if devices.presence == "fits" else ", the core decides"
    return Choice("MESSAGE", f"{request.size} of {rules.message_bytes} bytes, {devices.why}{core_decides}")


def _rule(devices: Devices, rules: Rules) -> Rule:
    match devices.presence:
        case "unregistered":
            return rules.unregistered
        case "none fits":
            return rules.no_match
        case "fits" | "unknown":
            return "send"


def too_large(content_bytes: int, message_bytes: int) -> Outcome:
    """Return the result of a push whose content no MESSAGE can carry in any form."""
    why = f"content has {content_bytes} bytes, a MESSAGE at most {message_bytes} in all: needs another method"
    return Outcome(None, "undeliverable", "2006", why)


def _refused(why: str) -> Choice:
    return Choice(None, why, Outcome(None, "undeliverable", "2006", why))
