"""Results whose event data records are to be written: borrowed shard by shard, with all that a record has."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from omapush.push.event_record import Carried, Charging, Known
from omapush.push.values import Event, Push, Recipient, Result, ticket
from omapush.store import codec, event_log, keys, owed, pushes, sessions, subscriptions
from omapush.store.client import Call, Command, Store, ask_all, call_all
from omapush.store.codec import BrokenRecord

KEPT_S: Final = 7 * 86_400
"For how long results are collected though nobody writes records any more."
_SHORT: Final = 500
"The event log of a push with more recipients is read only as far as its end reaches."
_LINES: Final = 5_000


class Waiting(NamedTuple):
    """One result that waits for its record."""

    shard: int
    id: str
    "Of its entry."
    ref: str
    recipient: int
    result: bytes
    "Empty: as the push has it."
    carried: Carried


def borrow(store: Store, who: str, *, lease_ms: int, age_ms: int, most: int) -> list[Waiting]:
    """Return what this process is to write now, oldest first, at most `most` of each push shard."""
    shards = range(store.layout.push_shards)
    answers = call_all(
        store,
        (
            Call(
                "omapush_borrow_records",
                [keys.recorder(number), keys.records(number)],
                [who, lease_ms, age_ms, most, KEPT_S],
            )
            for number in shards
        ),
    )
    return [
        _waiting(number, *entry)
        for number, entries in zip(shards, answers, strict=True)
        for entry in entries or ()
    ]


def _waiting(shard: int, entry_id: bytes, words: list[bytes]) -> Waiting:
    fields = dict(zip(words[::2], words[1::2], strict=True))
    ref, index = owed.split_member(fields[b"n"].decode())
    carried = Carried.read(fields.get(b"c", b"").decode("utf-8", "replace"))
    return Waiting(shard, entry_id.decode(), ref, index, fields.get(b"r", b""), carried)


def settle(store: Store, written: Iterable[Waiting]) -> None:
    """Take out what is written; twice is as good as once."""
    by_shard: dict[int, list[str]] = {}
    for one in written:
        by_shard.setdefault(one.shard, []).append(one.id)
    call_all(
        store,
        (Call("omapush_settle_records", [keys.records(number)], ids) for number, ids in by_shard.items()),
    )


def oldest_ms(store: Store) -> int:
    """Return when the oldest result came about whose record is not written; 0: none waits."""
    shards = range(store.layout.push_shards)
    commands: list[Command] = [("XRANGE", keys.records(number), "-", "+", "COUNT", 1) for number in shards]
    times = [int(row[0][0].partition(b"-")[0]) for row in ask_all(store, "oldest record", commands) if row]
    return min(times, default=0)


# What a record has --------------------------------------------------------------------------------


def read(store: Store, waiting: Sequence[Waiting]) -> list[Known | None]:
    """Return what is known about each; None for one whose result nobody knows any more."""
    rows = ask_all(store, "records", (_wanted(store, one) for one in waiting))
    logs = _logs(store, {one.ref: int(row[0] or 0) for one, row in zip(waiting, rows, strict=True)})
    found = [_known(one, row, logs[one.ref]) for one, row in zip(waiting, rows, strict=True)]
    return _with_carriers(store, waiting, found)


def _wanted(store: Store, one: Waiting) -> Command:
    key = keys.push(store.layout.push_shard(one.ref), one.ref)
    return ("HMGET", key, "count", "record", f"a{one.recipient}", f"r{one.recipient}")


def _logs(store: Store, counts: dict[str, int]) -> dict[str, tuple[Event, ...]]:
    wanted = {ref: None if 0 < count <= _SHORT else _LINES for ref, count in counts.items()}
    return dict(zip(counts, event_log.last_of(store, wanted), strict=True))


def _known(one: Waiting, row: Sequence[bytes | None], events: tuple[Event, ...]) -> Known | None:
    _, push, recipient, stored = row
    data = one.result or stored
    try:
        result: Result | None = codec.result(data) if data else None
        whose: Push | None = codec.push(push) if push else None
        whom: Recipient | None = codec.recipient(recipient) if recipient else None
    except BrokenRecord:
        return None
    return None if result is None else Known(whose, whom, result, events, one.carried, None)


def _with_carriers(
    store: Store, waiting: Sequence[Waiting], found: Sequence[Known | None]
) -> list[Known | None]:
    """Add what subscriptions and sessions that carried results say; those that are over may be gone."""
    in_sessions = _sessions(store, waiting, found)
    ids = sorted({one.carried.carrier for one in waiting if one.carried.carrier})
    subs = dict(zip(ids, subscriptions.read_all(store, ids), strict=True)) if ids else {}
    completed: list[Known | None] = []
    for one, known in zip(waiting, found, strict=True):
        sub = subs.get(one.carried.carrier)
        if known is not None and sub is not None:
            charging = Charging(sub.dialog.call_id, sub.icid)
            known = known._replace(of_carrier=charging, aor=sub.aor)
        elif known is not None and (held := in_sessions.get((one.ref, one.recipient))):
            name, charging = held
            known = known._replace(carried=known.carried._replace(carrier=name), of_carrier=charging)
        completed.append(known)
    return completed


def _sessions(
    store: Store, waiting: Sequence[Waiting], found: Sequence[Known | None]
) -> dict[tuple[str, int], tuple[str, Charging]]:
    """Session and charging of those that travelled in one."""
    tickets: dict[tuple[str, int], str] = {}
    for one, known in zip(waiting, found, strict=True):
        if known and known.result.method == "INVITE" and known.push and known.recipient:
            delivery = pushes.delivery_of(known.push, one.recipient, known.recipient, b"")
            tickets[one.ref, one.recipient] = ticket(delivery)
    if not tickets:
        return {}
    of: dict[str, Any] = sessions.carriers(store, list(tickets.values()))
    ids = sorted({name for name in of.values() if name})
    read = dict(zip(ids, sessions.read_all(store, ids), strict=True)) if ids else {}
    return {
        who: (of[place], Charging(session.dialog.call_id, session.dialog.call_id))
        for who, place in tickets.items()
        if (session := read.get(of.get(place, ""))) is not None
    }
