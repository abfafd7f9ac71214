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


_TWICE = """
local kind = redis.call('TYPE', KEYS[1]).ok
local count = {hash = 'HLEN', zset = 'ZCARD'}
local ask = {hash = 'HEXISTS', zset = 'ZSCORE'}
for _ = 1, count[kind] and 2 * redis.call(count[kind], KEYS[1]) or 0 do
    redis.call(ask[kind], KEYS[1], 'nobody')
end
"""
"Looks twice for each entry of a table."

_PUT_ROOM = "for number = ARGV[1], ARGV[2] do redis.call('SET', 'room:' .. number, '') end"
_TAKE_ROOM = "for number = ARGV[1], ARGV[2] do redis.call('DEL', 'room:' .. number) end"
"Keys that stand for those to come. A table does not become smaller when they are gone."


def settled(stack: Stack, applications: Sequence[str] = (), *, more_keys: int = 0) -> None:
    """
    Have Redis end what it does when a table has become too small: it moves an entry with each look at it.

    A table of a million entries that has just doubled makes each look at it some times dearer, until it has
    been looked at another million times; that is soon over, and not what a million costs. Those of a user
    shard that grow with what waits, and with subscriptions, to `applications` among others, are meant; and
    that of all keys, which gets room for so many more.
    """
    redis = stack.db
    _for_room(redis, _PUT_ROOM, more_keys)
    for number in range(stack.store.layout.user_shards):
        for name in _tables(number, applications):
            redis.eval(_TWICE, 1, name)
    for _ in range(2 * redis.dbsize() // _AT_ONCE + 1):
        redis.eval("for _ = 1, ARGV[1] do redis.call('EXISTS', KEYS[1]) end", 1, "nobody", _AT_ONCE)
    _for_room(redis, _TAKE_ROOM, more_keys)


def _for_room(redis: Redis, script: str, number: int) -> None:
    for start in range(0, number, _AT_ONCE):
        redis.eval(script, 0, start, min(start + _AT_ONCE, number) - 1)


def _tables(number: int, applications: Sequence[str]) -> list[str]:
    return [
        *(keys.outbox(number, part) for part in ("delivery", "expiry", "later")),
        *(keys.subscription_part(number, part) for part in ("expiry", "owed", "cseq", "flight")),
        *(keys.subscriptions_of(number, "oma-app", application) for application in applications),
    ]


def _is_rewriting(redis: Redis) -> bool:
    state = redis.info("persistence")
    return bool(state["aof_rewrite_in_progress"] or state["aof_rewrite_scheduled"])
