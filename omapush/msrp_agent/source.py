"""
Content read from Redis by the event loop itself: a few connections for all streams of a worker, no thread.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple

from omapush import clock
from omapush.errors import StoreUnavailable
from omapush.store import bulk, contents
from omapush.store.bulk import Answer, Octets
from omapush.store.client import Command, Store

_READING: Final = "read content"
CONNECTIONS: Final = 3
"""
That are read from in turn. A unix socket takes 200 KB at a time, and no more before they have been read: on
one connection Redis and the worker would wait for each other.
"""


class _Asked(NamedTuple):
    """A question with missing answers."""

    waiting: asyncio.Future[list[Answer]]
    number: int
    "Number of answers that it gets."
    found: list[Answer]


class Source:
    """
    Reads pieces of contents; a Redis that hangs holds up nobody but who waits for a piece.

    Of a Cluster, content is read in a thread: each of its servers would need connections.
    """

    def __init__(self, store: Store, patience_s: float, connections: int = CONNECTIONS) -> None:
        """`patience_s`: a connection on which nothing comes for so long is given up."""
        self._store = store
        self._lines = [_Line(store, patience_s) for _ in range(connections)]

    async def pieces(self, ref: str, first: int, count: int) -> Sequence[Octets] | None:
        """
        Return up to `count` pieces of a push's content from number `first` on, each but the last whole.

        None when the push is forgotten or its content erased.

        Raises:
            StoreUnavailable: no answer. PushError: it cannot be opened.
        """
        if self._store.cluster is None:
            line = min(self._lines, key=lambda one: one.waiting)
            found = await line.ask(contents.asked(self._store, ref, first, count), count)
            values = bulk.without_errors(_READING, found)
            if values[0] is not None:
                return contents.opened(self._store, ref, first, values)
        return await asyncio.to_thread(contents.pieces, self._store, ref, first, count)

    def close(self) -> None:
        """Stop asking."""
        for line in self._lines:
            line.close()


class _Line:
    """One connection, made with the first question, and anew after an error."""

    def __init__(self, store: Store, patience_s: float) -> None:
        self._store = store
        self._patience_s = patience_s
        self.waiting = 0
        "Who waits for answers."
        self._connecting = asyncio.Lock()
        self._channel: bulk.Channel | None = None
        self._asked: deque[_Asked] = deque()
        self._heard_at = 0.0
        self._watch: asyncio.TimerHandle | None = None

    async def ask(self, commands: Sequence[Command], number: int) -> list[Answer]:
        """
        Return so many answers, errors of Redis among them.

        Raises:
            StoreUnavailable: no answer.
        """
        self.waiting += 1
        try:
            return await self._ask(commands, number)
        finally:
            self.waiting -= 1

    async def _ask(self, commands: Sequence[Command], number: int) -> list[Answer]:
        async with self._connecting:
            if self._channel is None:
                self._channel = await asyncio.to_thread(bulk.Channel, self._store)
                asyncio.get_running_loop().add_reader(self._channel.fileno(), self._readable)
            channel = self._channel
        waiting: asyncio.Future[list[Answer]] = asyncio.get_running_loop().create_future()
        if not self._asked:
            self._heard_at = clock.monotonic()
        self._asked.append(_Asked(waiting, number, []))
        try:
            channel.ask(_READING, commands)
        except StoreUnavailable as error:
            self._give_up(str(error))
        if self._watch is None:
            self._look()
        return await waiting

    def _readable(self) -> None:
        if self._channel is None:
            return
        try:
            answers = self._channel.receive(_READING)
        except StoreUnavailable as error:
            self._give_up(str(error))
            return
        self._heard_at = clock.monotonic()
        for answer in answers:
            if not self._asked:
                self._give_up(f"{_READING}: an answer that nobody asked for")
                return
            asked = self._asked[0]
            asked.found.append(answer)
            if len(asked.found) == asked.number:
                self._asked.popleft()
                if not asked.waiting.done():  # by whoever waits no longer
                    asked.waiting.set_result(asked.found)

    def _look(self) -> None:
        """Close the connection when answers do not come; look again while there are questions."""
        self._watch = None
        if not self._asked:
            return
        left = self._heard_at + self._patience_s - clock.monotonic()
        if left <= 0:
            self._give_up(f"{_READING}: no answer within {self._patience_s:g} s")
        else:
            self._watch = asyncio.get_running_loop().call_later(left, self._look)

    def _give_up(self, why: str) -> None:
        """Close the connection; everybody who waits gets an error."""
        if self._channel is not None:
            asyncio.get_running_loop().remove_reader(self._channel.fileno())
            self._channel.close()
            self._channel = None
        for asked in self._asked:
            if not asked.waiting.done():
                asked.waiting.set_exception(StoreUnavailable(why))
        self._asked.clear()

    def close(self) -> None:
        """Stop asking."""
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        self._give_up("the media worker ends")
