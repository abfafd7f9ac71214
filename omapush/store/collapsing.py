"""Pushes with a replace key: of those to one user that wait, only the newest is kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
    store: Store, addressed: Iterable[tuple[Push, Iterable[Delivery]]], *, now_ms: int, retention_s: int
) -> None:
    """
    Put the deliveries of pushes with a replace key into their outboxes; older ones that wait are cancelled.

    May be repeated, and come late: the newest by acceptance stays, in whatever order they come. What is out
    and not told to its push, because this process dies in between, the sweeper tells it.
    """
    rows: dict[str, Newest] = {}
    for push, deliveries in addressed:
        why = replacing.replaced_by(push)
        for one in deliveries:
            field = collapse_field(push, one.aor)
            if len(rows) == _MOST or field in rows:  # of two with the same key the first goes first
                _some(store, list(rows.values()), now_ms=now_ms, retention_s=retention_s)
                rows = {}
            rows[field] = Newest(field, push.order_us, why, one)
    if rows:
        _some(store, list(rows.values()), now_ms=now_ms, retention_s=retention_s)


def _some(store: Store, rows: Sequence[Newest], *, now_ms: int, retention_s: int) -> None:
    noted = withdrawals.newest(store, [row.field for row in rows])
    known = [place for place in noted if place]
    last = pushes.results_of(store, [ticket_delivery(place) for place in known])
    relayed = {
        place
        for place, was in zip(known, last, strict=True)
        if was is not None and replacing.is_at_a_relay(was)
    }
    stays = [place if place in relayed else "" for place in noted]
    found = withdrawals.collapse(store, rows, stays)
    out = {place: row.why for place, row in zip(found, rows, strict=True) if place}
    if not out:
        return
    for place in sessions.carriers(store, list(out)):
        sessions.abort(store, [place], out[place], now_ms)
    results = pushes.results_of(store, [ticket_delivery(place) for place in out])
    gone = [
        _cancelled(place, replacing.taken_back(was, why, now_ms), why, now_ms)
        for (place, why), was in zip(out.items(), results, strict=True)
        if was is not None
    ]
    if gone:
        pushes.store_results(store, gone, now_ms=now_ms, retention_s=retention_s)
    withdrawals.told(store, out)


def _cancelled(place: str, result: Result, why: str, now_ms: int) -> Stored:
    ref, index = ticket_delivery(place)
    return Stored(ref, index, result, final=True, event=Event(now_ms, index, "final", why))
