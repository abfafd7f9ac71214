"""
An INVITE to us until its ACK (RFC 3261 17.2.1, 13.3.1.4): the transaction of a refusal, the 2xx of a session.

Timers: G (a refusal over UDP is repeated), H (no longer than 64*T1); a 2xx is repeated over every transport,
for its ACK comes from the other end and not from the next hop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from omapush.receiver.settings import Timers
from omapush.receiver.transactions import ServerTransaction


class InviteTransaction(ServerTransaction):
    """One INVITE, however often it is sent; `on_cancel` and `on_silence` are for who answers it."""

    __slots__ = ("_again", "_reliable", "_spent_s", "_timers", "is_acknowledged", "on_cancel", "on_silence")

    def __init__(self, answer: Callable[[bytes], None], timers: Timers, *, reliable: bool) -> None:
        super().__init__(answer)
        self._timers = timers
        self._reliable = reliable
        self._again: asyncio.TimerHandle | None = None
        self._spent_s = 0.0
        self.is_acknowledged = False
        self.on_cancel: Callable[[], None] | None = None
        "Called when the sender takes it back before the final answer."
        self.on_silence: Callable[[], None] | None = None
        "Called when no ACK came for a 2xx."

    @property
    def is_busy(self) -> bool:
        """It has no final answer yet, or that one is still repeated."""
        return not self.is_answered or self._again is not None

    def provisional(self, response: bytes) -> None:
        """Send a 1xx; it is sent again when the INVITE is."""
        if not self.is_answered:
            self._latest = response
            self._answer(response)

    def respond(self, response: bytes, status: int = 200) -> None:
        """Send the final response, and again until its ACK comes."""
        super().respond(response, status)
        if status < 300 or not self._reliable:
            self._repeat_in(self._timers.t1_s, is_success=status < 300)

    def repeat(self) -> None:
        """The INVITE came again: the latest answer goes out again, unless its ACK has come."""
        if not self.is_acknowledged:
            super().repeat()

    def acknowledged(self) -> None:
        """Stop: the ACK came."""
        self.is_acknowledged = True
        self.stop()

    def stop(self) -> None:
        """Repeat no further, whatever comes."""
        if self._again is not None:
            self._again.cancel()
            self._again = None

    def cancel(self) -> None:
        """A CANCEL names this INVITE; without effect once there is a final answer (RFC 3261 9.2)."""
        if not self.is_answered and self.on_cancel is not None:
            self.on_cancel()

    def _repeat_in(self, wait_s: float, *, is_success: bool) -> None:
        self._spent_s += wait_s
        loop = asyncio.get_running_loop()
        self._again = loop.call_later(wait_s, self._repeat_final, wait_s, is_success)

    def _repeat_final(self, waited_s: float, is_success: bool) -> None:
        self._again = None
        if self._spent_s >= self._timers.longest_s:
            if is_success and self.on_silence is not None:
                self.on_silence()
            return
        super().repeat()
        self._repeat_in(min(2 * waited_s, self._timers.t2_s), is_success=is_success)
