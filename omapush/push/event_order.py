"""
The order of an event log within one millisecond.

Lines of one delivery come from two processes: the sender notes what it sends, the completer how that ended.
Either may be stored first, and the clock does not tell them apart. What does is that requests of one delivery
follow each other: each ends before the next leaves.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Final

from omapush.push.values import Event

ENDS: Final = frozenset({"reply", "retry", "final"})
"What may end a request."
_CANCEL: Final = "CANCEL"
"Is about a request that is under way, and no next one."


def order_of(events: Sequence[Event]) -> list[int]:
    """
    Return the positions of events in the order in which they happened; the log has to begin with the first.

    Requests and their ends change places with each other only, and only those of one delivery in one
    millisecond: if a request was under way, its end comes first, else a request does.
    """
    order = sorted(range(len(events)), key=lambda position: events[position].at_ms)
    under_way: set[int] = set()
    start = 0
    for _, group in groupby(order, key=lambda position: events[position].at_ms):
        positions = list(group)
        for recipient in dict.fromkeys(events[position].recipient for position in positions):
            places = [
                start + index
                for index, position in enumerate(positions)
                if events[position].recipient == recipient and _is_turn(events[position])
            ]
            turns = _in_turn(events, [order[place] for place in places], recipient in under_way)
            for place, position in zip(places, turns, strict=True):
                order[place] = position
            if turns:
                is_sent = events[turns[-1]].name == "sent"
                under_way = under_way | {recipient} if is_sent else under_way - {recipient}
        start += len(positions)
    return order


def in_order(events: Sequence[Event]) -> list[Event]:
    """Return events in the order in which they happened, see `order_of`."""
    return [events[position] for position in order_of(events)]


def _is_turn(event: Event) -> bool:
    return event.name in ENDS or (event.name == "sent" and not event.text.startswith(_CANCEL))


def _in_turn(events: Sequence[Event], positions: Sequence[int], is_under_way: bool) -> list[int]:
    """Take an end where a request is under way, else a request, as long as there is one."""
    if len(positions) < 2:
        return list(positions)
    sent = [position for position in positions if events[position].name == "sent"]
    ends = [position for position in positions if events[position].name != "sent"]
    found: list[int] = []
    while sent and ends:
        found.append((ends if is_under_way else sent).pop(0))
        is_under_way = not is_under_way
    return found + sent + ends
