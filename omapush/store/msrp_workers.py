"""Media workers: how they show that they live, and how they hear of sessions that concern them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from omapush.push.media_worker import MediaWorker
from omapush.store import codec, keys
from omapush.store.client import Store, ask_all

_UNHEARD_S: Final = 60
"What a worker does not hear in this time it will not: it is dead, or was told again."
_MOST_HEARD: Final = 1_000


def announce(store: Store, worker: MediaWorker, lease_ms: int) -> None:
    """Show that a worker lives; unless it says so again within `lease_ms`, it counts as dead."""
    commands = [
        ("SET", keys.msrp_worker(worker.name), codec.encode(worker), "PX", lease_ms),
        ("SADD", keys.MSRP_WORKERS, worker.name),
    ]
    ask_all(store, "announce media worker", commands)


def retire(store: Store, name: str) -> None:
    """Forget a worker that ends by itself."""
    commands = [
        ("DEL", keys.msrp_worker(name)),
        ("SREM", keys.MSRP_WORKERS, name),
        ("DEL", keys.msrp_told(name)),
    ]
    ask_all(store, "retire media worker", commands)


def live(store: Store) -> list[MediaWorker]:
    """Return the workers that live, of all nodes; two round trips."""
    names = [name.decode() for name in ask_all(store, "media workers", [("SMEMBERS", keys.MSRP_WORKERS)])[0]]
    found = ask_all(store, "media workers", [("GET", keys.msrp_worker(name)) for name in names])
    gone = [name for name, data in zip(names, found, strict=True) if data is None]
    if gone:  # a worker that only was late says at its next sign that it is there
        ask_all(store, "media workers", [("SREM", keys.MSRP_WORKERS, *gone)])
    return [codec.media_worker(data) for data in found if data is not None]


def living(store: Store, names: Iterable[str]) -> set[str]:
    """Return which of these workers live; one round trip."""
    asked = sorted(set(names))
    found = ask_all(store, "live media workers", [("EXISTS", keys.msrp_worker(name)) for name in asked])
    return {name for name, lives in zip(asked, found, strict=True) if lives}


def tell(store: Store, worker: str, session_ids: Sequence[str]) -> None:
    """
    Have a worker look at sessions: something is to be begun, or to be stopped.

    Nothing but the ids is told, so telling twice does no harm; tell again what may not have been heard.
    """
    if session_ids:
        name = keys.msrp_told(worker)
        ask_all(store, "tell media worker", [("RPUSH", name, *session_ids), ("EXPIRE", name, _UNHEARD_S)])


def heard(store: Store, worker: str, wait_s: float) -> list[str]:
    """
    Return ids of sessions that this worker is to look at, in the order they were told.

    Blocks up to `wait_s` when there is none; that has to be less than `redis.timeout_ms`.
    """
    name = keys.msrp_told(worker)
    first = ask_all(store, "hear of sessions", [("BLPOP", name, wait_s)])[0]
    if not first:
        return []
    more = ask_all(store, "hear of sessions", [("LPOP", name, _MOST_HEARD)])[0] or []
    return list(dict.fromkeys(item.decode() for item in (first[1], *more)))
