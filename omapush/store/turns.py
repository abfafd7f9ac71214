"""Turns of pushes of one application to one user, for applications that limit them."""

from __future__ import annotations

from omapush.push.values import Delivery, target, ticket
from omapush.store import keys
from omapush.store.client import Call, Store, call


def wait_ms(store: Store, delivery: Delivery, *, rate: float, burst: int) -> int:
    """
    Return how long a delivery waits for its turn among those of its application to its user; 0: it may leave.

    `rate` is per minute, and `burst` how many may leave at once after a quiet time. Asking again for the same
    delivery gives the same turn, in whatever process; the turn is kept until ten minutes after it.
    """
    number = store.layout.user_shard(delivery.aor)
    name = keys.turns(number, target(delivery.aor), delivery.application)
    interval_ms = max(1, round(60_000 / rate))
    return int(call(store, Call("omapush_turn", [name], [ticket(delivery), interval_ms, burst])))
