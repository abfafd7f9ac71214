"""Deliveries that are taken out of the outbox again: cancelled, or replaced by others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum
from typing import Any, Final, NamedTuple

from omapush.push.values import Delivery, ticket
from omapush.store import keys, sealing
from omapush.store.client import Call, Store, ask_all, call_all

_PARTS: Final = (
    "delivery",
    "busy",
    "ready",
    "waiting",
    "expiry",
    "later",
    "withdrawn",
    "taken",
    "stopped",
    "untold",
    "attempts",
    "repeats",
    "held",
    "told",
    "backlog",
    "parked",
)
_MOST: Final = 500
"Tickets in one call."


class Found(IntEnum):
    """Where a delivery was when it was to be taken out."""

    WAITING = 1
    "It was taken out, and will not be sent."
    AT_A_SENDER = 0
    "A sender has it: it is being sent or was just sent, and is not sent again."
    NOT_THERE = -1
    "It has its result, or was never in the outbox."
    DONE_BEFORE = 2
    "The delivery that replaces it is in the outbox already."


class Replacement(NamedTuple):
    """One delivery that comes in place of another to the same user."""

    old: str
    "Ticket; empty: there is none."
    new: Delivery


def cancel(store: Store, tickets: Sequence[str], why: str, *, stop: bool = True) -> dict[str, Found]:
    """
    Take deliveries out of the outbox, wherever they wait, and keep a late hand-over from bringing them back.

    A delivery that is at a sender stays; with `stop` it is not sent again after that. A delivery that was
    taken out is noted as untold until `told` is called; whoever finds the note later stores the result in its
    push (docs/adr/0021).
    """
    answers = _call(store, "omapush_cancel", [why, int(stop)], [(place, (place,)) for place in tickets])
    return {place: Found(answer) for place, answer in answers.items()}


def replace(store: Store, replacements: Sequence[Replacement], *, for_all: bool, why: str) -> list[Found]:
    """
    Put deliveries into the outbox in place of others, each in one step; returns where the old ones were.

    Without `for_all`, only those are put in whose old delivery was waiting. An old delivery that is at a
    sender is not sent again if its replacement is put in.
    """
    rows = [(ticket(one.new), _row(store, one)) for one in replacements]
    answers = _call(store, "omapush_replace_deliveries", [why, 1 if for_all else 0], rows)
    return [Found(answers[place]) for place, _ in rows]


def _row(store: Store, one: Replacement) -> tuple[Any, ...]:
    new = one.new
    record = sealing.delivery_record(store.ring, new)
    return one.old, ticket(new), record, new.deliver_before_ms, new.deliver_after_ms


class Newest(NamedTuple):
    """One delivery with a replace key."""

    field: str
    "What it is the newest of: see `collapse_field`."
    order_us: int
    why: str
    "Text for the results of older deliveries."
    new: Delivery


def newest(store: Store, fields: Sequence[str]) -> list[str]:
    """Return the tickets of the newest deliveries with these replace keys; empty if there is none."""
    shards = map(store.layout.target_shard, fields)
    commands = (
        ("HGET", keys.outbox(number, "newest"), field) for number, field in zip(shards, fields, strict=True)
    )
    found = ask_all(store, "newest", commands)
    return ["" if value is None else value.decode().split(" ", 2)[1] for value in found]


def collapse(store: Store, rows: Sequence[Newest], stays: Sequence[str]) -> list[str]:
    """
    Put deliveries into the outbox, each in place of the older one with its replace key, in one step.

    Returns for each the ticket that is out, or an empty text. What is at a sender is not sent again. `stays`
    has for each the ticket that is left as it is, or an empty text. One that comes after a newer one is kept
    out and told by the sweeper.
    """
    by_shard: dict[int, list[int]] = {}
    for index, row in enumerate(rows):
        by_shard.setdefault(store.layout.target_shard(row.field), []).append(index)
    batches = list(by_shard.items())
    answers = call_all(
        store,
        (
            Call(
                "omapush_collapse",
                [keys.outbox(number, part) for part in (*_PARTS, "newest", "aging")],
                [word for index in found for word in _newest_row(store, rows[index], stays[index])],
            )
            for number, found in batches
        ),
    )
    out = [""] * len(rows)
    for (_, found), answer in zip(batches, answers, strict=True):
        for index, place in zip(found, answer, strict=True):
            out[index] = place.decode()
    return out


def _newest_row(store: Store, row: Newest, stays: str) -> tuple[Any, ...]:
    new = row.new
    return (
        *(row.field, f"{row.order_us:016d}", row.why, stays),
        *(ticket(new), sealing.delivery_record(store.ring, new), new.deliver_before_ms, new.deliver_after_ms),
    )


def end_stopped(store: Store, tickets: Sequence[str]) -> None:
    """
    Take out deliveries that were cancelled while at a sender and wait for another attempt; what is still at a
    sender stays.
    """
    _call(store, "omapush_end_stopped", [], [(place, (place,)) for place in tickets])


def go_on(store: Store, tickets: Iterable[str]) -> None:
    """Undo the cancel of deliveries that were at a sender."""
    ask_all(
        store,
        "go on",
        (("HDEL", keys.outbox(store.layout.ticket_shard(place), "stopped"), place) for place in tickets),
    )


def stopped(store: Store) -> list[str]:
    """Return the deliveries that were at a sender when they were cancelled and have no result yet."""
    shards = range(store.layout.user_shards)
    answers = ask_all(store, "stopped", (("HKEYS", keys.outbox(number, "stopped")) for number in shards))
    return [place.decode() for found in answers for place in found]


def untold(store: Store) -> dict[str, str]:
    """Return the deliveries that were taken out and whose push may not know it yet, each with the reason."""
    shards = range(store.layout.user_shards)
    answers = ask_all(store, "untold", (("HGETALL", keys.outbox(number, "untold")) for number in shards))
    return {place.decode(): why.decode() for found in answers for place, why in found.items()}


def told(store: Store, tickets: Iterable[str]) -> None:
    """Note that the pushes of these deliveries know it."""
    ask_all(
        store,
        "told",
        (("HDEL", keys.outbox(store.layout.ticket_shard(place), "untold"), place) for place in tickets),
    )


def _call(
    store: Store, function: str, head: Sequence[Any], rows: Sequence[tuple[str, tuple[Any, ...]]]
) -> Mapping[str, int]:
    """Answers by ticket, of one call for each shard and so many tickets."""
    by_shard: dict[int, list[tuple[str, tuple[Any, ...]]]] = {}
    for place, row in rows:
        by_shard.setdefault(store.layout.ticket_shard(place), []).append((place, row))
    batches = [
        (number, found[first : first + _MOST])
        for number, found in by_shard.items()
        for first in range(0, len(found), _MOST)
    ]
    answers = call_all(
        store,
        (
            Call(
                function,
                [keys.outbox(number, part) for part in _PARTS],
                [*head, *(word for _, row in batch for word in row)],
            )
            for number, batch in batches
        ),
    )
    return {
        place: int(answer)
        for (_, batch), found in zip(batches, answers, strict=True)
        for (place, _), answer in zip(batch, found, strict=True)
    }
