"""What the console looks at once a second: totals, the oldest that could leave, what is owed."""

from __future__ import annotations

from typing import Any, NamedTuple

from omapush.store import health, keys
from omapush.store.client import Command, Store, ask_all
from omapush.store.totals import Totals, sum_of


class Pulse(NamedTuple):
    """One look at all nodes' work."""

    totals: Totals
    owed: int
    "Results that initiators have not been told yet."
    ready_since_ms: int
    "Since when the oldest delivery is ready that no sender has taken; 0: there is none."
    due_since_ms: int
    "Since when the first retry or scheduled delivery is due; 0: there is none that waits for its time."
    refused: int
    "Submissions that apis have refused, since ever."


def read(store: Store, newly_refused: int = 0) -> Pulse:
    """Return what is so now; one round trip. `newly_refused`: here, and not told to the others before."""
    push_shards, user_shards = range(store.layout.push_shards), range(store.layout.user_shards)
    parts: tuple[list[Command], ...] = (
        [("HGETALL", keys.totals(number)) for number in push_shards],
        [("ZCARD", keys.notify(number)) for number in push_shards],
        [("ZRANGE", keys.outbox(number, "later"), 0, 0, "WITHSCORES") for number in user_shards],
        health.ready_commands(store),
        [("INCRBY", keys.REFUSED, newly_refused) if newly_refused else ("GET", keys.REFUSED)],
    )
    answers = iter(ask_all(store, "pulse", [command for part in parts for command in part]))
    totals, owed, later, ready, refused = ([next(answers) for _ in part] for part in parts)
    due = [score for row in later for score in _scores(row)]
    ready_ms = health.oldest_ready_ms(ready)
    return Pulse(sum_of(totals), sum(owed), ready_ms, min(due, default=0), int(refused[0] or 0))


def _scores(row: list[Any]) -> list[int]:
    """The scores of members, as either protocol of Redis gives them."""
    if row and isinstance(row[0], list):
        return [int(score) for _, score in row]
    return [int(float(score)) for score in row[1::2]]
