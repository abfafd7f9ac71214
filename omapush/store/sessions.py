"""Sessions that carry large pushes: each record changed together with its places, one winner at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from omapush.errors import TryLater
from omapush.push.session import CONFIRMED, TAKEN, Ending, Session, ended, place_of
from omapush.store import codec, keys, outbox
from omapush.store.client import Call, Store, ask_all, call_all

_TRIES = 32
_REPLACED = 1
_PARTS = ("of", "live", "due")


class Moved(NamedTuple):
    """A delivery whose deliver-before is another while its session carries it."""

    ticket: str
    before_ms: int


class Change(NamedTuple):
    """The change that a rule makes to a session."""

    session: Session | None
    "The new record; None: the session is deleted."
    moved: tuple[Moved, ...] = ()


class Changed(NamedTuple):
    """A session that was changed."""

    session: Session
    gone: tuple[str, ...]
    "Tickets that were to be moved and had left the outbox: cancelled, or expired meanwhile."


Rule = Callable[[Session | None], Change | None]
"""
A rule: returns the change, or None if the session stays as it is. It is called again when another writer was
faster.
"""


def read_all(store: Store, ids: Sequence[str]) -> list[Session | None]:
    """Return sessions by their ids; a broken record counts as none."""
    return [_former(data) for data in _read_bytes(store, ids)]


def live_of(store: Store, aor: str, application: str) -> str:
    """Return the id of the session that carries pushes of an application to a user; empty: there is none."""
    name = keys.session_part(store.layout.user_shard(aor), "live")
    found = ask_all(store, "live session", [("HGET", name, place_of(aor, application))])[0]
    return found.decode() if found else ""


def carriers(store: Store, tickets: Sequence[str]) -> dict[str, str]:
    """
    Return the id of the session that carries each of these deliveries, or carried it last; most have none.
    """
    by_shard: dict[int, list[str]] = {}
    for ticket in tickets:
        by_shard.setdefault(store.layout.ticket_shard(ticket), []).append(ticket)
    answers = ask_all(
        store,
        "sessions of deliveries",
        (("HMGET", keys.session_part(number, "of"), *places) for number, places in by_shard.items()),
    )
    return {
        ticket: session_id.decode()
        for places, found in zip(by_shard.values(), answers, strict=True)
        for ticket, session_id in zip(places, found, strict=True)
        if session_id is not None
    }


def due(store: Store, numbers: Sequence[int], now_ms: int, *, most: int) -> list[str]:
    """Return ids of sessions that are due, up to `most` of each shard."""
    answers = ask_all(
        store,
        "due sessions",
        (
            ("ZRANGEBYSCORE", keys.session_part(number, "due"), "-inf", now_ms, "LIMIT", 0, most)
            for number in numbers
        ),
    )
    return [name.decode() for found in answers for name in found]


def discard(store: Store, session_id: str, place: str = "") -> None:
    """Remove all references to a session without a readable record; `place`: as `place_of` says."""
    was = _read_bytes(store, [session_id])[0]
    if _former(was) is None:
        call_all(store, [_call(store, session_id, [session_id, was or b"", b"", 0, place, "0"])])


def begin(store: Store, session: Session) -> bool:
    """Store a new session. False: another session carries pushes of the application to the user."""
    answer = call_all(store, [_placing(store, session.id, b"", None, Change(session))])[0]
    return bool(answer[0] == _REPLACED)


def change(store: Store, session_id: str, rule: Rule) -> Changed | None:
    """
    Change a session by a rule; None when it stays as it is.

    Raises:
        TryLater: others changed it so often that the rule never got through.
    """
    return change_all(store, {session_id: rule}).get(session_id)


def change_all(store: Store, rules: Mapping[str, Rule]) -> dict[str, Changed]:
    """
    Change sessions, each atomically by its rule; returns those that have changed.

    Raises:
        TryLater: others changed one so often that the rule never got through.
    """
    changed: dict[str, Changed] = {}
    waiting = list(rules)
    for _ in range(_TRIES):
        if not waiting:
            return changed
        asked: list[tuple[str, Session]] = []
        calls: list[Call] = []
        for name, was in zip(waiting, _read_bytes(store, waiting), strict=True):
            old = _former(was)
            wanted = rules[name](old)
            if wanted is None or wanted.session == old:
                continue
            shown = wanted.session or old
            assert shown is not None  # noqa: S101 - both None are equal
            asked.append((name, shown))
            calls.append(_placing(store, name, was or b"", old, wanted))
        answers = call_all(store, calls)
        waiting = []
        for (name, session), answer in zip(asked, answers, strict=True):
            if answer[0] == _REPLACED:
                changed[name] = Changed(session, tuple(ticket.decode() for ticket in answer[1:]))
            else:
                waiting.append(name)
    raise TryLater(f"session {waiting[0]} is changed too often at once")


def report(store: Store, session_id: str, path: str, ending: Ending) -> bool:
    """
    Store how the transfer of one stream ended, and have that looked at at once; False: it is known already.

    `path`: our own URI of the stream. For the media worker; what the delivery then becomes is decided by the
    owner of its user shard, which this wakes.
    """

    def rule(old: Session | None) -> Change | None:
        if old is None:
            return None
        found = tuple(one for one in old.streams if one.path == path and one.state == "agreed")
        if not found:
            return None
        after = ended(old, found, ending)
        return Change(after._replace(due_ms=ending.at_ms, at_ms=ending.at_ms, why=ending.why))

    changed = change(store, session_id, rule)
    if changed is None:
        return False
    outbox.wake_targets(store, [changed.session.aor])
    return True


def abort(store: Store, tickets: Sequence[str], why: str, now_ms: int) -> None:
    """
    Withdraw deliveries from the sessions that carry them, as after a cancel; most are carried by none.

    Their results are the caller's: a session only stops carrying them. The shard's owner sends CANCEL or BYE
    when nothing else is left in it, and the worker stops what it has begun.
    """
    by_session: dict[str, set[str]] = {}
    for ticket, session_id in carriers(store, tickets).items():
        by_session.setdefault(session_id, set()).add(ticket)
    change_all(
        store, {name: partial(_withdrawn, carried, why, now_ms) for name, carried in by_session.items()}
    )


def _withdrawn(tickets: set[str], why: str, now_ms: int, old: Session | None) -> Change | None:
    found = tuple(one for one in old.live if one.ticket in tickets) if old else ()
    if old is None or not found:
        return None
    after = ended(old, found, Ending("us", 0, why, now_ms))
    return Change(after._replace(due_ms=now_ms, at_ms=now_ms, why=why))


def arrived(store: Store, tickets: Sequence[str]) -> set[str]:
    """Return the deliveries that devices have received completely; their results may not be stored yet."""
    carrying = carriers(store, tickets)
    ids = list(dict.fromkeys(carrying.values()))
    taken = {
        stream.ticket
        for session in read_all(store, ids)
        for stream in (session.streams if session else ())
        if stream.ending is not None
        and stream.ending.by == "msrp"
        and stream.ending.code in (CONFIRMED, TAKEN)
    }
    return taken.intersection(carrying)


def open_sessions(store: Store) -> int:
    """Return how many open sessions there are."""
    numbers = range(store.layout.user_shards)
    lengths = ask_all(
        store, "open sessions", (("HLEN", keys.session_part(number, "live")) for number in numbers)
    )
    return int(sum(lengths))


def _placing(store: Store, session_id: str, was: bytes, old: Session | None, change: Change) -> Call:
    """The whole change as one call; a session that is deleted takes its entries in other structures along."""
    new = change.session
    shown = new or old
    place = place_of(shown.aor, shown.application) if shown else ""
    is_live = "1" if new is not None and new.live else "0"
    known = {one.ticket for one in old.streams} if old else set()
    joined = {one.ticket for one in new.streams} - known if new else set()
    moved = dict(change.moved)
    touched = [*joined, *(ticket for ticket in moved if ticket not in joined)] if new else sorted(known)
    args: list[str | bytes | int] = [
        *(session_id, was, codec.encode(new) if new else b"", new.due_ms if new else 0, place, is_live)
    ]
    for ticket in touched:
        args += (ticket, "1" if ticket in joined else "0", moved.get(ticket, 0))
    return _call(store, session_id, args)


def _call(store: Store, session_id: str, args: list[str | bytes | int]) -> Call:
    number = store.layout.target_shard(session_id)
    names = [
        keys.session(number, session_id),
        *(keys.session_part(number, part) for part in _PARTS),
        keys.outbox(number, "expiry"),
    ]
    return Call("omapush_place_session", names, args)


def _read_bytes(store: Store, ids: Sequence[str]) -> list[bytes | None]:
    commands = (("GET", keys.session(store.layout.target_shard(name), name)) for name in ids)
    return list(ask_all(store, "read sessions", commands)) if ids else []


def _former(data: bytes | None) -> Session | None:
    try:
        return None if data is None else codec.session(data)
    except codec.BrokenRecord:
        return None
