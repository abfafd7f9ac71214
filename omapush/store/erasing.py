"""Everything about one user, exported or erased; an erasure may be interrupted and begun again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from omapush.push.values import ticket_delivery
from omapush.store import (
    capabilities,
    handing_over,
    keys,
    pushes,
    registrations,
    sessions,
    subscriptions,
    traces,
    user_data,
    watches,
    withdrawals,
)
from omapush.store.client import Store
from omapush.store.user_data import Part, User
from omapush.store.withdrawals import Found

WHY: Final = "cancelled: the user's data was erased"


class Erased(NamedTuple):
    """The outcome for one kind of data."""

    what: str
    erased: int
    left: int = 0
    "Entries that are still under way; the next run erases them."


def everything(store: Store, user: User) -> dict[str, Any]:
    """Return all that is known of a user, by kind; records as tuples with their names."""
    aors = user.identities
    return {
        "identities": list(aors),
        "registrations": [one for one in registrations.read_readable(store, aors) if one is not None],
        "capabilities": [one for one in capabilities.read_all(store, aors) if one is not None],
        "subscriptions": [one for aor in aors for one in subscriptions.of_user(store, aor)],
        "watches": [one for aor in aors if (one := watches.read(store, aor)) is not None],
        "other_records": user_data.keys_by_target(store, user),
        "waiting": [one for one in user_data.deliveries(store, user).values() if one is not None],
        "distribution_lists": [
            {"initiator": initiator, "list": name, "member": member}
            for initiator, name, member in user_data.in_lists(store, user)
        ],
        "hosted_pushes": [push for _, push in user_data.hosted(store, user)],
        "hosted_stream_entries": [
            {"stream": stream, "entry": entry} for stream, entry in user_data.streamed(store, user)
        ],
        "pushes": [_shown(part) for part in user_data.parts(store, user)],
        "traces": [
            {"ref": part.push.ref, "message": kept.message.shown}
            for part in user_data.parts(store, user)
            for kept in traces.read(store, part.push.ref)
            if kept.recipient == part.index
        ],
        "mentions": [{"ref": ref, "event": line.event} for ref, line in user_data.mentions(store, user)],
    }


def _shown(part: Part) -> dict[str, Any]:
    return {
        "push": part.push,
        "index": part.index,
        "recipient": part.recipient,
        "result": part.result,
        "events": [line.event for line in part.lines],
    }


def erase(store: Store, user: User, *, now_ms: int, retention_s: int) -> Iterator[Erased]:
    """
    Erase one kind after the other, yielding the outcome of each; an interrupted run can be begun again
    because of their order.
    """
    memberships = user_data.in_lists(store, user)
    for membership in memberships:
        user_data.leave_list(store, *membership)
    yield Erased("distribution lists", len(memberships))
    yield _waiting(store, user, now_ms, retention_s)
    yield Erased("replace keys", user_data.forget_keys(store, user))
    ids = user_data.subscription_ids(store, user)
    subscriptions.remove_all(store, ids)
    yield Erased("subscriptions", len(ids))
    yield _hosted(store, user)
    yield _pushes(store, user)
    gone = traces.switch_off(store, map(traces.user_switch, user.identities))
    yield Erased("wishes to trace the user", gone)
    mentions = list(user_data.mentions(store, user))
    for mention in mentions:
        user_data.erase_mention(store, *mention)
    yield Erased("lines of event logs", len(mentions))
    user_data.forget_watches(store, user)
    yield _records(store, user)
    yield _registrations(store, user)


def _waiting(store: Store, user: User, now_ms: int, retention_s: int) -> Erased:
    """Cancel what waits; a delivery that is at a sender has to be answered first."""
    tickets = list(user_data.deliveries(store, user))
    found = withdrawals.cancel(store, tickets, WHY)
    out = [place for place in tickets if found[place] is not Found.AT_A_SENDER]
    if not out:
        return Erased("waiting pushes", 0, len(tickets))
    sessions.abort(store, out, WHY, now_ms)
    last = pushes.results_of(store, [ticket_delivery(place) for place in out])
    results = [
        handing_over.withdrawn(*ticket_delivery(place), was, WHY, now_ms)
        for place, was in zip(out, last, strict=True)
        if was is not None
    ]
    if results:
        pushes.store_results(store, results, now_ms=now_ms, retention_s=retention_s)
    withdrawals.told(store, out)
    return Erased("waiting pushes", len(out), len(tickets) - len(out))


def _hosted(store: Store, user: User) -> Erased:
    number = 0
    for key, push in list(user_data.hosted(store, user)):
        user_data.erase_hosted(store, key, push)
        number += 1
    for stream, entry in list(user_data.streamed(store, user)):
        user_data.erase_streamed(store, stream, entry)
        number += 1
    return Erased("pushes for hosted applications", number)


def _pushes(store: Store, user: User) -> Erased:
    """Leave a result that the initiator has not been notified of: it is notified first."""
    erased = left = 0
    for part in user_data.parts(store, user):
        if part.is_final and not part.is_owed and user_data.erase_part(store, part):
            erased += 1
            traces.forget(store, part.push.ref, part.index)
        else:
            left += 1
    return Erased("results of pushes", erased, left)


def _records(store: Store, user: User) -> Erased:
    names = user_data.keys_by_target(store, user)
    live = [
        is_live and name.startswith("session:")
        for name, is_live in zip(names, user_data.is_live(store, names), strict=True)
    ]
    gone = [name for name, is_live in zip(names, live, strict=True) if not is_live]
    return Erased("capabilities, watches and the like", user_data.delete(store, gone), sum(live))


def _registrations(store: Store, user: User) -> Erased:
    shard = store.layout.user_shard
    names = [keys.registration(shard(aor), aor) for aor in user.identities]
    names += [keys.alias(shard(tel), tel) for tel in user.aliases]
    return Erased("registrations and aliases", user_data.delete(store, names))
