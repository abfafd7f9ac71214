"""Media workers: their signs of life, and the sessions that they are told about."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from omapush.push.media_worker import MediaWorker
from omapush.store import codec, keys
from omapush.store.client import Store, ask_all

_UNHEARD_S: Final = 60
"How long a word to a worker is kept: after that the worker is dead, or has been told again."
_MOST_HEARD: Final = 1_000


def announce(store: Store, worker: MediaWorker, lease_ms: int) -> None:
    """Store a sign of life of a worker; without another one within `lease_ms`, it counts as dead."""
    commands = [
        ("SET", keys.msrp_worker(worker.name), codec.encode(worker), "PX", lease_ms),
        ("SADD", keys.MSRP_WORKERS, worker.name),
    ]
    ask_all(store, "announce media worker", commands)


def retire(store: Store, name: str) -> None:
    """Delete the entry of a worker that is stopped."""
    commands = [
        ("DEL", keys.msrp_worker(name)),
        ("SREM", keys.MSRP_WORKERS, name),
        ("DEL", keys.msrp_told(name)),
    ]
    ask_all(store, "retire media worker", commands)


def live(store: Store) -> list[MediaWorker]:
    """Return the live workers of all nodes; two round trips."""
    names = [name.decode() for name in ask_all(store, "media workers", [("SMEMBERS", keys.MSRP_WORKERS)])[0]]
    found = ask_all(store, "media workers", [("GET", keys.msrp_worker(name)) for name in names])
    gone = [name for name, data in zip(names, found, strict=True) if data is None]
    if gone:  # a worker that only was late says at its next sign that it is there
        ask_all(store, "media workers", [("SREM", keys.MSRP_WORKERS, *gone)])
    return [codec.media_worker(data) for data in found if data is not None]


def living(store: Store, names: Iterable[str]) -> set[str]:
    """Return those of these workers that are alive; one round trip."""
    asked = sorted(set(names))
    found = ask_all(store, "live media workers", [("EXISTS", keys.msrp_worker(name)) for name in asked])
    return {name for name, lives in zip(asked, found, strict=True) if lives}


def tell(store: Store, worker: str, session_ids: Sequence[str]) -> None:
    """
    Tell a worker to look at sessions, because something has to be begun or stopped.

    Only the ids are told, so telling them twice does no harm. Tell again what the worker may not have heard.
    """
    if session_ids:
        name = keys.msrp_told(worker)
        ask_all(store, "tell media worker", [("RPUSH", name, *session_ids), ("EXPIRE", name, _UNHEARD_S)])


def heard(store: Store, worker: str, wait_s: float) -> list[str]:
    """
    Return ids of sessions that this worker has been told to look at, in order.

    Blocks up to `wait_s` if there is none; this has to be less than `redis.timeout_ms`.
    """
    name = keys.msrp_told(worker)
    first = ask_all(store, "hear of sessions", [("BLPOP", name, wait_s)])[0]
    if not first:
        return []
    more = ask_all(store, "hear of sessions", [("LPOP", name, _MOST_HEARD)])[0] or []
    return list(dict.fromkeys(item.decode() for item in (first[1], *more)))
