"""
Event logs of pushes, read in order.

The first lines of a push to one recipient are fields of the push itself, so that all of it is one key.
Further ones, those of other pushes, and what a node of an older release adds, are in a list beside it. Lines
are written by the functions that use schema/functions/lines.lua.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from omapush.push import event_order
from omapush.push.values import Event
from omapush.store import codec, keys
from omapush.store.client import Command, Store, ask_all
from omapush.store.codec import BrokenRecord

MOST_WITH_PUSH: Final = 16
"Lines that a push may have with itself; as in schema/functions/lines.lua."
_FIELDS: Final = tuple(f"e{number}" for number in range(MOST_WITH_PUSH))
_PAGE: Final = 2_000
"Lines of a list in one trip to Redis."
_READING: Final = "read events"


class Line(NamedTuple):
    """One line of an event log."""

    place: str | int
    "Where it stays: a field of the push, or its number in the list."
    event: Event


def first_fields(event: Event) -> tuple[Any, ...]:
    """Return the fields, each with its value, by which a push has the first lines of its log with itself."""
    return ("lines", 1, _FIELDS[0], codec.encode(event))


def events(store: Store, ref: str, first: int = 0, most: int | None = None) -> list[Event]:
    """Return lines of a log in order, from number `first` on, at most `most`."""
    return [line.event for line in lines(store, ref, first, most)]


def lines(store: Store, ref: str, first: int = 0, most: int | None = None) -> list[Line]:
    """Return the same, each with its place."""
    end = None if most is None else first + most
    ours = with_push(store, ref)
    return _merged(ours, in_list(store, ref))[first:end] if ours else list(in_list(store, ref, first, end))


def last_of(store: Store, wanted: Mapping[str, int | None]) -> list[tuple[Event, ...]]:
    """Return the last lines of logs in order, of each list so many or all; none of a log that is broken."""
    commands: list[Command] = []
    for ref, most in wanted.items():
        commands += (_of_push(store, ref), _of_list(store, ref, 0 if most is None else -most, -1))
    found = ask_all(store, _READING, commands)
    return [_readable(ours, theirs) for ours, theirs in zip(found[::2], found[1::2], strict=True)]


def _readable(ours: Sequence[bytes | None], theirs: Sequence[bytes]) -> tuple[Event, ...]:
    try:
        return tuple(line.event for line in _merged(_fields(ours), _numbered(0, theirs)))
    except BrokenRecord:
        return ()


def with_push(store: Store, ref: str) -> list[Line]:
    """Return the lines that are fields of the push."""
    return _fields(ask_all(store, _READING, [_of_push(store, ref)])[0])


def in_list(store: Store, ref: str, first: int = 0, end: int | None = None) -> Iterator[Line]:
    """Give the lines of the list from number `first` on, those before `end`, a page at a time."""
    while end is None or first < end:
        wanted = _PAGE if end is None else min(_PAGE, end - first)
        (found,) = ask_all(store, _READING, [_of_list(store, ref, first, first + wanted - 1)])
        yield from _numbered(first, found)
        if len(found) < wanted:
            return
        first += wanted


def _of_push(store: Store, ref: str) -> Command:
    return ("HMGET", keys.push(store.layout.push_shard(ref), ref), *_FIELDS)


def _of_list(store: Store, ref: str, first: int, last: int) -> Command:
    return ("LRANGE", keys.push_log(store.layout.push_shard(ref), ref), first, last)


def _fields(found: Sequence[bytes | None]) -> list[Line]:
    pairs = zip(_FIELDS, found, strict=True)
    return [Line(name, codec.event(data)) for name, data in pairs if data is not None]


def _numbered(first: int, found: Sequence[bytes]) -> list[Line]:
    return [Line(number, codec.event(data)) for number, data in enumerate(found, first)]


def _merged(ours: Sequence[Line], theirs: Iterable[Line]) -> list[Line]:
    """Mostly the list goes on where the push has no more room; lines of an older node are among ours."""
    return list(heapq.merge(_in_order(ours), theirs, key=_at_ms))


def _in_order(lines: Sequence[Line]) -> list[Line]:
    return [lines[position] for position in event_order.order_of([line.event for line in lines])]


def _at_ms(line: Line) -> int:
    return line.event.at_ms
