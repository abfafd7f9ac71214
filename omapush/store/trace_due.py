"""Pushes whose spans are to be made once they are over: lent to one notifier at a time."""

from __future__ import annotations

from collections.abc import Iterable

from omapush.store import keys
from omapush.store.client import Call, Store, ask_all, call_all


def borrow(store: Store, *, now_ms: int, lease_ms: int, most: int) -> list[str]:
    """Borrow references that are due; what is not taken out or put off within `lease_ms` is due again."""
    answers = call_all(
        store,
        (
            Call("omapush_borrow", [keys.trace_due(number)], [now_ms, lease_ms, most])
            for number in range(store.layout.push_shards)
        ),
    )
    return [ref.decode() for answer in answers for ref in answer]


def put_off(store: Store, later: Iterable[tuple[str, int]]) -> None:
    """Look at pushes again at these times (ms); one that was taken out meanwhile stays out."""
    ask_all(
        store,
        "trace due",
        (("ZADD", keys.trace_due(store.layout.push_shard(ref)), "XX", at_ms, ref) for ref, at_ms in later),
    )


def done(store: Store, refs: Iterable[str]) -> None:
    """Take pushes out."""
    ask_all(
        store, "trace done", (("ZREM", keys.trace_due(store.layout.push_shard(ref)), ref) for ref in refs)
    )
