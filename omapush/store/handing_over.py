"""
From the push to the outboxes of its users: deliveries of a new push, what a dead process left, and
replacements.

Everything here may be repeated by any process at any time; what is in an outbox already stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final, NamedTuple

from omapush.push import replacing
from omapush.push.values import PENDING, Delivery, Event, Push, Result, ticket
from omapush.store import (
    codec,
    collapsing,
    fanouts,
    keys,
    outbox,
    push_pages,
    pushes,
    sessions,
    user_pushes,
    withdrawals,
)
from omapush.store.client import Store, ask_all
from omapush.store.pushes import Stored, Submission
from omapush.store.withdrawals import Found, Replacement

_MOST: Final = 500
"Largest number of replacements in one call."


class _Old(NamedTuple):
    """What a delivery replaces."""

    ticket: str
    recipient: int
    result: Result

    @property
    def may_wait(self) -> bool:
        """A push that a relay has accepted with 202 is pending, but has nothing in the outbox."""
        return self.result.state == PENDING and not replacing.is_at_a_relay(self.result)


def fresh(store: Store, submissions: Sequence[Submission], *, now_ms: int, retention_s: int) -> None:
    """Hand over pushes that have just been accepted by this process."""
    addressed = ((one.push, one.recipients) for one in submissions)
    lists = user_pushes.enter_most(store, addressed, retention_s=retention_s)
    ordinary = [one for one in submissions if not one.push.replaces and not one.push.replace_key]
    outbox.hand_over(store, (delivery for one in ordinary for delivery in _deliveries(one)), first=lists)
    fanouts.register(
        store,
        ((pushes.fan_out_of(one.push, one.content), "running") for one in ordinary if one.push.subscribers),
    )
    keyed = [one for one in submissions if one.push.replace_key and not one.push.replaces]
    collapsing.hand_over(
        store, ((one.push, _deliveries(one)) for one in keyed), now_ms=now_ms, retention_s=retention_s
    )
    for one in submissions:
        if one.push.replaces:
            _replace(store, one.push, _deliveries(one), now_ms=now_ms, retention_s=retention_s)
    pushes.handed_over(store, (one.push for one in submissions))


def left(store: Store, ref: str, *, now_ms: int, retention_s: int) -> None:
    """Hand over a push that is in Redis, for the recipients without a result."""
    push = fixed_part(store, ref)
    if push is not None:
        pages = push_pages.read_all(store, ref)
        addressed = ((push, page.recipients) for page in pages)
        user_pushes.enter(store, addressed, retention_s=retention_s)
    deliveries = pushes.open_deliveries(store, ref)
    if push is not None and push.replaces:
        _replace(store, push, deliveries, now_ms=now_ms, retention_s=retention_s)
        _withdraw_for_finished(store, push, now_ms=now_ms, retention_s=retention_s)
    elif push is not None and push.replace_key:
        collapsing.hand_over(store, [(push, deliveries)], now_ms=now_ms, retention_s=retention_s)
    else:
        outbox.hand_over(store, deliveries)
        fan_out = pushes.open_fan_out(store, ref)
        fanouts.register(store, [fan_out] if fan_out else [])
    pushes.handed_over(store, [ref if push is None else push])


def fixed_part(store: Store, ref: str) -> Push | None:
    """Return the part of a push that never changes; None if the push is not known."""
    name = keys.push(store.layout.push_shard(ref), ref)
    record = ask_all(store, "push", [("HGET", name, "record")])[0]
    return None if record is None else codec.push(record)


def withdrawn(ref: str, index: int, last: Result, why: str, now_ms: int) -> Stored:
    """Return the result of a cancelled delivery, based on the result of its last attempt."""
    result = replacing.taken_back(last, why, now_ms)
    return Stored(ref, index, result, final=True, event=Event(now_ms, index, "final", why))


def _deliveries(one: Submission) -> Iterator[Delivery]:
    return (
        pushes.delivery_of(one.push, index, recipient, one.content)
        for index, (recipient, result) in enumerate(zip(one.recipients, one.results, strict=True))
        if result.state == PENDING
    )


# Replacing ---------------------------------------------------------------------------------------


def _replace(
    store: Store, push: Push, deliveries: Iterable[Delivery], *, now_ms: int, retention_s: int
) -> None:
    old = _old(store, push)
    rest = iter(deliveries)
    while batch := list(islice(rest, _MOST)):
        _replace_some(store, push, batch, old, now_ms=now_ms, retention_s=retention_s)


def _old(store: Store, push: Push) -> dict[str, _Old]:
    """What is replaced, by address of record."""
    known = pushes.read(store, push.replaces, events=False)
    if known is None:
        return {}
    return {
        recipient.aor: _Old(ticket(pushes.delivery_of(known.push, index, recipient, b"")), index, result)
        for index, (recipient, result) in enumerate(zip(known.recipients, known.results, strict=True))
    }


def _replace_some(
    store: Store,
    push: Push,
    deliveries: Sequence[Delivery],
    old: dict[str, _Old],
    *,
    now_ms: int,
    retention_s: int,
) -> None:
    """
    Carry out replacements, then store the results: in the old push for those who do not get it any more, in
    the new push for those who do not get that one.

    A delivery that was not in the outbox and has no result was on its way there; it is kept out, and so
    counts as replaced.
    """
    why = replacing.replaced_by(push)
    replaced = [old.get(one.aor) for one in deliveries]
    rows = [
        Replacement(was.ticket if was is not None and was.may_wait else "", one)
        for one, was in zip(deliveries, replaced, strict=True)
    ]
    found = withdrawals.replace(store, rows, for_all=push.replace_all, why=why)
    out = (Found.WAITING, Found.NOT_THERE)
    waited = [row.old for row, where in zip(rows, found, strict=True) if row.old and where is Found.WAITING]
    sessions.abort(store, waited, why, now_ms)
    gone = [
        withdrawn(push.replaces, was.recipient, was.result, why, now_ms)
        for row, was, where in zip(rows, replaced, found, strict=True)
        if row.old and was is not None and where in out
    ]
    stored = pushes.store_results(store, gone, now_ms=now_ms, retention_s=retention_s) if gone else {}
    withdrawals.told(
        store, (row.old for row, where in zip(rows, found, strict=True) if row.old and where in out)
    )
    if push.replace_all:
        return
    late: list[Stored] = []
    for row, was, where in zip(rows, replaced, found, strict=True):
        if where is Found.AT_A_SENDER:
            late.append(_too_late(row.new, now_ms, is_under_way=True))
        elif where is Found.NOT_THERE:
            is_ours = was is not None and (
                stored.get((push.replaces, was.recipient), False) or was.result.desc == why
            )
            if is_ours:
                outbox.hand_over(store, [row.new])
            else:
                late.append(_too_late(row.new, now_ms, is_under_way=False))
    if late:
        pushes.store_results(store, late, now_ms=now_ms, retention_s=retention_s)


def _too_late(new: Delivery, now_ms: int, *, is_under_way: bool) -> Stored:
    result = replacing.comes_too_late(is_under_way=is_under_way, now_ms=now_ms)
    event = Event(now_ms, new.recipient, "final", result.desc)
    return Stored(new.ref, new.recipient, result, final=True, event=event)


def _withdraw_for_finished(store: Store, push: Push, *, now_ms: int, retention_s: int) -> None:
    """
    Cancel what is replaced for recipients of the new push that have their result already.

    That may be a recipient who was cancelled before the replacement was carried out. A recipient who does not
    get the new push because it came too late keeps the old one.
    """
    new = pushes.read(store, push.ref, events=False)
    if new is None:
        return
    old = _old(store, push)
    why = replacing.replaced_by(push)
    finished = [
        was
        for recipient, result in zip(new.recipients, new.results, strict=True)
        if result.state != PENDING and not replacing.keeps_the_old(result)
        for was in [old.get(recipient.aor)]
        if was is not None and was.may_wait
    ]
    found = withdrawals.cancel(store, [was.ticket for was in finished], why, stop=push.replace_all)
    sessions.abort(store, list(found), why, now_ms)
    out = [was for was in finished if found[was.ticket] in (Found.WAITING, Found.NOT_THERE)]
    if out:
        results = [withdrawn(push.replaces, was.recipient, was.result, why, now_ms) for was in out]
        pushes.store_results(store, results, now_ms=now_ms, retention_s=retention_s)
        withdrawals.told(store, [was.ticket for was in out])
