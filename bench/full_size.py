"""The product as an operator runs it: default windows, shards, workers and memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from redis import Redis

from tests.harness.stack import PARTS, Settings, Stack

WORKERS = 4
_DEFAULTS: Settings = {
    "sip": {"workers": WORKERS, "senders": 2, "window": 1_000, "shared_memory_mb": 1_024},
    "redis": {"user_shards": 16, "push_shards": 16, "timeout_ms": 1_000},
    "delivery": {"transaction_s": 40, "lease_ms": 5_000},
}
WATCHING: Settings = {"registration": {"watch": True}}
"Settings of a server that subscribes to the reg event of its users."


_REWRITTEN_S = 600


def stack(folder: Path, parts: Sequence[str] = PARTS, more: Settings | None = None) -> Stack:
    """Return an installation with the default sizes, not started yet; `more` settings are added."""
    settings: Mapping[str, Mapping[str, object]] = {**_DEFAULTS, **(more or {})}
    return Stack(folder, settings, parts)


def rewritten(stack: Stack) -> None:
    """
    Rewrite the append-only file, and return when that is done.

    Storing a great many records makes Redis rewrite it, by a process of its own beside what is measured
    then; a server that has run for days has that behind it.
    """
    redis = stack.db
    stack.parts["redis"].wait_until(
        lambda: not _is_rewriting(redis), _REWRITTEN_S, "an earlier rewrite to end"
    )
    redis.bgrewriteaof()
    stack.parts["redis"].wait_until(
        lambda: not _is_rewriting(redis), _REWRITTEN_S, "the append-only file rewritten"
    )


def _is_rewriting(redis: Redis) -> bool:
    state = redis.info("persistence")
    return bool(state["aof_rewrite_in_progress"] or state["aof_rewrite_scheduled"])
