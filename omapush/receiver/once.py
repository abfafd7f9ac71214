"""Each push is decided once, however often it comes: again in this run, or again after a restart."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Generic, NamedTuple, TypeVar

from omapush import log
from omapush.receiver.memory import Memory

Outcome = TypeVar("Outcome")


class Decision(NamedTuple, Generic[Outcome]):
    """What became of a push, and whether its application has it."""

    outcome: Outcome
    is_taken: bool


class Once(Generic[Outcome]):
    """The newest pushes of one device, by all the keys under which each may come again."""

    def __init__(
        self,
        owner: str,
        *,
        most: int,
        memory: Memory | None,
        taken: Outcome,
        failed: Outcome,
        repeated: Callable[[], None],
    ) -> None:
        """
        `owner`: whose pushes these are; `most` keys are kept.

        `taken` is the outcome of a push that an earlier run took, `failed` of one whose decision never came;
        `repeated` is called for each push that is none.
        """
        self._owner = owner
        self._most = most
        self._memory = memory
        self._taken = taken
        self._failed = failed
        self._repeated = repeated
        self._seen: OrderedDict[Hashable, asyncio.Future[Outcome]] = OrderedDict()

    async def decide(
        self,
        keys: Sequence[Hashable],
        work: Callable[[], Awaitable[Decision[Outcome]]],
        *,
        anew: Sequence[Hashable],
    ) -> Outcome:
        """Return the outcome of `work`, or of its first run; under the keys `anew` a refusal is forgotten."""
        for key in keys:
            if (known := self._seen.get(key)) is not None:
                self._repeated()
                return await asyncio.shield(known)
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        for key in keys:
            self._seen[key] = future
        while len(self._seen) > self._most:
            self._seen.popitem(last=False)
        outcome = self._failed
        try:
            outcome = await self._decided(keys, work)
        finally:
            future.set_result(outcome)
            if outcome != self._taken:
                self.forget(anew)
        return outcome

    def forget(self, keys: Sequence[Hashable]) -> None:
        """Take what comes under these keys for new."""
        for key in keys:
            self._seen.pop(key, None)

    async def took(self, keys: Sequence[Hashable]) -> None:
        """Keep for later runs that the application has what came under these keys."""
        if self._memory is None:
            return
        try:
            await self._memory.add(self.names(keys))
        except Exception:  # noqa: BLE001 - the application has it, whatever its memory does
            log.get().exception("push_not_remembered", uri=self._owner)

    async def _decided(
        self, keys: Sequence[Hashable], work: Callable[[], Awaitable[Decision[Outcome]]]
    ) -> Outcome:
        if await self._was_taken(keys):
            self._repeated()
            return self._taken
        decision = await work()
        if decision.is_taken:
            await self.took(keys)
        return decision.outcome

    async def _was_taken(self, keys: Sequence[Hashable]) -> bool:
        if self._memory is None:
            return False
        try:
            return await self._memory.knows(self.names(keys))
        except Exception:  # noqa: BLE001 - better shown twice than never
            log.get().exception("push_not_remembered", uri=self._owner)
            return False

    def names(self, keys: Sequence[Hashable]) -> tuple[str, ...]:
        """Return the names by which the memory knows what comes under these keys; none without a memory."""
        if self._memory is None:
            return ()
        return tuple(self._name(key) for key in keys)

    def _name(self, key: Hashable) -> str:
        return hashlib.sha256(repr((self._owner, key)).encode()).hexdigest()[:32]
