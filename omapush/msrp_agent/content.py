"""Content on its way from the store: piece by piece, the next one read while the last one is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from omapush import clock
from omapush.errors import TryLater

_AGAIN_S: Final = 0.5

Read = Callable[[int, int], bytes | None]
"Start (from 0) and length, to the octets there; None: the content is not there any more. May block."


class ContentAway(Exception):
    """Content that cannot be read; the text says why."""


class Content:
    """The octets of one transfer; at most two pieces are in memory."""

    def __init__(self, read: Read, start: int, size: int, patience_s: float) -> None:
        """`patience_s`: how long to try while the store cannot be asked."""
        self._read = read
        self._at = start
        self._end = start + size
        self._patience_s = patience_s
        self._ahead: asyncio.Task[bytes] | None = None

    async def next(self, size: int) -> bytes:
        """
        Return the next octets, about `size` of them; none at the end.

        Raises:
            ContentAway: it was erased, is shorter than it should be, or the store stays away.
        """
        if self._ahead is None:
            self._ahead = self._begin(size)
        piece = await self._ahead
        self._at += len(piece)
        self._ahead = self._begin(size) if self._at < self._end else None
        return piece

    def close(self) -> None:
        """Read no more."""
        if self._ahead is not None:
            self._ahead.cancel()
            self._ahead = None

    def _begin(self, size: int) -> asyncio.Task[bytes]:
        return asyncio.create_task(self._fetch(self._at, min(size, self._end - self._at)))

    async def _fetch(self, start: int, length: int) -> bytes:
        if length <= 0:
            return b""
        until = clock.monotonic() + self._patience_s
        while True:
            try:
                piece = await asyncio.to_thread(self._read, start, length)
                break
            except TryLater as error:
                if clock.monotonic() >= until:
                    raise ContentAway(f"the store is away: {error}") from error
                await asyncio.sleep(_AGAIN_S)
        if not piece:
            raise ContentAway("its content is not there any more")
        return piece
