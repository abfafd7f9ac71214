"""How many bytes of large bodies are in memory at one time: what is more waits a moment, then gets 503."""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from typing import Any, Final

from litestar.connection import ASGIConnection

from omapush.errors import Overloaded
from omapush.pap_http.json_paths import at_the_end

LARGE: Final = 1_048_576
"Bytes of a body above which it is counted."
WAIT_S: Final = 5.0
"A request that finds no room waits so long, unread."


class NoRoom(Overloaded):
    """Too many large bodies are being taken."""

    field = "body"


class LargeBodies:
    """The room for them; one for the whole process."""

    def __init__(self, *, together: int, largest: int) -> None:
        self._together = together
        self.free = together
        "Bytes that may still be taken."
        self._largest = largest
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def is_idle(self) -> bool:
        """No large body is being taken."""
        return self.free >= self._together and not self._waiting

    def resize(self, together: int) -> None:
        """Take so many bytes at one time from now on; what is being taken counts."""
        self._together, difference = together, together - self._together
        self._release(difference)

    async def admit(self, connection: ASGIConnection[Any, Any, Any, Any]) -> None:
        """
        Return once there is room for the request's body, which it has until it is over.

        A body of unknown length counts as the largest that is taken; one above that is refused when it is
        read.

        Raises:
            NoRoom: there was none in time; nothing of the body was read.
        """
        size = self._expected(connection)
        if size <= LARGE:
            return
        if self._waiting or self.free < size:
            await self._wait(size)
        else:
            self.free -= size
        at_the_end(connection.scope, partial(self._release, size))

    async def _wait(self, size: int) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((size, turn))
        try:
            async with asyncio.timeout(WAIT_S):
                await turn
        except (TimeoutError, asyncio.CancelledError) as error:
            if turn.done() and not turn.cancelled():
                self._release(size)
            else:
                self._waiting.remove((size, turn))
                self._release(0)
            if isinstance(error, TimeoutError):
                raise NoRoom("too many large requests at one time", retry_after_s=5) from error
            raise

    def _release(self, size: int) -> None:
        self.free += size
        while self._waiting and self.free >= self._waiting[0][0]:
            wanted, turn = self._waiting.popleft()
            if not turn.done():
                self.free -= wanted
                turn.set_result(None)

    def _expected(self, connection: ASGIConnection[Any, Any, Any, Any]) -> int:
        stated = connection.headers.get("content-length", "")
        if stated.isascii() and stated.isdigit():
            return self._largest if len(stated) > len(str(self._largest)) else min(int(stated), self._largest)
        return self._largest if "transfer-encoding" in connection.headers else 0
