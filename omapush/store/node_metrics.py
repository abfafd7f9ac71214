"""Metrics that a process without an HTTP address leaves for the api of its node."""

from __future__ import annotations

from typing import Final

from omapush.store import keys
from omapush.store.client import Store, ask_all

_BELIEVED_S: Final = 30
"A process that has not told anything for so long is not there."


def leave(store: Store, node: str, exposition: bytes) -> None:
    """Leave the metrics of a node's notifier, as text in Prometheus format."""
    ask_all(store, "leave metrics", [("SET", keys.node_metrics(node), exposition, "EX", _BELIEVED_S)])


def found(store: Store, node: str) -> bytes:
    """Return what was left last; empty: nothing for half a minute."""
    text: bytes | None = ask_all(store, "metrics of the notifier", [("GET", keys.node_metrics(node))])[0]
    return text or b""
