"""Questions about the outbox: where deliveries are, who owns a shard, what is held before what."""

from __future__ import annotations

from collections.abc import Sequence

from omapush.push.values import TARGET_LENGTH, Delivery, ticket
from omapush.store import keys
from omapush.store.client import Store, store_errors


def whereabouts(store: Store, delivery: Delivery) -> str:
    """Return where a delivery is now: ready, waiting, taken, later, held, or nowhere (it is finished)."""
    place = ticket(delivery)
    number = store.layout.ticket_shard(place)
    with store_errors("whereabouts"):
        pipe = store.db.pipeline(transaction=False)
        pipe.hexists(keys.outbox(number, "delivery"), place)
        for part in ("taken", "later", "held", "waiting"):
            pipe.zscore(keys.outbox(number, part), place)
        known, taken, later, held, waiting = pipe.execute()
    if not known:
        return "nowhere"
    if taken is not None:
        return "taken"
    if later is not None:
        return "later" if held is None else "held"
    return "waiting" if waiting is not None else "ready"


def owners(store: Store) -> dict[int, dict[str, str]]:
    """Return who owns each shard: node, run, sender, until_ms, since_ms; empty for none."""
    with store_errors("owners"):
        pipe = store.db.pipeline(transaction=False)
        for number in range(store.layout.user_shards):
            pipe.hgetall(keys.outbox(number, "owner"))
        return {
            number: {name.decode(): value.decode() for name, value in owner.items()}
            for number, owner in enumerate(pipe.execute())
        }


def held_before(store: Store, tickets: Sequence[str]) -> list[list[str]]:
    """
    Return, for each ticket, those of the same target that are held though they were accepted earlier.

    The ticket itself stands in their place when they have just been made ready.
    """
    with store_errors("held before"):
        pipe = store.db.pipeline(transaction=False)
        for place in tickets:
            name = keys.outbox(store.layout.ticket_shard(place), "held")
            pipe.zrange(name, f"[{place[:TARGET_LENGTH]}", f"({place}", bylex=True)
            pipe.zscore(keys.outbox(store.layout.ticket_shard(place), "late"), place)
        answers = pipe.execute()
    return [
        [place] if mark is not None else [one.decode() for one in found]
        for place, found, mark in zip(tickets, answers[::2], answers[1::2], strict=True)
    ]
