"""How many deliveries were accepted and how they ended, over all nodes and since ever."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from omapush.store import keys
from omapush.store.client import Store, ask_all

ACCEPTED = "accepted"


class Totals(NamedTuple):
    """Counts of deliveries: they only grow, and are the same for all nodes."""

    accepted: int
    "Those of a push to subscribers count once their user shard has made them all."
    ended: dict[str, int]
    "Deliveries with a final result, by its state."


def read(store: Store) -> Totals:
    """Return the counts; one round trip."""
    shards = range(store.layout.push_shards)
    return sum_of(ask_all(store, "totals", (("HGETALL", keys.totals(number)) for number in shards)))


def sum_of(shards: Iterable[Any]) -> Totals:
    """Return the sum over the hashes of all push shards, as Redis gives them."""
    counts: dict[str, int] = {}
    for fields in shards:
        pairs = fields.items() if isinstance(fields, dict) else zip(fields[::2], fields[1::2], strict=True)
        for name, value in pairs:
            counts[name.decode()] = counts.get(name.decode(), 0) + int(value)
    return Totals(counts.pop(ACCEPTED, 0), counts)
