"""One look at user shards: whether there is anything to do there now, of every kind."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from omapush.store import keys
from omapush.store.client import Call, Store, ask_all, call_all


class Look(NamedTuple):
    """Numbers of those shards in which there is something to do, by kind."""

    ready: tuple[int, ...] = ()
    "Deliveries that may be taken."
    later: tuple[int, ...] = ()
    "Deliveries whose time has come."
    subscriptions: tuple[int, ...] = ()
    "NOTIFYs without content that are owed or lost, or subscriptions that have run out."
    watches: tuple[int, ...] = ()
    "Subscriptions of our own that are due."
    sessions: tuple[int, ...] = ()
    "Sessions that are due."
    fan_outs: tuple[int, ...] = ()
    "Pushes to all subscribers that the shard has not finished."


NOTHING: Final = Look()


def look(store: Store, numbers: Sequence[int], now_ms: int) -> Look:
    """
    Return what there is to do in these shards; one trip to Redis.

    `now_ms`: time by the clock of the nodes, which decides whether watches and sessions are due.
    """
    found: list[int] = call_all(store, (Call("omapush_look", _keys(number), [now_ms]) for number in numbers))
    if not any(found):
        return NOTHING
    return Look(
        *(
            tuple(number for number, sum_ in zip(numbers, found, strict=True) if sum_ & (1 << bit))
            for bit in range(len(Look._fields))
        )
    )


def ready(store: Store, numbers: Sequence[int]) -> Look:
    """Return the shards in which deliveries may be taken, and nothing else: this is asked most often."""
    answers = ask_all(store, "ready", (("EXISTS", keys.outbox(number, "ready")) for number in numbers))
    if not any(answers):
        return NOTHING
    return Look(tuple(number for number, is_there in zip(numbers, answers, strict=True) if is_there))


@lru_cache(maxsize=1024)  # asked for some fifty times a second for each shard
def _keys(number: int) -> tuple[str, ...]:
    return (
        keys.watches_due(number),
        keys.subscription_part(number, "expiry"),
        keys.outbox(number, "ready"),
        keys.fan_outs(number, "fanning"),
        keys.outbox(number, "later"),
        keys.subscription_part(number, "owed"),
        keys.subscription_part(number, "flight"),
        keys.session_part(number, "due"),
    )
