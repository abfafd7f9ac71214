"""
Our own subscriptions: each record is changed together with its due time; and what was learnt about cores.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from omapush.push.watch import PRESENCE, REG, Core, Package, Place, Subject, Watch, is_content, place_of
from omapush.store import codec, keys
from omapush.store.client import Call, Store, ask_all, call_all, store_errors

KEPT_AFTER_END_MS = 86_400_000
"How long a watch is kept after its subscription, so that its last state can be shown."
CORE_KEPT_S = 86_400
"How long knowledge about a core is used without being confirmed."


class Stored(NamedTuple):
    """A watch as it is in Redis."""

    watch: Watch | None
    "None: absent, or unreadable, which is treated in the same way."
    data: bytes
    "The bytes that a change has to find unchanged; empty if absent."


class Change(NamedTuple):
    """One watch to replace."""

    was: bytes
    "As read: `Stored.data`."
    watch: Watch


def want(store: Store, aors: Iterable[str], now_ms: int, package: Package = REG) -> None:
    """Note users that may have to be watched; users with a due time keep it."""
    _mark(store, aors, now_ms, package, only_new=True)


def hurry(store: Store, aors: Iterable[str], now_ms: int, package: Package = REG) -> None:
    """Make the watches of users due now, because something contradicts the record."""
    _mark(store, aors, now_ms, package, only_new=False)


def _mark(store: Store, aors: Iterable[str], now_ms: int, package: Package, *, only_new: bool) -> None:
    by_shard: dict[int, dict[str, int]] = {}
    for aor in aors:
        members = by_shard.setdefault(store.layout.user_shard(aor), {})
        members[_member(Subject(aor, package))] = now_ms
    if not by_shard:
        return
    with store_errors("mark watches"):
        pipe = store.db.pipeline(transaction=False)
        for number, members in by_shard.items():
            pipe.zadd(keys.watches_due(number), dict(members), nx=only_new)
        pipe.execute()


def due(store: Store, numbers: Sequence[int], now_ms: int, *, most: int) -> list[Subject]:
    """Return watches that are due now, up to `most` of each shard."""
    answers = ask_all(
        store,
        "due watches",
        (("ZRANGEBYSCORE", keys.watches_due(number), "-inf", now_ms, "LIMIT", 0, most) for number in numbers),
    )
    return [_subject(member.decode()) for found in answers for member in found]


def put_off(store: Store, dues: Mapping[Subject, int]) -> None:
    """Look at watches again at these times, in ms, and not before; what is stored of them stays."""
    if not dues:
        return
    with store_errors("put off watches"):
        pipe = store.db.pipeline(transaction=False)
        for subject, due_ms in dues.items():
            number = store.layout.user_shard(subject.aor)
            pipe.zadd(keys.watches_due(number), {_member(subject): due_ms}, xx=True)
        pipe.execute()


def _member(subject: Subject) -> str:
    """The reg event's is the address of record alone, as records of the first releases have it."""
    return subject.aor if subject.package == REG else f"{subject.package} {subject.aor}"


def _subject(member: str) -> Subject:
    package, space, aor = member.partition(" ")
    known = space and (package == PRESENCE or is_content(package))
    return Subject(aor, package) if known else Subject(member, REG)


def read(store: Store, aor: str, package: Package = REG) -> Watch | None:
    """Return the watch of a user, or None."""
    return read_all(store, [place_of(Subject(aor, package))])[0].watch


def read_all(store: Store, places: Sequence[Place]) -> list[Stored]:
    """Return watches by their places."""
    answers = ask_all(store, "read watches", (("GET", _key(store, place)) for place in places))
    return [_stored(data) for data in answers]


def replace(store: Store, changes: Sequence[Change]) -> list[bool]:
    """Replace watches, each together with its due time; False if another writer was faster."""
    by_shard: dict[int, list[int]] = {}
    for index, change in enumerate(changes):
        by_shard.setdefault(store.layout.user_shard(change.watch.aor), []).append(index)
    answers = call_all(
        store,
        (
            _replacing(store, number, [changes[index] for index in places])
            for number, places in by_shard.items()
        ),
    )
    won: dict[int, bool] = {}
    for places, answer in zip(by_shard.values(), answers, strict=True):
        won.update(zip(places, (one == 1 for one in answer), strict=True))
    return [won[index] for index in range(len(changes))]


def _replacing(store: Store, number: int, changes: Sequence[Change]) -> Call:
    names = [keys.watches_due(number)]
    args: list[str | bytes | int] = []
    for was, watch in changes:
        subject = Subject(watch.aor, watch.package)
        names.append(_key(store, place_of(subject)))
        args += (_member(subject), was, codec.encode(watch), _lifetime_ms(watch), watch.due_ms)
    return Call("omapush_replace_watches", names, args)


def _lifetime_ms(watch: Watch) -> int:
    return max(watch.expires_ms - watch.at_ms, watch.due_ms - watch.at_ms, 0) + KEPT_AFTER_END_MS


def _key(store: Store, place: Place) -> str:
    return keys.watch(store.layout.target_shard(place.target), *place)


def _stored(data: bytes | None) -> Stored:
    """Treat a broken record as absent: its dialog is refused, and a new one is begun."""
    try:
        return Stored(None if data is None else codec.watch(data), data or b"")
    except codec.BrokenRecord:
        return Stored(None, data or b"")


def cores(store: Store, s_cscfs: Iterable[str]) -> dict[str, Core]:
    """Return the knowledge about S-CSCFs, by URI."""
    uris = list(dict.fromkeys(s_cscfs))
    with store_errors("read cores"):
        pipe = store.db.pipeline(transaction=False)
        for uri in uris:
            pipe.hmget(keys.core(uri), ["identity", "push_tags"])
        answers = pipe.execute()
    return {
        uri: Core((identity or b"").decode(), push_tags == b"1")
        for uri, (identity, push_tags) in zip(uris, answers, strict=True)
    }


def remember_core(store: Store, s_cscf: str, core: Core) -> None:
    """Store knowledge about an S-CSCF; fields that `core` leaves open stay as they are."""
    if core == Core():
        return
    with store_errors("remember core"):
        pipe = store.db.pipeline(transaction=False)
        if core.identity:
            pipe.hset(keys.core(s_cscf), "identity", core.identity)
        if core.push_tags:
            pipe.hset(keys.core(s_cscf), "push_tags", "1")
        pipe.expire(keys.core(s_cscf), CORE_KEPT_S)
        pipe.execute()
