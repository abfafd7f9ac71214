"""Results that push initiators have to be told: lent to one notifier at a time until it was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from omapush.push.values import Event, Push, Recipient, Result
from omapush.store import codec, keys
from omapush.store.client import Call, Store, call, call_all, store_errors
from omapush.store.codec import BrokenRecord

_TRY_MS: Final = 600_000
"How long after the time of its next try a result is still known: notifiers may be late."


class Due(NamedTuple):
    """One result that its initiator has to be told."""

    push: Push
    recipient: Recipient
    result: Result


def borrow_due(
    store: Store, *, now_ms: int, lease_ms: int, most: int
) -> list[tuple[str, Due | BrokenRecord | None]]:
    """
    Borrow results that initiators have to be told now, each with its name for settle().

    None in place of a result whose push was forgotten meanwhile, and of one that cannot be read why. What is
    not settled within `lease_ms` is due again.
    """
    answers = call_all(
        store,
        (
            Call("omapush_borrow", [keys.notify(number)], [now_ms, lease_ms, most])
            for number in range(store.layout.push_shards)
        ),
    )
    return _read(store, [member.decode() for answer in answers for member in answer])


def _read(store: Store, members: Sequence[str]) -> list[tuple[str, Due | BrokenRecord | None]]:
    with store_errors("results that are owed"):
        pipe = store.db.pipeline(transaction=False)
        for member in members:
            ref, index = split_member(member)
            pipe.hmget(keys.push(store.layout.push_shard(ref), ref), "record", f"a{index}", f"r{index}")
        rows = pipe.execute()
    return [(member, _due(*row)) for member, row in zip(members, rows, strict=True)]


def _due(record: bytes | None, recipient: bytes | None, result: bytes | None) -> Due | BrokenRecord | None:
    if record is None or recipient is None or result is None:
        return None
    try:
        return Due(codec.push(record), codec.recipient(recipient), codec.result(result))
    except BrokenRecord as error:  # those that were borrowed with it are told
        return error


def split_member(member: str) -> tuple[str, int]:
    """Return (push ref, recipient index) of a name that borrow_due gave."""
    ref, _, index = member.partition(".")
    return ref, int(index)


def borrow_on(store: Store, member: str, *, until_ms: int, to_ms: int) -> bool:
    """
    Have a result that is lent until `until_ms` lent until `to_ms`.

    False when it is ours no more: somebody borrowed it after its time, or has settled it.
    """
    call_on = Call("omapush_borrow_on", [_notify_of(store, member)], [member, until_ms, to_ms])
    return bool(call(store, call_on))


def _notify_of(store: Store, member: str) -> str:
    return keys.notify(store.layout.push_shard(split_member(member)[0]))


def borrow_again(
    store: Store, lent: Mapping[str, int], *, to_ms: int
) -> list[tuple[str, Due | BrokenRecord | None]]:
    """
    Have results that are lent to us until the times in `lent`, by name, lent until `to_ms`.

    Answers as borrow_due; those that are ours no more are left out.
    """
    answers = call_all(
        store,
        (
            Call("omapush_borrow_on", [_notify_of(store, member)], [member, until_ms, to_ms])
            for member, until_ms in lent.items()
        ),
    )
    return _read(store, [member for member, is_ours in zip(lent, answers, strict=True) if is_ours])


class Settlement(NamedTuple):
    """What came of one try to tell a result."""

    member: str
    again_ms: int
    "When it is due again; 0: never, it is closed for good."
    event: Event
    is_noted: bool = True
    "False: the event log of the push has enough of these."


def settle_all(store: Store, settlements: Sequence[Settlement]) -> None:
    """End tries; each is noted as a whole, and may be noted again."""
    call_all(store, (_settle(store, one) for one in settlements))


def _settle(store: Store, one: Settlement) -> Call:
    ref = split_member(one.member)[0]
    number = store.layout.push_shard(ref)
    names = [keys.notify(number), keys.push(number, ref), keys.push_log(number, ref)]
    kept_ms = max(one.again_ms - one.event.at_ms, 0) + _TRY_MS
    line = codec.encode(one.event) if one.is_noted else b""
    return Call("omapush_settle", names, [one.member, one.again_ms, line, kept_ms])


def count(store: Store) -> int:
    """Return how many notifications are owed."""
    with store_errors("owed"):
        pipe = store.db.pipeline(transaction=False)
        for number in range(store.layout.push_shards):
            pipe.zcard(keys.notify(number))
        return int(sum(pipe.execute()))
