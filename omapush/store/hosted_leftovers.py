"""Pushes for hosted applications that no notifier tells a back end of any more: their table is gone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from omapush.store import keys
from omapush.store.client import Store, ask_all

_PARTS: Final = ("push", "state", "due", "open", "failed")


def serve(store: Store, applications: Sequence[str], now_ms: int) -> None:
    """Note that the back ends of these applications are being told."""
    if applications:
        fields = [field for one in applications for field in (one, now_ms)]
        ask_all(store, "served applications", [("HSET", keys.HOSTED_SERVED, *fields)])


def unserved(store: Store, served: Iterable[str]) -> dict[str, int]:
    """Return applications that a notifier ever served, but for these, and until when (ms) one did."""
    # as either protocol of Redis gives them
    found = ask_all(store, "unserved applications", [("HGETALL", keys.HOSTED_SERVED)])[0]
    pairs = found.items() if isinstance(found, dict) else zip(found[::2], found[1::2], strict=True)
    known = {name.decode(): int(at_ms) for name, at_ms in pairs}
    return {name: at_ms for name, at_ms in known.items() if name not in set(served)}


def number(store: Store, application: str) -> int:
    """Return how many pushes for an application wait or failed."""
    names = (keys.hosted(shard, "push", application) for shard in range(store.layout.user_shards))
    return sum(ask_all(store, "count hosted", [("HLEN", name) for name in names]))


def forget(store: Store, application: str, *, streams: bool = False) -> int:
    """
    Take out all pushes for an application, with `streams` those that lie in streams too; return how many.

    One that a notifier has borrowed just now may still reach its back end.
    """
    shards = range(store.layout.user_shards)
    gone = number(store, application)
    parts: tuple[str, ...] = _PARTS
    if streams:
        names = (keys.hosted(shard, "stream", application) for shard in shards)
        gone += sum(ask_all(store, "count streams", [("XLEN", name) for name in names]))
        parts = (*_PARTS, "stream")
    unlinked = [("UNLINK", *(keys.hosted(shard, part, application) for part in parts)) for shard in shards]
    ask_all(store, "forget hosted", unlinked)
    no_more(store, application)
    return gone


def no_more(store: Store, application: str) -> None:
    """Forget that an application was ever served: nothing of it is left."""
    ask_all(store, "forget application", [("HDEL", keys.HOSTED_SERVED, application)])
