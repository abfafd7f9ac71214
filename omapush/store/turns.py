"""Turns of pushes of one application to one user, for applications that limit them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from omapush.push.values import Delivery, target, ticket
from omapush.store import keys
from omapush.store.client import Call, Store, call_all


class Asking(NamedTuple):
    """A delivery that asks for its turn among those of its application to its user."""

    delivery: Delivery
    rate: float
    "How many may leave a minute."
    burst: int
    "How many may leave at once after a quiet time."


def waits_ms(store: Store, asking: Iterable[Asking]) -> list[int]:
    """
    Return how long each delivery waits for its turn; 0: it may leave. All ask in one trip.

    Asking again for the same delivery gives the same turn, in whatever process; the turn is kept until ten
    minutes after it.
    """
    return call_all(store, (_call(store, *one) for one in asking))


def _call(store: Store, delivery: Delivery, rate: float, burst: int) -> Call:
    number = store.layout.user_shard(delivery.aor)
    name = keys.turns(number, target(delivery.aor), delivery.application)
    return Call("omapush_turn", [name], [ticket(delivery), max(1, round(60_000 / rate)), burst])
