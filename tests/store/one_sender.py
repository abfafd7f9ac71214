"""The one sender of a test: it owns all shards, and takes what is ready."""

from __future__ import annotations

from omapush.store import outbox
from omapush.store.client import Store
from omapush.store.outbox import Owner, Taken

ONE = Owner("node-1", "run-a", 0)
SHARDS = range(4)
NEVER_MS = 4_000_000_000_000
ALICE = "sip:alice@home1.example"


def take(store: Store) -> list[Taken]:
    """All that is ready, at most 64 of a shard."""
    outbox.claim(store, SHARDS, ONE, lease_ms=60_000, transaction_ms=40_000)
    found = outbox.take(store, SHARDS, ONE, transaction_ms=40_000, most=64)
    return [one for batch in found.values() for one in batch or () if isinstance(one, Taken)]
