"""How many exchanges one host gets at the same time: as many as it is seen to take, and no more at once."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from itertools import count
from typing import Final

from omapush import clock

_FIRST: Final = 16
"Exchanges with a host that has not shown yet how many it takes."
_LEAST: Final = 4
"Exchanges with a host that takes none, if it may have so many at all."
_SLOW_S: Final = 0.5
"An exchange that is quicker is never slow."
_SLOW_TIMES: Final = 8
"One that takes so many times as long as the quickest is."
_FORGETTING: Final = 1.001
"What the quickest becomes longer with each exchange, so that a host may become slower for good."


class Gate:
    """
    Lets exchanges with one host begin, in the order in which they come.

    When as many have been answered as there is room for, there is room for one more, up to `most`; but not
    while one is under way that takes many times as long as the quickest. Each that fails or took so long
    halves what there is room for. For then a queue of the host is full: a connection that finds no place in
    it is tried again by TCP after a second.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._size = min(most, _FIRST)
        self._begun: dict[int, float] = {}
        "When each exchange that is under way began, the oldest first."
        self._turns = count()
        self._answered = 0
        "Since there was room for the last more."
        self._quickest_s = 0.0
        "Of the exchanges of late; 0: none is known."
        self._waiting: deque[asyncio.Future[int]] = deque()

    @property
    def size(self) -> int:
        """How many exchanges there is room for now."""
        return self._size

    async def enter(self) -> int:
        """Return what `leave` has to be told, when an exchange may begin."""
        if len(self._begun) < self._size and not self._waiting:
            return self._begin()
        turn: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._end(turn.result())
            raise

    def leave(self, turn: int, *, is_answered: bool, took_s: float = 0.0) -> None:
        """
        Note the end of an exchange.

        `is_answered`: the host answered as one that is well; `took_s`: after so long, 0: not known.
        """
        self._end(turn, is_fine=is_answered and not self._is_slow(took_s))

    def _begin(self) -> int:
        turn = next(self._turns)
        self._begun[turn] = clock.monotonic()
        return turn

    def _learn(self, *, is_fine: bool) -> None:
        if not is_fine:
            self._size, self._answered = max(self._size // 2, min(_LEAST, self._most)), 0
            return
        self._answered += 1
        oldest = next(iter(self._begun.values()), math.inf)
        if self._answered >= self._size and clock.monotonic() - oldest <= self._longest_s:
            self._size, self._answered = min(self._size + 1, self._most), 0

    @property
    def _longest_s(self) -> float:
        """What takes longer is slow."""
        return max(_SLOW_S, _SLOW_TIMES * self._quickest_s)

    def _is_slow(self, took_s: float) -> bool:
        if not took_s:
            return False
        is_slow = self._quickest_s > 0 and took_s > self._longest_s
        self._quickest_s = min(took_s, self._quickest_s * _FORGETTING or took_s)
        return is_slow

    def _end(self, turn: int, *, is_fine: bool | None = None) -> None:
        del self._begun[turn]
        if is_fine is not None:
            self._learn(is_fine=is_fine)
        while self._waiting and len(self._begun) < self._size:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(self._begin())
