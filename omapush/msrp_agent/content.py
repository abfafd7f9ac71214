"""Content on its way from the store: in whole pieces, ahead of what is sent, and kept for the next device."""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple

from omapush import clock
from omapush.errors import PushError, TryLater
from omapush.protocol.searching import find
from omapush.store.bulk import Octets
from omapush.store.contents import PIECE

PIECES_AT_ONCE: Final = 4
"Read at a time for a fast stream: going to another thread and back costs as much as reading one."
READS_AHEAD: Final = 2
"Reads under way for a fast stream while the one before is sent."
_AGAIN_S: Final = 0.5

ReadPieces = Callable[[str, int, int], Awaitable[Sequence[Octets] | None]]
"Content by its push's ref, number of the first piece, how many; None: it is not there any more."


class Piece(NamedTuple):
    """A piece as it is kept."""

    octets: Octets
    is_clear: bool
    "No end-line with a transaction id of the library's is in it."


class Cut(NamedTuple):
    """The next octets of a content."""

    octets: list[Octets]
    "As they lie in their pieces."
    is_clear: bool
    "None of them has an end-line with a transaction id of the library's; where they meet one may be."


class ContentAway(Exception):
    """Content that cannot be read; the text says why."""


class Library:
    """Reads pieces of contents, and keeps those that were used last: a push goes to many devices."""

    def __init__(self, read: ReadPieces, most: int, patience_s: float) -> None:
        """`most`: octets that are kept. `patience_s`: how long to try while the store cannot be asked."""
        self._read = read
        self._most = most
        self._patience_s = patience_s
        self._kept: OrderedDict[tuple[str, int], Piece] = OrderedDict()
        self._size = 0
        self._stem = secrets.token_hex(10)
        "Begin of all transaction ids: each piece is searched for it once, as soon as it is there."
        self._end = f"-------{self._stem}".encode()

    def transaction(self) -> str:
        """Return a new transaction id, which is in no piece that is clear; 72 of its bits are random."""
        return self._stem + base64.b64encode(secrets.token_bytes(9), b"+.").decode()

    @property
    def most(self) -> int:
        """Octets that are kept."""
        return self._most

    def resize(self, most: int, patience_s: float) -> None:
        """Keep so many octets, and be so patient, from now on."""
        self._most, self._patience_s = most, patience_s

    async def pieces(self, ref: str, first: int, count: int) -> list[Piece]:
        """
        Return `count` pieces, fewer where the content ends; waits only for what is not kept.

        Raises:
            ContentAway: it was erased or cannot be opened, or the store stays away.
        """
        kept = self.kept(ref, first, count)
        if kept is not None:
            return kept
        found = await self._fetch(ref, first, count)
        if len(found) == count:
            for number, piece in enumerate(found, first):
                self._keep((ref, number), piece)
        return found

    def kept(self, ref: str, first: int, count: int) -> list[Piece] | None:
        """Return `count` pieces, None unless all of them are kept."""
        keys = [(ref, number) for number in range(first, first + count)]
        found = [piece for key in keys if (piece := self._kept.get(key)) is not None]
        if len(found) < count:
            return None
        for key in keys:
            self._kept.move_to_end(key)
        return found

    async def _fetch(self, ref: str, first: int, count: int) -> list[Piece]:
        until = clock.monotonic() + self._patience_s
        while True:
            try:
                found = await self._read(ref, first, count)
                break
            except TryLater as error:
                if clock.monotonic() >= until:
                    raise ContentAway(f"the store is away: {error}") from error
                await asyncio.sleep(_AGAIN_S)
            except PushError as error:
                raise ContentAway(str(error)) from error
        if not found:
            raise ContentAway("its content is not there any more")
        return [Piece(octets, find(octets, self._end, 0, len(octets)) < 0) for octets in found]

    def _keep(self, key: tuple[str, int], piece: Piece) -> None:
        if key in self._kept:
            self._kept.move_to_end(key)
            return
        self._kept[key] = piece
        self._size += len(piece.octets)
        while self._size > self._most:
            _, oldest = self._kept.popitem(last=False)
            self._size -= len(oldest.octets)


class Content:
    """The octets of one transfer, in their order."""

    def __init__(self, library: Library, ref: str, start: int, size: int) -> None:
        """`start` counts from 0."""
        self._library = library
        self._ref = ref
        self._wanted, self._at = divmod(start, PIECE)
        "Number of the piece to be read next; octets at the begin of `_ready` that are not to be sent."
        self._left = size
        self._unasked = start % PIECE + size
        "Octets from the begin of the piece to be read next to the end of what is to be sent."
        self._ready: deque[Piece] = deque()
        self._coming: deque[asyncio.Future[list[Piece]]] = deque()

    def begin(self) -> None:
        """Read the first octets before they are asked for."""
        self._ask(1, READS_AHEAD)

    async def next(self, size: int) -> Cut:
        """
        Return the next octets, at most `size`; none at the end.

        Raises:
            ContentAway: it was erased, is shorter than it should be, or the store stays away.
        """
        if not self._left:
            return Cut([], False)
        if not self._ready:
            self._ask(size, 1)
            self._ready.extend(await self._coming.popleft())
        await self._more(size)
        found = self._take(min(size, self._left))
        if not self._ready:
            self._ask(size, READS_AHEAD if size >= PIECE else 1)
        return found

    async def _more(self, size: int) -> None:
        """Have ready what has been read for so many octets, without waiting for what has not."""
        while len(self._ready) * PIECE < size and (self._coming or self._unasked > 0):
            self._ask(size, 1)
            if not self._coming[0].done():
                return
            self._ready.extend(await self._coming.popleft())

    def close(self) -> None:
        """Read no more."""
        for task in self._coming:
            if not task.cancel() and not task.cancelled():
                task.exception()  # one that failed ahead of what is sent is nobody's concern any more
        self._coming.clear()

    def _ask(self, size: int, most: int) -> None:
        """Have up to `most` reads under way; those of a slow stream are short: its memory is to be small."""
        while len(self._coming) < most and self._unasked > 0:
            count = min(-(-self._unasked // PIECE), PIECES_AT_ONCE if size >= PIECE else 1)
            length = min(count * PIECE, self._unasked)
            self._coming.append(self._begun(self._wanted, count, length))
            self._wanted += count
            self._unasked -= length

    def _begun(self, first: int, count: int, length: int) -> asyncio.Future[list[Piece]]:
        """A read; it has ended when all of it is kept."""
        kept = self._library.kept(self._ref, first, count)
        if kept is None or sum(len(piece.octets) for piece in kept) < length:
            return asyncio.create_task(self._fetch(first, count, length))
        done: asyncio.Future[list[Piece]] = asyncio.get_running_loop().create_future()
        done.set_result(kept)
        return done

    async def _fetch(self, first: int, count: int, length: int) -> list[Piece]:
        pieces = await self._library.pieces(self._ref, first, count)
        if sum(len(piece.octets) for piece in pieces) < length:
            raise ContentAway("its content is not there any more")
        return pieces

    def _take(self, size: int) -> Cut:
        """Take whole pieces as far as `size` goes, or else a part of the first."""
        found, is_clear = list[Octets](), True
        while self._ready and size:
            whole = self._ready[0].octets
            rest = len(whole) - self._at
            if found and rest > size:
                break
            is_clear = is_clear and self._ready[0].is_clear
            piece = whole if not self._at and rest <= size else whole[self._at : self._at + size]
            found.append(piece)
            size -= len(piece)
            self._left -= len(piece)
            self._at += len(piece)
            if self._at == len(whole) or not self._left:
                self._ready.popleft()
                self._at = 0
        return Cut(found, is_clear)
