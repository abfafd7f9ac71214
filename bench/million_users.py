"""
million_users: pushes a second with 1,000,000 users stored, against the same with 10,000.

`OMAPUSH_BENCH_USERS` in the environment is another number than a million.
"""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from bench import cpu, full_size, message_push, sipp_rate, stored_users
from bench.figure import Figure, compared
from bench.message_push import Drained
from tests.harness.stack import Stack

MANY = int(os.environ.get("OMAPUSH_BENCH_USERS", "1000000"))
FEW = 10_000
_STRIDE = 997
"Between two users who get a push, so that all corners of the memory are used; prime to both numbers."
_WAVES = 3
"Of one round, each to FEW different users, taken in turn by both sides."
_KEYS_EACH = 3
"Of a push: itself, its log, the list of its user's."


SUBSCRIBED = "news.ua"
"Application to which all are subscribed."


def measure(folder: Path, rounds: int) -> Figure:
    """Pushes by MESSAGE, to an application without subscribers."""
    return _measure("million_users", "mms.ua", folder, rounds)


def measure_dialogs(folder: Path, rounds: int) -> Figure:
    """Pushes by NOTIFY, in the dialogs."""
    return _measure("million_dialogs", SUBSCRIBED, folder, rounds)


def _measure(name: str, application: str, folder: Path, rounds: int) -> Figure:
    """Both Redis servers are up all the time; one Kamailio at a time works on one of them."""
    with ExitStack() as running:
        many = running.enter_context(_Side(folder / "many", MANY, rounds))
        few = running.enter_context(_Side(folder / "few", FEW, rounds))
        ours, theirs = list[float](), list[float]()
        waves: list[tuple[Drained, Drained]] = []
        for _ in range(rounds):
            done = [(many.wave(application), few.wave(application)) for _ in range(_WAVES)]
            ours.append(median(one.rate for one, _ in done))
            theirs.append(median(one.rate for _, one in done))
            waves += done
    cpu_us = {
        f"{MANY:,} users": cpu.middle([one.cpu_us for one, _ in waves]),
        f"{FEW:,} users": cpu.middle([one.cpu_us for _, one in waves]),
    }
    figure = compared(name, "pushes/s", f"the same with {FEW:,} users stored", ours, theirs, cpu_us)
    stored = f"; {many.filled_s:.0f} s to store {MANY:,}, {many.bytes / 1e9:.1f} GB"
    return figure._replace(against=figure.against + stored)


class _Side:
    """A Redis with so many users, each registered and with a subscription, and the rest of the server."""

    def __init__(self, folder: Path, users: int, rounds: int) -> None:
        self._folder = folder
        self._users = users
        self._rounds = rounds
        self._waves = 0
        self._running = ExitStack()
        self._stack: Stack = full_size.stack(folder, ("redis", "sip"))
        self.filled_s = 0.0
        self.bytes = 0

    def __enter__(self) -> _Side:
        self._running.callback(self._stack.__exit__, None, None, None)
        try:
            self._fill()
        except BaseException:
            self._running.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def _fill(self) -> None:
        self._stack.start("redis")
        db, port = self._stack.db, self._stack.core_port
        db.config_set("auto-aof-rewrite-percentage", 0)
        started = time.monotonic()
        stored_users.put_registrations(self._stack.store, self._users, f"sip:127.0.0.1:{port}")
        stored_users.put_subscriptions(self._stack.store, self._users, SUBSCRIBED, port)
        self.filled_s = time.monotonic() - started
        self.bytes = int(db.info("memory")["used_memory"])
        # Both sides begin with a file that has just been rewritten, so that none is in the middle of it.
        full_size.rewritten(self._stack)
        db.config_set("auto-aof-rewrite-percentage", 100)
        full_size.settled(self._stack, [SUBSCRIBED], more_keys=self._rounds * _WAVES * FEW * _KEYS_EACH)

    def wave(self, application: str) -> Drained:
        """Return how one wave was delivered."""
        first = self._waves * FEW
        users = [(first + index) * _STRIDE % self._users for index in range(FEW)]
        scenario = "notified" if application == SUBSCRIBED else "receiver"
        with sipp_rate.receiver(self._folder, self._stack.core_port, scenario):
            message_push.fill(self._stack, users, wave=self._waves, application=application)
            self._waves += 1
            self._stack.start("sip")
            try:
                return message_push.drained(self._stack, FEW)
            finally:
                self._stack.stop("sip")
