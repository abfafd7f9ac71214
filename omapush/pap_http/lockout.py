"""
Wrong passwords: after some of them nothing more is tried for a while, in all processes of all nodes.

Redis counts (omapush/store/guesses.py), and is asked only after a failure and while something is locked: who
comes in rightly never waits for it. While Redis is away each process counts for itself. A process learns of a
lock with the first failure that it sees itself, so a guesser has one try for each further process. What an
operator lifts (omapush/store/lock_outs.py) it learns before it refuses somebody, within a second.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import lru_cache
from typing import Final, NamedTuple

from omapush import clock, log
from omapush.errors import PushError, PushRefused, shortened
from omapush.push import guessing
from omapush.push.guessing import Counter
from omapush.store import guesses, lock_outs
from omapush.store.client import Store

_MOST_COUNTERS: Final = 10_000
"What was counted longest ago is forgotten for one more; Redis still knows."
_NOTED_AGAIN_S: Final = 3_600.0
_LONGEST_SOURCE: Final = 64
_LIFTED_AGAIN_S: Final = 1.0
"How often Redis is asked what was lifted, however many are refused."


class LockedOut(PushRefused):
    """Too many wrong passwords: nothing is tried now, not even the right one."""

    http_status = 429
    field = "Authorization"
    problem = "too many wrong passwords, nothing is tried for a while"
    pap_code = ""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(self.problem)
        self.retry_after_s = retry_after_s


class Try(NamedTuple):
    """Somebody who shows a password."""

    name: str
    "As claimed."
    address: str
    is_known: bool
    "There is such an account, and it may come in from there."
    is_home: bool = False
    "The configuration says that it comes from there."


class Locked(NamedTuple):
    """A lock that begins."""

    counter: Counter
    for_s: int


class _Count(NamedTuple):
    failures: int
    until: float
    "When something may be tried again."
    at_ms: int
    "Of the last failure."


Told = Callable[[Locked], Awaitable[None]]


class Lockout:
    """One for the whole process; names of different kinds of accounts have to differ."""

    def __init__(self, store: Store, told: Told, now: Callable[[], float] = clock.monotonic) -> None:
        self._store = store
        self._told = told
        self._now = now
        self._counts: OrderedDict[Counter, _Count] = OrderedDict()
        self._usual: OrderedDict[tuple[str, str], float] = OrderedDict()
        "Which pairs came in rightly here, and when that was last noted in Redis."
        self._noting: set[asyncio.Task[None]] = set()
        self._asked_lifted_at = -_LIFTED_AGAIN_S

    async def check(self, one: Try) -> None:
        """
        Return when the password may be tried.

        Raises:
            LockedOut: not now, and when.
        """
        if not self._counts or not self._wait_s(one):
            return
        is_usual = self._is_usual_here(one) or (one.is_known and await self._is_usual(one))
        counters = _counters(one, is_usual=is_usual)
        if not any(map(self._left_s, counters)):
            return
        await self._forget_lifted()
        if wait_s := max(map(self._left_s, counters)):
            raise LockedOut(wait_s)

    async def failed(self, one: Try) -> None:
        """Count a wrong password; what becomes locked by it is logged and told."""
        log.get().warning("authentication_failed", address=one.address, initiator=shortened(one.name))
        is_usual = self._is_usual_here(one)
        tried = _counters(one, is_usual=is_usual)
        begun = self._count(tried)  # before anybody is asked: others may be trying at the same moment
        if one.is_known and not is_usual and await self._is_usual(one):
            for wrongly in tried:
                self._set(wrongly, self._counts[wrongly].failures - 1)
            tried = _counters(one, is_usual=True)
            begun = self._count(tried)
        begun |= self._merge(tried, await self._shared(tried))
        await self._show([counter for counter in tried if self._left_s(counter)])
        for locked in begun:
            for_s = self._left_s(locked)
            log.get().warning("authentication_locked", what=locked.kind, value=locked.value, for_s=for_s)
            await self._told(Locked(locked, for_s))

    def succeeded(self, one: Try) -> None:
        """Note a right password; Redis is told beside it, and rarely."""
        source = _source(one.address)
        noted = self._usual.get((one.name, source))
        pair = Counter("pair", f"{one.name} {source}") if self._counts else None
        had_failed = pair is not None and self._counts.pop(pair, None) is not None
        if noted is not None and not had_failed and self._now() - noted < _NOTED_AGAIN_S:
            return
        self._usual.pop((one.name, source), None)
        self._usual[one.name, source] = self._now()
        if len(self._usual) > _MOST_COUNTERS:
            self._usual.popitem(last=False)
        task = asyncio.create_task(self._note(one.name, source, pair if had_failed else None))
        self._noting.add(task)
        task.add_done_callback(self._noting.discard)

    def _count(self, tried: tuple[Counter, ...]) -> set[Counter]:
        """Count one more failure of each; returns what was not locked, and now is."""
        was = [self._counts[one].failures if one in self._counts else 0 for one in tried]
        return self._merge(tried, [failures + 1 for failures in was])

    def _merge(self, tried: tuple[Counter, ...], failures: list[int]) -> set[Counter]:
        """Have each at so many failures at least; returns what was not locked, and now is."""
        free = {one for one in tried if not self._left_s(one)}
        for one, number in zip(tried, failures, strict=True):
            if one not in self._counts or number > self._counts[one].failures:
                self._set(one, number)
        return {one for one in free if self._left_s(one)}

    def _set(self, one: Counter, failures: int) -> None:
        self._counts.pop(one, None)
        self._counts[one] = _Count(
            failures, self._now() + guessing.lock_s(one.kind, failures), clock.now_ms()
        )
        if len(self._counts) > _MOST_COUNTERS:
            self._counts.popitem(last=False)

    def _wait_s(self, one: Try) -> int:
        """How long any lock that might concern it lasts; without asking anybody."""
        either = (*_counters(one, is_usual=False), *_counters(one, is_usual=True))
        return max(map(self._left_s, either))

    def _left_s(self, one: Counter) -> int:
        count = self._counts.get(one)
        left = count.until - self._now() if count else 0.0
        return int(left) + 1 if left > 0 else 0

    def _is_usual_here(self, one: Try) -> bool:
        return one.is_home or (one.is_known and (one.name, _source(one.address)) in self._usual)

    async def _is_usual(self, one: Try) -> bool:
        source, now_ms = _source(one.address), clock.now_ms()
        try:
            return await asyncio.to_thread(guesses.is_usual, self._store, one.name, source, now_ms)
        except PushError:
            return False

    async def _shared(self, tried: tuple[Counter, ...]) -> list[int]:
        try:
            return await asyncio.to_thread(guesses.failed, self._store, tried)
        except PushError:
            return [0] * len(tried)

    async def _show(self, locked: list[Counter]) -> None:
        """Have operators see what is locked."""
        now_ms = clock.now_ms()
        until = [(one, now_ms + self._left_s(one) * 1000) for one in locked]
        with suppress(PushError):
            if until:
                await asyncio.to_thread(lock_outs.note, self._store, until)

    async def _forget_lifted(self) -> None:
        """Begin anew with what an operator has lifted since."""
        if self._now() - self._asked_lifted_at < _LIFTED_AGAIN_S:
            return
        self._asked_lifted_at = self._now()
        try:
            lifted = await asyncio.to_thread(lock_outs.lifted, self._store)
        except PushError:
            return
        for one, lifted_ms in lifted.items():
            count = self._counts.get(one)
            if count is not None and count.at_ms <= lifted_ms:
                del self._counts[one]
                log.get().info("authentication_unlocked", what=one.kind, value=one.value)

    async def _note(self, name: str, source: str, pair: Counter | None) -> None:
        try:
            await asyncio.to_thread(guesses.remember, self._store, name, source, clock.now_ms())
            if pair:
                await asyncio.to_thread(guesses.forget, self._store, [pair])
        except PushError as error:
            log.get().info("usual_address_not_noted", initiator=name, problem=str(error))
            self._usual[name, source] = self._now() - _NOTED_AGAIN_S + 60


def _counters(one: Try, *, is_usual: bool) -> tuple[Counter, ...]:
    source = _source(one.address)
    return guessing.counters(one.name, source, is_known=one.is_known, is_usual=is_usual)


@lru_cache(maxsize=4_096)
def _source(address: str) -> str:
    return guessing.source_of(address)[:_LONGEST_SOURCE]
