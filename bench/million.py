"""
A million users in one Redis: what they cost, restarts with them, and what happens when all end at one moment.

`OMAPUSH_BENCH_USERS` says how many. One Redis for all of it, for storing them takes minutes.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from redis.exceptions import RedisError

from bench import full_size, message_push, million_expiry, sipp_rate, stored_users
from bench.figure import Figure, alone
from bench.million_users import MANY, SUBSCRIBED
from omapush.store import outbox
from omapush.store.client import load_functions
from tests.harness.stack import Stack

NAMES: Final = (
    "million_bytes_registration",
    "million_bytes_capabilities",
    "million_bytes_subscription",
    "million_bytes_watch",
    "million_redis_load_written",
    "million_redis_load_rewritten",
    "million_push_after_start",
    "million_push_after_redis",
    "million_expiry_stall",
    "million_expiry_ping_p99",
    "million_expiry_push_p99",
    "million_expiry_told",
)
"All figures, in their order."
_DEADLINE_S: Final = 900.0
_GB: Final = 1e9
_LOADED: Final = re.compile(r"DB loaded from append only file: ([0-9.]+) seconds")
"What Redis logs when it has read all."
_KINDS: Final = ("registration", "capabilities", "subscription", "watch")


def measure(folder: Path, rounds: int) -> list[Figure]:
    """Return all of its figures; it is done once, whatever the number of rounds."""
    stack = full_size.stack(folder, ("redis", "sip"))
    try:
        figures = _stored(stack)
        figures += _redis_restarts(stack)
        with sipp_rate.receiver(folder, stack.core_port, "device"):
            figures += _first_pushes(stack)
            figures += million_expiry.measure(stack, folder, MANY)
        assert tuple(figure.name for figure in figures) == NAMES
        return figures
    finally:
        stack.__exit__(None, None, None)


def _stored(stack: Stack) -> list[Figure]:
    """Store the users, one kind of record after the other, and return what each kind takes."""
    stack.start("redis")
    store, s_cscf = stack.store, f"sip:127.0.0.1:{stack.core_port}"
    load_functions(store)
    store.db.config_set("auto-aof-rewrite-percentage", 0)
    steps: tuple[Callable[[], None], ...] = (
        partial(stored_users.put_registrations, store, MANY, s_cscf),
        partial(stored_users.put_capabilities, store, MANY),
        partial(stored_users.put_subscriptions, store, MANY, SUBSCRIBED, stack.core_port),
        partial(stored_users.put_watches, store, MANY, s_cscf),
    )
    figures = []
    for name, step in zip(_KINDS, steps, strict=True):
        before, began = _used(stack), time.monotonic()
        step()
        took_s, added = time.monotonic() - began, _used(stack) - before
        what = f"each of {MANY:,}; {added / _GB:.2f} GB, stored in {took_s:.0f} s"
        figures.append(alone(f"million_bytes_{name}", "bytes", what, [added / MANY]))
    return figures


def _redis_restarts(stack: Stack) -> list[Figure]:
    """Return how long Redis needs to be there again: file as it was written, file just rewritten."""
    written = _restarted(stack, "written", "commands as they came")
    stack.db.config_set("auto-aof-rewrite-percentage", 0)
    began = time.monotonic()
    full_size.rewritten(stack)
    took_s = time.monotonic() - began
    rewritten = _restarted(stack, "rewritten", f"just rewritten, which took {took_s:.0f} s")
    stack.db.config_set("auto-aof-rewrite-percentage", 0)
    return [written, rewritten]


def _restarted(stack: Stack, name: str, how: str) -> Figure:
    size = int(stack.db.info("persistence")["aof_current_size"])
    _kill_and_start_redis(stack)
    loaded_s = float(_LOADED.findall(stack.parts["redis"].log_text())[-1])
    what = f"to load {size / _GB:.2f} GB of append-only file, {how}"
    return alone(f"million_redis_load_{name}", "ms", what, [loaded_s * 1000])


def _kill_and_start_redis(stack: Stack) -> float:
    """Return the seconds from the start until Redis answers again."""
    redis = stack.parts["redis"]
    redis.kill()
    began = time.monotonic()
    redis.start()
    redis.wait_until(lambda: _answers(stack), _DEADLINE_S, "Redis with all of its data")
    return time.monotonic() - began


def _answers(stack: Stack) -> bool:
    try:
        return bool(stack.db.ping())
    except RedisError:  # not there yet, or it still loads
        return False


def _first_pushes(stack: Stack) -> list[Figure]:
    """Return how soon a push is delivered after Kamailio started, and after Redis did."""
    message_push.fill(stack, [0], wave=1)
    began = time.monotonic()
    stack.start("sip")
    _wait_until_delivered(stack)
    after_start_s = time.monotonic() - began
    answered_s = _kill_and_start_redis(stack)
    began = time.monotonic()
    message_push.fill(stack, [1], wave=2)
    _wait_until_delivered(stack)
    after_redis_s = time.monotonic() - began
    what = f"from Redis' answering to the result of a push; it answered {answered_s:.1f} s after its start"
    return [
        alone(
            "million_push_after_start",
            "ms",
            "from Kamailio's start to the result of a push that waited",
            [after_start_s * 1000],
        ),
        alone("million_push_after_redis", "ms", what, [after_redis_s * 1000]),
    ]


def _wait_until_delivered(stack: Stack) -> None:
    stack.parts["sip"].wait_until(lambda: outbox.depth(stack.store).all == 0, 120, "the push delivered")


def _used(stack: Stack) -> int:
    return int(stack.db.info("memory")["used_memory"])
