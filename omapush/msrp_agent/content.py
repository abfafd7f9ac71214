"""Content on its way from the store: read in whole pieces of the store, ahead of what is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from omapush import clock
from omapush.errors import TryLater
from omapush.store.contents import PIECE

_AGAIN_S: Final = 0.5
LONG_READ: Final = 4 * PIECE
"Octets read at a time for a fast stream: going to another thread and back costs as much as reading them."

Read = Callable[[int, int], bytes | None]
"Start (from 0) and length, to the octets there; None: the content is not there any more. May block."


class ContentAway(Exception):
    """Content that cannot be read; the text says why."""


class Content:
    """The octets of one transfer, in their order."""

    def __init__(self, read: Read, start: int, size: int, patience_s: float) -> None:
        """`patience_s`: how long to try while the store cannot be asked."""
        self._read = read
        self._asked = start
        self._end = start + size
        self._patience_s = patience_s
        self._coming: asyncio.Task[bytes] | None = None
        "What is read while `_piece` is sent."
        self._piece = b""
        self._at = 0
        "Octets of the piece that were handed out."

    async def next(self, size: int) -> bytes:
        """
        Return the next octets, at most `size`, fewer where a piece ends; none at the end.

        Raises:
            ContentAway: it was erased, is shorter than it should be, or the store stays away.
        """
        if self._at == len(self._piece):
            coming = self._coming or self._ask(size)
            self._piece = await coming if coming is not None else b""
            self._at = 0
            self._coming = self._ask(size)
        found = self._piece[self._at : self._at + size]
        self._at += len(found)
        return found

    def close(self) -> None:
        """Read no more."""
        if self._coming is not None:
            self._coming.cancel()
            self._coming = None

    def _ask(self, size: int) -> asyncio.Task[bytes] | None:
        """Read on, to where a piece of the store ends."""
        if self._asked >= self._end:
            return None
        unit = LONG_READ if size > PIECE else PIECE
        start, length = self._asked, min(unit - self._asked % PIECE, self._end - self._asked)
        self._asked += length
        return asyncio.create_task(self._fetch(start, length))

    async def _fetch(self, start: int, length: int) -> bytes:
        until = clock.monotonic() + self._patience_s
        while True:
            try:
                piece = await asyncio.to_thread(self._read, start, length)
                break
            except TryLater as error:
                if clock.monotonic() >= until:
                    raise ContentAway(f"the store is away: {error}") from error
                await asyncio.sleep(_AGAIN_S)
        if piece is None or len(piece) < length:
            raise ContentAway("its content is not there any more")
        return piece
