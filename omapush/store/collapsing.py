"""Pushes with a replace key: of those to one user that wait, only the newest is kept."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Final

from omapush.push import replacing
from omapush.push.values import Delivery, Event, Push, Result, collapse_field, ticket_delivery
from omapush.store import pushes, sessions, withdrawals
from omapush.store.client import Store
from omapush.store.pushes import Stored
from omapush.store.withdrawals import Newest

_MOST: Final = 200
"Deliveries in one go."


def hand_over(
    store: Store, push: Push, deliveries: Iterable[Delivery], *, now_ms: int, retention_s: int
) -> None:
    """
    Put the deliveries of a push with a replace key into their outboxes; older ones that wait are cancelled.

    May be repeated, and come late: the newest by acceptance stays, in whatever order they come. What is out
    and not told to its push, because this process dies in between, the sweeper tells it.
    """
    rest = iter(deliveries)
    while batch := list(islice(rest, _MOST)):
        _some(store, push, batch, now_ms=now_ms, retention_s=retention_s)


def _some(store: Store, push: Push, batch: list[Delivery], *, now_ms: int, retention_s: int) -> None:
    why = replacing.replaced_by(push)
    rows = [Newest(collapse_field(push, one.aor), push.order_us, why, one) for one in batch]
    noted = [place for place in withdrawals.newest(store, [row.field for row in rows]) if place]
    last = pushes.results_of(store, [ticket_delivery(place) for place in noted])
    relayed = {
        place
        for place, was in zip(noted, last, strict=True)
        if was is not None and replacing.is_at_a_relay(was)
    }
    out = [place for place in withdrawals.collapse(store, rows, relayed) if place]
    if not out:
        return
    sessions.abort(store, out, why, now_ms)
    results = pushes.results_of(store, [ticket_delivery(place) for place in out])
    gone = [
        _cancelled(place, replacing.taken_back(was, why, now_ms), why, now_ms)
        for place, was in zip(out, results, strict=True)
        if was is not None
    ]
    if gone:
        pushes.store_results(store, gone, now_ms=now_ms, retention_s=retention_s)
    withdrawals.told(store, out)


def _cancelled(place: str, result: Result, why: str, now_ms: int) -> Stored:
    ref, index = ticket_delivery(place)
    return Stored(ref, index, result, final=True, event=Event(now_ms, index, "final", why))
