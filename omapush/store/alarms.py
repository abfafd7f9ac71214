"""Alarms: those that are active, those that were raised and cleared, and which notifier keeps them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, Final

from omapush.errors import StoreUnavailable
from omapush.push import alarms
from omapush.push.alarm_rules import NODE_FORGOTTEN_MS, NodeSeen
from omapush.push.alarms import Alarm, AlarmChange
from omapush.store import codec, keys, redis_state
from omapush.store.client import Call, Store, ask_all, call
from omapush.store.codec import BrokenRecord

MOST_CHANGES: Final = 1_000
"Largest number of changes in the history."


def standing(store: Store, now_ms: int) -> list[Alarm]:
    """
    Return the active alarms, the most severe first; one round trip.

    Conditions that prevent alarms from being stored are among them: Redis is away, or no notifier keeps
    alarms.
    """
    try:
        keeper, found = ask_all(store, "alarms", [("GET", keys.ALARM_KEEPER), ("HVALS", keys.ALARM_STANDING)])
    except StoreUnavailable as error:
        return [alarms.at_sight("store-away", str(error), now_ms)]
    known = [one for data in found if (one := _readable(data)) is not None]
    if keeper is None:
        known.append(_unwatched(store, now_ms))
    return alarms.by_severity(known)


def _unwatched(store: Store, now_ms: int) -> Alarm:
    """The alarm for the case that no notifier checks, or that none could store what it found."""
    try:
        redis_state.require_writes(store)
    except StoreUnavailable as error:
        return alarms.at_sight("store-away", str(error), now_ms)
    return alarms.at_sight("alarms-unwatched", "nobody has looked for some seconds", now_ms)


def _readable(data: bytes) -> Alarm | None:
    with suppress(BrokenRecord):
        return codec.alarm(data)
    return None


def history(store: Store, most: int = MOST_CHANGES) -> list[AlarmChange]:
    """Return the alarms that were raised and cleared, the latest first."""
    found = ask_all(store, "alarm history", [("ZRANGE", keys.ALARM_HISTORY, 0, most - 1, "REV")])[0]
    return [codec.alarm_change(data) for data in found]


# What notifiers do --------------------------------------------------------------------------------


def keep(store: Store, who: str, lease_ms: int) -> bool:
    """Become or stay the one that keeps the alarms; False: another notifier does."""
    answer = call(store, Call("omapush_keep_alarms", [keys.ALARM_KEEPER], [who, lease_ms]))
    return bool(answer)


def stored(store: Store) -> list[Alarm]:
    """Return the alarms that a keeper has stored."""
    found = ask_all(store, "alarms", [("HVALS", keys.ALARM_STANDING)])[0]
    return [one for data in found if (one := _readable(data)) is not None]


def change(store: Store, who: str, changes: Sequence[AlarmChange], now_standing: Iterable[Alarm]) -> bool:
    """Store the changes and the active alarms; False: `who` is not the keeper any more."""
    args: list[Any] = [who, MOST_CHANGES, len(changes)]
    for one in changes:
        args += (one.at_ms, codec.encode(one))
    for one in changes:
        if not one.is_raised:
            args += (_field(one.alarm), b"")
    for alarm in now_standing:
        args += (_field(alarm), codec.encode(alarm))
    names = [keys.ALARM_KEEPER, keys.ALARM_STANDING, keys.ALARM_HISTORY]
    return bool(call(store, Call("omapush_change_alarms", names, args)))


def _field(alarm: Alarm) -> str:
    return f"{alarm.name}|{alarm.subject}"


def report(store: Store, seen: NodeSeen) -> None:
    """Store what a notifier sees of its node."""
    ask_all(store, "report node", [("HSET", keys.ALARM_NODES, seen.node, codec.encode(seen))])


def nodes(store: Store, now_ms: int) -> list[NodeSeen]:
    """Return what all nodes have stored last; a node that is silent for too long is forgotten."""
    flat = ask_all(store, "nodes", [("HGETALL", keys.ALARM_NODES)])[0]
    rows = flat.items() if isinstance(flat, dict) else zip(flat[::2], flat[1::2], strict=True)
    found: list[NodeSeen] = []
    gone: list[bytes] = []
    for name, data in rows:
        try:
            seen = codec.node_seen(data)
        except BrokenRecord:
            gone.append(name)
            continue
        if now_ms - seen.at_ms > NODE_FORGOTTEN_MS:
            gone.append(name)
        else:
            found.append(seen)
    if gone:
        ask_all(store, "forget nodes", [("HDEL", keys.ALARM_NODES, *gone)])
    return found


def leave(store: Store, who: str, node: str) -> None:
    """Forget a node whose notifier is stopped, and let another notifier keep the alarms at once."""
    names = [keys.ALARM_KEEPER, keys.ALARM_NODES]
    call(store, Call("omapush_leave_alarms", names, [who, node]))
