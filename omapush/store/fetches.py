"""Fetches of content by links: how much each recipient has got, and whose fetch is still awaited."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

from omapush.push.values import Event, Push, Result
from omapush.store import codec, keys
from omapush.store.client import Call, Store, ask_all, call, call_all


class Awaited(NamedTuple):
    """One recipient who has accepted a link."""

    ref: str
    recipient: int
    result: Result
    "Until it has fetched: pending."
    event: Event
    until_ms: int
    "When the link has run out."


class Due(NamedTuple):
    """One recipient whose fetch is no longer awaited."""

    ref: str
    recipient: int
    result: Result | None
    "The latest; None: the push is forgotten."
    is_fetched: bool


class Served(NamedTuple):
    """Everything that the content server needs about a push and one of its recipients."""

    push: Push
    secret: bytes
    result: Result | None
    "The latest of the recipient; None: there is no such recipient."
    is_final: bool


Progress = Literal["part", "complete and waited for", "complete"]
_PROGRESS: tuple[Progress, ...] = ("part", "complete and waited for", "complete")


def wait_for(store: Store, awaited: Sequence[Awaited]) -> list[bool | None]:
    """
    Note that the final result of recipients waits for their fetch.

    True: the recipient has fetched already, before its SIP answer was stored. None: its result is final, or
    the push is forgotten. Calling it twice does no harm.
    """
    batches: dict[int, tuple[list[str], list[Any], list[int]]] = {}
    for place, one in enumerate(awaited):
        number = store.layout.push_shard(one.ref)
        names, args, places = batches.setdefault(number, ([keys.fetches(number)], [], []))
        names += (keys.push(number, one.ref), keys.push_log(number, one.ref))
        args += (one.ref, one.recipient, codec.encode(one.result), codec.encode(one.event), one.until_ms)
        places.append(place)
    answers = call_all(
        store, (Call("omapush_await_fetch", names, args) for names, args, _ in batches.values())
    )
    found: dict[int, int] = {}
    for (_, _, places), answer in zip(batches.values(), answers, strict=True):
        found.update(zip(places, answer, strict=True))
    return [None if found[place] < 0 else found[place] == 1 for place in range(len(awaited))]


def note(
    store: Store, ref: str, recipient: int, served: range, size: int, *, event: Event, complete: Event
) -> Progress:
    """
    Note that these bytes of the content, which has `size` bytes, were served to the recipient.

    `complete` is written into the event log instead of `event` when the recipient has all of them for the
    first time.
    """
    number = store.layout.push_shard(ref)
    answer: int = call(
        store,
        Call(
            "omapush_fetched",
            [keys.push(number, ref), keys.push_log(number, ref)],
            [recipient, served.start, served.stop, size, codec.encode(event), codec.encode(complete)],
        ),
    )
    return _PROGRESS[answer]


def served(store: Store, ref: str, recipient: int) -> Served | None:
    """Return what the push of a link says; None if it is forgotten or never had links."""
    number = store.layout.push_shard(ref)
    names = ("record", "secret", f"r{recipient}", f"f{recipient}")
    ((record, secret, result, final),) = ask_all(store, "served", [("HMGET", keys.push(number, ref), *names)])
    if record is None or secret is None:
        return None
    last = None if result is None else codec.result(result)
    return Served(codec.push(record), secret, last, final is not None)


def due(store: Store, now_ms: int, *, most: int = 200) -> list[Due]:
    """Return recipients whose links have expired while their fetch was awaited."""
    shards = range(store.layout.push_shards)
    commands = [
        ("ZRANGE", keys.fetches(number), "-inf", now_ms, "BYSCORE", "LIMIT", 0, most) for number in shards
    ]
    members = [
        member.decode().partition(".") for found in ask_all(store, "due", commands) for member in found
    ]
    pairs = [(ref, int(index)) for ref, _, index in members]
    if not pairs:
        return []
    rows = ask_all(
        store,
        "due",
        (("HMGET", keys.push(store.layout.push_shard(ref), ref), f"r{i}", f"g{i}") for ref, i in pairs),
    )
    return [
        Due(ref, index, None if result is None else codec.result(result), fetched is not None)
        for (ref, index), (result, fetched) in zip(pairs, rows, strict=True)
    ]


def close(store: Store, recipients: Iterable[tuple[str, int]]) -> None:
    """Stop waiting for these, each given as (ref, recipient index): their results are final."""
    commands = (
        ("ZREM", keys.fetches(store.layout.push_shard(ref)), f"{ref}.{index}") for ref, index in recipients
    )
    ask_all(store, "close", commands)
