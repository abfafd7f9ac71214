"""The event log of one push as steps between the participants."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from omapush.push import event_order
from omapush.push.values import Event

LANES: Final = ("initiator", "api", "outbox", "core/device")
_INITIATOR, _API, _OUTBOX, _CORE = range(4)
_SIP_CODE: Final = re.compile(r"\(([1-6][0-9]{2})\b")

_RANK: Final = {
    "accepted": 0,
    "sent": 2,
    "reply": 2,
    "retry": 2,
    "final": 2,
    "notified": 3,
    "notify-failed": 3,
}
"Order of events of the same millisecond; others rank 1. Requests and their ends take turns."


class Step(NamedTuple):
    """One line of the ladder."""

    start: int
    end: int
    "Lanes of the arrow; the same lane twice: something happened there."
    label: str


def in_order(events: Iterable[Event]) -> list[Event]:
    """Return events in the order in which they happened, also those of one millisecond."""
    return event_order.in_order(sorted(events, key=lambda event: (event.at_ms, _RANK.get(event.name, 1))))


def steps(events: Sequence[Event]) -> Iterator[Step]:
    """Yield the line of each event on the ladder; a result without a request before it has no arrow."""
    under_way: set[int] = set()
    for event in events:
        match event.name:
            case "accepted":
                yield Step(_INITIATOR, _API, "push")
            case "sent":
                under_way.add(event.recipient)
                yield Step(_OUTBOX, _CORE, event.text.partition(" ")[0])
            case "reply" | "final" | "retry" if event.recipient in under_way:
                under_way.discard(event.recipient)
                code = _SIP_CODE.search(event.text)
                yield Step(_CORE, _OUTBOX, code[1] if code else "no answer")
            case "notified":
                yield Step(_OUTBOX, _INITIATOR, "result")
            case "notify-failed":
                yield Step(_OUTBOX, _INITIATOR, "no answer")
            case _:
                yield Step(_OUTBOX, _OUTBOX, "")


def last(events: Iterable[Event], recipient: int, *names: str) -> Event | None:
    """Return the latest event of these names about a recipient, or None."""
    found = [event for event in events if event.recipient == recipient and event.name in names]
    return found[-1] if found else None
