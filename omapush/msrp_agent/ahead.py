"""Content that is read into memory while its devices are still being asked to accept it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from omapush.msrp_agent.content import PIECES_AT_ONCE, ContentAway, Library
from omapush.store.contents import PIECE

_SHARE: Final = 2
"Offers get one part in this many of what a worker keeps; the rest is for content that is being sent."


class Part(NamedTuple):
    """Octets of a content that a session offers."""

    ref: str
    start: int
    "Counted from 0."
    size: int

    @property
    def pieces(self) -> range:
        """Numbers of the pieces that they are in."""
        return range(self.start // PIECE, -(-(self.start + self.size) // PIECE))


@dataclass(eq=False)
class _Wanted:
    """A content that is offered to somebody."""

    pieces: range
    sessions: set[str] = field(default_factory=set)


class Ahead:
    """
    Reads contents of offers in the order in which they came, one read at a time, as far as there is room.

    What is read is kept by the library like all that was sent; an offer that is refused has cost a read.
    """

    def __init__(self, library: Library) -> None:
        self._library = library
        self._wanted: dict[str, _Wanted] = {}
        "By the content's ref."
        self._held = 0
        "Octets of all their pieces, read or not."
        self._reading: asyncio.Task[None] | None = None
        self._to_read: dict[str, None] = {}

    @property
    def sessions(self) -> set[str]:
        """Ids of the sessions whose answer is awaited, as far as there was room for their content."""
        return {one for wanted in self._wanted.values() for one in wanted.sessions}

    def offered(self, session_id: str, parts: Iterable[Part]) -> None:
        """Read what a session offers now, and no longer what it offered before."""
        parts = list(parts)
        for ref in self._wanted.keys() - {part.ref for part in parts}:
            self._leave(ref, session_id)
        for part in parts:
            self._want(session_id, part)
        if self._to_read and self._reading is None:
            self._reading = asyncio.create_task(self._read())

    def close(self) -> None:
        """Read no more."""
        if self._reading is not None:
            self._reading.cancel()

    def _want(self, session_id: str, part: Part) -> None:
        wanted = self._wanted.get(part.ref)
        if wanted is None:
            room = self._library.most // _SHARE - self._held
            pieces = part.pieces[: max(0, room // PIECE)]
            if not pieces:
                return
            self._held += len(pieces) * PIECE
            wanted = self._wanted[part.ref] = _Wanted(pieces)
            self._to_read[part.ref] = None
        wanted.sessions.add(session_id)

    def _leave(self, ref: str, session_id: str) -> None:
        wanted = self._wanted[ref]
        wanted.sessions.discard(session_id)
        if not wanted.sessions:
            del self._wanted[ref]
            self._to_read.pop(ref, None)
            self._held -= len(wanted.pieces) * PIECE

    async def _read(self) -> None:
        try:
            while self._to_read:
                ref = next(iter(self._to_read))
                del self._to_read[ref]
                await self._bring(ref)
        finally:
            self._reading = None

    async def _bring(self, ref: str) -> None:
        """Read a content piece by piece, as long as anybody waits for it."""
        pieces = self._wanted[ref].pieces
        for first in range(pieces.start, pieces.stop, PIECES_AT_ONCE):
            if ref not in self._wanted:
                return
            try:
                await self._library.pieces(ref, first, min(PIECES_AT_ONCE, pieces.stop - first))
            except ContentAway:
                return  # who sends it will tell why
