"""How Redis is: what it says of itself, and how long it takes to answer."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from omapush.store import keys
from omapush.store.client import Call, Store, call_all, servers, store_errors

_NEVER_MS: Final = 10**12


class RedisState(NamedTuple):
    """One look at one server."""

    version: str
    role: str
    used_bytes: int
    limit_bytes: int
    "0: as much as the machine has."
    clients: int
    persistence: str
    "What is wrong with its append-only file, or empty."
    replicas: int
    uptime_s: int


def require_writes(store: Store) -> None:
    """
    Return when Redis takes what we store; nothing is changed.

    A full Redis, a replica, or one that cannot write its file answers questions all the same. It refuses
    functions that may write, though, before they have begun: here one that looks for what never is.

    Raises:
        StoreUnavailable: it does not, or does not answer; the text says why.
    """
    shards = range(store.layout.user_shards)
    call_all(store, (Call("omapush_overdue", [keys.outbox(one, "taken")], [_NEVER_MS, 1]) for one in shards))


def read(store: Store) -> list[RedisState]:
    """Return what Redis says of itself: one server, or the masters of a cluster."""
    with store_errors("info"):
        found: list[Any] = [server.info() for server in servers(store)]
    return [_state(info) for info in found]


def _state(info: dict[str, Any]) -> RedisState:
    return RedisState(
        version=str(info.get("redis_version", "")),
        role=str(info.get("role", "")),
        used_bytes=int(info.get("used_memory", 0)),
        limit_bytes=int(info.get("maxmemory", 0)),
        clients=int(info.get("connected_clients", 0)),
        persistence=_persistence(info),
        replicas=int(info.get("connected_slaves", 0)),
        uptime_s=int(info.get("uptime_in_seconds", 0)),
    )


def _persistence(info: dict[str, Any]) -> str:
    if not int(info.get("aof_enabled", 0)):
        return "append-only file is off"
    if info.get("aof_last_write_status", "ok") != "ok":
        return "append-only file cannot be written"
    return ""
