"""How many bytes of bodies are in memory at one time: what is more waits a moment, then gets 503."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from functools import partial
from typing import Any, Final

from litestar.connection import ASGIConnection

from omapush.errors import Overloaded
from omapush.pap_http.json_paths import at_the_end

SMALL: Final = 65_536
"Bytes of a body up to which it is not counted: a connection may have as many in its buffers anyway."
LARGE: Final = 1_048_576
"Bytes up to which bodies have a room of their own, so that they need not wait behind those that are larger."
MEDIUM_SHARE: Final = 4
"The room for large bodies is so many times the room for those between the two."
WAIT_S: Final = 5.0
"A request that finds no room waits so long, unread."


class NoRoom(Overloaded):
    """Too many large bodies are being taken."""

    field = "body"


class Room:
    """So many bytes, given out in order of arrival."""

    def __init__(self, together: int) -> None:
        self._together = together
        self.free = together
        "Bytes that may still be taken."
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def is_idle(self) -> bool:
        """Nobody has any of it, or waits for some."""
        return self.free >= self._together and not self._waiting

    def resize(self, together: int) -> None:
        """Give out so many bytes from now on; what is taken counts."""
        self._together, difference = together, together - self._together
        self.release(difference)

    async def take(self, size: int) -> None:
        """
        Return once there are so many bytes for the caller, who gives them back by `release`.

        Raises:
            NoRoom: there were not in time.
        """
        if self._waiting or self.free < size:
            await self._wait(size)
        else:
            self.free -= size

    async def _wait(self, size: int) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((size, turn))
        try:
            async with asyncio.timeout(WAIT_S):
                await turn
        except (TimeoutError, asyncio.CancelledError) as error:
            if turn.done() and not turn.cancelled():
                self.release(size)
            else:
                with suppress(ValueError):  # one that left in the same moment has passed over it already
                    self._waiting.remove((size, turn))
                self.release(0)
            if isinstance(error, TimeoutError):
                raise NoRoom("too many large requests at one time", retry_after_s=5) from error
            raise

    def release(self, size: int) -> None:
        """Give bytes back; those who wait get them in their order."""
        self.free += size
        while self._waiting and self.free >= self._waiting[0][0]:
            wanted, turn = self._waiting.popleft()
            if not turn.done():
                self.free -= wanted
                turn.set_result(None)


class LargeBodies:
    """The room for them; one for the whole process."""

    def __init__(self, *, together: int, largest: int) -> None:
        self.large = Room(together)
        self.medium = Room(_medium(together))
        self._largest = largest

    @property
    def is_idle(self) -> bool:
        """No body that is counted is being taken."""
        return self.large.is_idle and self.medium.is_idle

    def resize(self, together: int) -> None:
        """Take so many bytes of large bodies at one time from now on; what is being taken counts."""
        self.large.resize(together)
        self.medium.resize(_medium(together))

    async def admit(self, connection: ASGIConnection[Any, Any, Any, Any]) -> None:
        """
        Return once there is room for the request's body, which it has until it is over.

        A body of unknown length counts as the largest that is taken; one above that is refused when it is
        read.

        Raises:
            NoRoom: there was none in time; nothing of the body was read.
        """
        size = self._expected(connection)
        if size <= SMALL:
            return
        room = self.medium if size <= LARGE else self.large
        await room.take(size)
        at_the_end(connection.scope, partial(room.release, size))

    def _expected(self, connection: ASGIConnection[Any, Any, Any, Any]) -> int:
        stated = connection.headers.get("content-length", "")
        if stated.isascii() and stated.isdigit():
            return self._largest if len(stated) > len(str(self._largest)) else min(int(stated), self._largest)
        return self._largest if "transfer-encoding" in connection.headers else 0


def _medium(together: int) -> int:
    """A body of that size always fits, however small the room for large ones is."""
    return max(together // MEDIUM_SHARE, LARGE)
