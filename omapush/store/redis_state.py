"""How Redis is: what it says of itself, and how long it takes to answer."""

from __future__ import annotations

from typing import Any, NamedTuple

from omapush.store.client import Store, servers, store_errors


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
