"""Pushes of one batch that leave one right behind the other."""

from __future__ import annotations

from types import TracebackType
from typing import Final, Self

import ksr_writer
from batch import Batch
from outgoing import Leaving, Outgoing

from omapush import clock

AT_ONCE: Final = 64
"""
Requests that leave without a pause. A socket of the usual size (net.core.rmem_default, 212,992 bytes) has
room for so many of 1,300 bytes, with what the kernel adds to each, while their receiver is busy.
"""


class Salvo:
    """
    Sends what is added, many at a time, and all of it at the end of its `with` block, even of one that fails.

    With nothing done between one and the next, whoever answers them, and our SIP workers after that, wake up
    a few times for all and not once for each: that is a tenth of what a push costs (docs/performance.md).
    """

    def __init__(self, outgoing: Outgoing, batch: Batch) -> None:
        self._outgoing = outgoing
        self._batch = batch
        self._ready: list[Leaving] = []
        self.unsent: list[Leaving] = []
        "Those that Kamailio could not even try to send; their tries have ended."

    def add(self, one: Leaving) -> None:
        """Send a push soon."""
        self._ready.append(one)
        if len(self._ready) == AT_ONCE:
            self._fire()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._fire()

    def _fire(self) -> None:
        leaving, self._ready = self._ready, []
        send, now_ms = ksr_writer.send, clock.now_ms()  # not after any answer
        is_sent = [send(one.request, one.reference) for one in leaving]
        for one, left in zip(leaving, is_sent, strict=True):
            if left:
                self._batch.note(one.taken, self._outgoing.sent(one.taken, one.request, one.why, now_ms))
            else:
                self._outgoing.not_left(one)
                self._batch.end(self._outgoing.not_sent(one.taken, now_ms))
                self.unsent.append(one)
