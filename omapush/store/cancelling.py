"""
A push that its initiator cancels: first its deliveries leave the outbox, then the results are stored
(docs/adr/0021).
"""

from __future__ import annotations

from collections.abc import Sequence

from omapush.push import replacing
from omapush.push.values import PENDING, ticket, ticket_delivery
from omapush.store import handing_over, pushes, sessions, withdrawals
from omapush.store.client import Store
from omapush.store.pushes import Known
from omapush.store.withdrawals import Found


def cancel(
    store: Store, known: Known, indexes: Sequence[int], *, now_ms: int, retention_s: int
) -> dict[int, bool]:
    """
    Cancel a push for some of its recipients. True: it is never delivered there; False: it is too late.

    For a delivery that is at a sender it is too late, but it is not sent again. Repeating the call gives the
    same answer. If the process dies in between, the sweeper finishes the work; the initiator has no answer
    then.
    """
    ref = known.push.ref
    answer = {index: known.results[index].state == "cancelled" for index in indexes}
    waiting = [
        index
        for index in indexes
        if known.results[index].state == PENDING and not replacing.is_at_a_relay(known.results[index])
    ]
    if not waiting:
        return answer
    tickets = {
        index: ticket(pushes.delivery_of(known.push, index, known.recipients[index], b""))
        for index in waiting
    }
    arrived = sessions.arrived(store, list(tickets.values()))
    waiting = [index for index in waiting if tickets[index] not in arrived]
    found = withdrawals.cancel(store, [tickets[index] for index in waiting], replacing.CANCELLED)
    sessions.abort(
        store,
        [place for place, where in found.items() if where is Found.WAITING],
        replacing.CANCELLED,
        now_ms,
    )
    # What is not there has its result, or was on its way there and is kept out: the push says which.
    gone = [index for index in waiting if found[tickets[index]] is not Found.AT_A_SENDER]
    if not gone:
        return answer
    results = [
        handing_over.withdrawn(ref, index, known.results[index], replacing.CANCELLED, now_ms)
        for index in gone
    ]
    stored = pushes.store_results(store, results, now_ms=now_ms, retention_s=retention_s)
    withdrawals.told(store, [tickets[index] for index in gone])
    for index in gone:
        answer[index] = found[tickets[index]] is Found.WAITING or stored[ref, index]
    return answer


def repair(store: Store, *, now_ms: int, retention_s: int) -> int:
    """
    Finish cancels that a dead process left, and end deliveries that came back from a sender; returns how many
    results this gave.

    For the sweeper, which may meet work that is under way: each step is done once, whoever does it.
    """
    _end_stopped(store)
    untold = withdrawals.untold(store)
    if not untold:
        return 0
    sessions.abort(store, list(untold), replacing.CANCELLED, now_ms)
    last = pushes.results_of(store, [ticket_delivery(place) for place in untold])
    results = [
        handing_over.withdrawn(*ticket_delivery(place), was, why, now_ms)
        for (place, why), was in zip(untold.items(), last, strict=True)
        if was is not None
    ]
    if results:
        pushes.store_results(store, results, now_ms=now_ms, retention_s=retention_s)
    withdrawals.told(store, untold)
    return len(results)


def _end_stopped(store: Store) -> None:
    """A cancelled delivery that has come back from its sender is not sent again, unless a relay has it."""
    stopped = withdrawals.stopped(store)
    if not stopped:
        return
    last = pushes.results_of(store, [ticket_delivery(place) for place in stopped])
    relayed = [
        place
        for place, was in zip(stopped, last, strict=True)
        if was is not None and replacing.is_at_a_relay(was)
    ]
    withdrawals.go_on(store, relayed)
    withdrawals.end_stopped(store, [place for place in stopped if place not in relayed])
