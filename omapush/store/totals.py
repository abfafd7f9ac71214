"""How many deliveries were accepted and how they ended, over all nodes and since ever."""

from __future__ import annotations

from typing import NamedTuple

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
    counts: dict[str, int] = {}
    for fields in ask_all(store, "totals", (("HGETALL", keys.totals(number)) for number in shards)):
        pairs = fields.items() if isinstance(fields, dict) else zip(fields[::2], fields[1::2], strict=True)
        for name, value in pairs:
            counts[name.decode()] = counts.get(name.decode(), 0) + int(value)
    return Totals(counts.pop(ACCEPTED, 0), counts)
