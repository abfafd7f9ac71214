"""The sender processes of all nodes, which share the user shards among them."""

from __future__ import annotations

from omapush.store import keys
from omapush.store.client import Call, Store, ask_all, call
from omapush.store.outbox import Owner


def sign_of_life(store: Store, owner: Owner, *, lease_ms: int) -> int:
    """Tell all nodes that this sender process lives; returns how many do."""
    process = f"{owner.node}/{owner.sender}"
    return int(call(store, Call("omapush_sign_of_life", [keys.SENDERS], [process, 2 * lease_ms])))


def leave(store: Store, owner: Owner) -> None:
    """Tell all nodes that this sender process wants no shards."""
    ask_all(store, "leave", [("ZREM", keys.SENDERS, f"{owner.node}/{owner.sender}")])
