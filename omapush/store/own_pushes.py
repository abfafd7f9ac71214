"""The pushes of initiators: in order of time, and whether a submission is a repeat."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from omapush.push.values import Push
from omapush.store import codec, keys
from omapush.store.client import Command, Store, ask_all

_KEPT_S: Final = 31 * 86_400
"How long the list of an initiator stays that is not in the configuration any more."
_PRUNED: Final = 500
"Pushes of one list that are looked at in one go."


class Place(NamedTuple):
    """Where a push stands in its initiator's list, newest first."""

    accepted_ms: int
    ref: str


class Summary(NamedTuple):
    """One push without its recipients."""

    push: Push
    recipients: int
    open: int
    "Recipients without a final result."
    subscribers_state: str
    "Of a push to subscribers: running, paused, aborted or finished; else empty."


def fingerprint(store: Store, ref: str) -> bytes | None:
    """Return what the submission of a known push was like; None when that, or the push, is not known."""
    key = keys.push(store.layout.push_shard(ref), ref)
    found: bytes | None = ask_all(store, "fingerprint", [("HGET", key, "print")])[0]
    return found


def is_stored(store: Store, push: Push) -> bool:
    """Tell whether what is known by the reference of a push is this very one, and none before it."""
    key = keys.push(store.layout.push_shard(push.ref), push.ref)
    record: bytes | None = ask_all(store, "is stored", [("HGET", key, "record")])[0]
    return record is not None and codec.push(record) == push


def page(
    store: Store,
    initiators: Sequence[str],
    *,
    before: Place | None,
    since_ms: int,
    until_ms: int,
    most: int,
) -> list[Place]:
    """Return the newest pushes of these initiators in this time, at most `most`, older than `before`."""
    lists = [keys.own(number, one) for one in initiators for number in range(store.layout.push_shards)]
    return page_of(store, lists, before=before, since_ms=since_ms, until_ms=until_ms, most=most)


def page_of(
    store: Store, lists: Sequence[str], *, before: Place | None, since_ms: int, until_ms: int, most: int
) -> list[Place]:
    """Return the newest of several lists, sorted sets of references scored by acceptance, in the same way."""
    newest = until_ms if before is None else min(until_ms, before.accepted_ms)
    unread = list(lists)
    found: list[Place] = []
    offset = 0
    while unread:  # once, and again for lists with pushes of the very time of `before`
        bounds = (newest, since_ms, "BYSCORE", "REV", "LIMIT", offset, most, "WITHSCORES")
        rows = ask_all(store, "own pushes", (("ZRANGE", key, *bounds) for key in unread))
        further = []
        for key, row in zip(unread, rows, strict=True):
            found_here = places(row)
            older = [place for place in found_here if before is None or place < before]
            found += older
            if len(found_here) == most and len(older) < most:
                further.append(key)
        unread, offset = further, offset + most
    return sorted(found, reverse=True)[:most]


def places(row: list[Any]) -> list[Place]:
    """Return members with their scores, as either protocol of Redis gives them, as places."""
    pairs = row if row and isinstance(row[0], list) else zip(row[::2], row[1::2], strict=True)
    return [Place(int(score), member.decode()) for member, score in pairs]


def summaries(store: Store, refs: Sequence[str]) -> list[Summary | None]:
    """Return pushes without their recipients; None for each that is forgotten."""
    names = ("record", "count", "open", "shards", "total", "done", "state")
    commands: Iterator[Command] = (
        ("HMGET", keys.push(store.layout.push_shard(ref), ref), *names) for ref in refs
    )
    return [_summary(*row) for row in ask_all(store, "summaries", commands)]


def _summary(record: bytes | None, count: Any, open_: Any, *fan_out: Any) -> Summary | None:
    if record is None:
        return None
    shards, total, done, state = fan_out
    told = "" if shards is None else "finished" if shards == b"0" and total == done else state.decode()
    return Summary(codec.push(record), int(count or 0), int(open_ or 0), told)


def forget(store: Store, initiator: str, refs: Sequence[str]) -> None:
    """Take pushes out of the initiator's list."""
    commands: Iterator[Command] = (
        ("ZREM", keys.own(store.layout.push_shard(ref), initiator), ref) for ref in refs
    )
    ask_all(store, "forget pushes", commands)


class Pruner:
    """Takes pushes that are forgotten out of the lists of their initiators, going round and round."""

    def __init__(self, store: Store, initiators: Sequence[str], *, kept_s: int = 0) -> None:
        self._store = store
        self._lists = [(number, name) for name in initiators for number in range(store.layout.push_shards)]
        self._kept_s = max(_KEPT_S, kept_s)
        self._from: dict[tuple[int, str], int] = {}

    def prune(self, before_ms: int) -> bool:
        """Look at some pushes of each list that were accepted before `before_ms`; False: it was the rest."""
        found = ask_all(self._store, "prune", (self._wanted(one, before_ms) for one in self._lists))
        for one, row in zip(self._lists, found, strict=True):
            found_here = places(row)
            self._prune(*one, [place.ref for place in found_here])
            self._from[one] = found_here[-1].accepted_ms + 1 if len(found_here) == _PRUNED else 0
        ask_all(self._store, "prune", (("EXPIRE", keys.own(*one), self._kept_s) for one in self._lists))
        return any(self._from.values())

    def _wanted(self, one: tuple[int, str], before_ms: int) -> Command:
        first = self._from.get(one, 0)
        return ("ZRANGE", keys.own(*one), first, before_ms, "BYSCORE", "LIMIT", 0, _PRUNED, "WITHSCORES")

    def _prune(self, number: int, initiator: str, refs: Sequence[str]) -> None:
        known = ask_all(self._store, "prune", (("EXISTS", keys.push(number, ref)) for ref in refs))
        gone = [ref for ref, is_known in zip(refs, known, strict=True) if not is_known]
        if gone:
            ask_all(self._store, "prune", [("ZREM", keys.own(number, initiator), *gone)])
