"""The product as an operator runs it: default windows, shards, workers and memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from redis import Redis

from omapush.store import keys
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
_AT_ONCE = 100_000


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


_LOOK = "for _ = 1, ARGV[1] do redis.call(ARGV[2], KEYS[1], ARGV[3]) end"
_TABLES = (("HEXISTS", "delivery"), ("ZSCORE", "expiry"), ("ZSCORE", "later"))
"What a user shard has in tables that grow with what waits, and how one entry is asked for."


def settled(stack: Stack) -> None:
    """
    Have Redis end what it does when a table has become too small: it moves an entry with each look at it.

    A table of a million entries that has just doubled makes each look at it some times dearer, until it has
    been looked at another million times; that is soon over, and not what a million costs.
    """
    redis = stack.db
    for number in range(stack.store.layout.user_shards):
        for command, part in _TABLES:
            name = keys.outbox(number, part)
            length = redis.hlen(name) if command == "HEXISTS" else redis.zcard(name)
            redis.eval(_LOOK, 1, name, 2 * int(str(length)), command, "nobody")
    for _ in range(2 * redis.dbsize() // _AT_ONCE + 1):
        redis.eval("for _ = 1, ARGV[1] do redis.call('EXISTS', KEYS[1]) end", 1, "nobody", _AT_ONCE)


def _is_rewriting(redis: Redis) -> bool:
    state = redis.info("persistence")
    return bool(state["aof_rewrite_in_progress"] or state["aof_rewrite_scheduled"])
