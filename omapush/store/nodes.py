"""The processes of all nodes, and the orders of operators to nodes; pushes need neither."""

from __future__ import annotations

from typing import Final

from omapush.errors import StoreUnavailable
from omapush.push.nodes import Orders, Sign, orders_of
from omapush.store import client, codec, keys
from omapush.store.client import Store, ask_all, store_errors

LEASE_MS: Final = 5_000
"After this time without a sign of life, a process counts as gone."


def look(store: Store, node: str) -> tuple[Orders, int]:
    """
    Return the orders to a node, and the time by the clock of Redis, in ms; in a Cluster, by the clock of one
    master.
    """
    fields = ask_all(store, "orders", [("HGETALL", keys.orders(node))])[0]
    with store_errors("time"):
        servers = client.servers(store)
        time: tuple[int, int] = servers[0].time() if servers else (0, 0)
    if not servers:
        raise StoreUnavailable("time: no master of the Cluster is known")
    if isinstance(fields, list):
        fields = dict(zip(fields[::2], fields[1::2], strict=True))
    words = {name.decode(): value.decode() for name, value in fields.items()}
    return orders_of(words), int(time[0]) * 1000 + int(time[1]) // 1000


def announce(store: Store, sign: Sign) -> None:
    """Store a sign of life of a process; without another one within `LEASE_MS`, it counts as gone."""
    commands = [
        ("SET", keys.process(sign.name), codec.encode(sign), "PX", LEASE_MS),
        ("SADD", keys.PROCESSES, sign.name),
    ]
    ask_all(store, "announce process", commands)


def retire(store: Store, name: str) -> None:
    """Delete the entry of a process that is stopped."""
    ask_all(store, "retire process", [("DEL", keys.process(name)), ("SREM", keys.PROCESSES, name)])


def live(store: Store) -> list[Sign]:
    """Return the live processes of all nodes; two round trips."""
    names = [name.decode() for name in ask_all(store, "processes", [("SMEMBERS", keys.PROCESSES)])[0]]
    found = ask_all(store, "processes", [("GET", keys.process(name)) for name in names])
    gone = [name for name, data in zip(names, found, strict=True) if data is None]
    if gone:  # one that was only late says at its next sign that it is there
        ask_all(store, "processes", [("SREM", keys.PROCESSES, *gone)])
    return [codec.sign(data) for data in found if data is not None]


def drain(store: Store, node: str, now_ms: int) -> None:
    """Order a node to finish its work and take none; this survives restarts, until `undrain`."""
    ask_all(store, "drain", [("HSETNX", keys.orders(node), "drain_ms", now_ms)])


def undrain(store: Store, node: str) -> None:
    """Order a node to serve again."""
    ask_all(store, "undrain", [("HDEL", keys.orders(node), "drain_ms")])


def set_log_level(store: Store, node: str, level: str, until_ms: int) -> None:
    """
    Order the processes of a node to log at this level until then; an empty level means the configured one.
    """
    ask_all(store, "log level", [("HSET", keys.orders(node), "log_level", level, "log_until_ms", until_ms)])


def order_reload(store: Store, node: str, name: str, phase: str) -> None:
    """Order the processes of a node to `check` their files, or to `take` what they have checked."""
    ask_all(store, "reload", [("HSET", keys.orders(node), "reload", name, "phase", phase)])
