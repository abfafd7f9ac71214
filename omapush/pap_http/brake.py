"""Failed authentications: logged, and answered late for an address from which many came."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from omapush import clock, log
from omapush.errors import shortened

MOST_A_MINUTE: Final = 10
"Failures of one address within a minute that are answered at once."
LATE_S: Final = 1.0
_WINDOW_S: Final = 60.0
_MOST_ADDRESSES: Final = 10_000
"The address whose minute began first is forgotten for one more."


class Brake:
    """Slows down guessing; a right password is never put off."""

    def __init__(self, now: Callable[[], float] = clock.monotonic) -> None:
        self._now = now
        self._failures: OrderedDict[str, tuple[float, int]] = OrderedDict()

    async def failed(self, address: str, name: str) -> None:
        """Note that `name` was refused to `address`, and return when it may be told."""
        number = self._count(address)
        if number <= MOST_A_MINUTE:
            log.get().warning("authentication_failed", address=address, initiator=shortened(name))
            return
        if number == MOST_A_MINUTE + 1:
            log.get().warning("authentication_braked", address=address, failures=number)
        await asyncio.sleep(LATE_S)

    def _count(self, address: str) -> int:
        """How many failures this is within the address's minute."""
        now = self._now()
        began, number = self._failures.get(address, (now, 0))
        if now - began >= _WINDOW_S:
            began, number = now, 0
            self._failures.pop(address)
        self._failures[address] = began, number + 1
        if len(self._failures) > _MOST_ADDRESSES:
            self._failures.popitem(last=False)
        return number + 1
