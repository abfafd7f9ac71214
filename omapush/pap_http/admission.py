"""Which pushes are let in when more arrive than can be carried: the rest is told 503 before it costs much."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from litestar import Request

from omapush import clock, log
from omapush.errors import Overloaded
from omapush.push.admission import Level, observed
from omapush.push.outflow import Outflow, Seen, looked

PUSH_PATHS: Final = {b"/pap": False, b"/v1/pushes": True}
"Where pushes are submitted; whether it is JSON."
_UNTOUCHED: Final = b"/v1/"
"Paths that begin so are compared as they were sent: an escaped `/` is no `/`."
DRAWN: Final = "omapush.let_in"
"What was drawn for a request on its connection, in its scope: whether it is let in without being urgent."
_LOOK_EVERY_S: Final = 0.05
_OVER_AFTER_S: Final = 1.0
"Overload is over when nobody had to go away for so long."
COME_AGAIN_S: Final = (2, 9)
"Seconds of Retry-After, spread: what is refused together should not come back together."
_LONGEST_LOOK: Final = 65_536
"Bytes of a body that is read to see whether it is urgent."
_HIGH: Final = "high"
_HIGH_BYTES: Final = (b'priority="high"', b"priority='high'")
_HIGH_JSON: Final = b'"high"'


class Admission:
    """One for the whole process."""

    def __init__(
        self, target_ms: int, wait_s: Callable[[float], float], will_wait_s: Callable[[], float] = lambda: 0.0
    ) -> None:
        """
        Let less in while pushes wait longer than `target_ms` to be stored, or then to be sent; 0: never.

        `wait_s` tells, of a monotonic time, how long the first of those that wait to be stored has waited;
        `will_wait_s` how long one that comes now will wait before it is looked at.
        """
        self.steer(target_ms)
        self._wait_s = wait_s
        self._will_wait_s = will_wait_s
        self._turned_away_until = 0.0
        "Until when that counts as overload which made one go away."
        self._is_over = True
        "What was told last."
        self._level = Level()
        self._flow = Outflow()
        self.is_closed = False
        "Nothing new is taken, however urgent: the node is being drained."

    def steer(self, target_ms: int) -> None:
        """Have it look at another target."""
        self._target_s = target_ms / 1000

    async def watch(self) -> None:
        """Keep looking, for as long as the api runs: how late this look itself comes is part of the wait."""
        while True:
            asked = clock.monotonic()
            await asyncio.sleep(_LOOK_EVERY_S)
            now = clock.monotonic()
            late_s = max(now - asked - _LOOK_EVERY_S, 0.0)
            if self._target_s:
                self.look(now, late_s + self._wait_s(now))
            else:
                self._level, self._flow = Level(), Outflow()

    def look(self, now: float, wait_s: float) -> None:
        """Take one wait into account."""
        self._level = observed(self._level, wait_s, now, self._target_s)
        self._tell(now, wait_s)

    def look_at_outbox(self, seen: Seen) -> None:
        """Take into account what waits to be sent."""
        if self._target_s:
            self._flow = looked(self._flow, seen, self._target_s)
        self._tell(clock.monotonic(), self._flow.wait_s)

    def _tell(self, now: float, wait_s: float) -> None:
        is_over = self.admitted >= 1 and now >= self._turned_away_until
        if is_over and not self._is_over:
            log.get().warning("overload_over", queue="pushes")
        elif self._is_over and not is_over:
            log.get().warning("overload_began", queue="pushes", waited_s=round(wait_s, 3))
        self._is_over = is_over

    @property
    def admitted(self) -> float:
        """Which part of the pushes is let in."""
        return min(self._level.admitted, self._flow.admitted)

    async def admit(self, request: Request[Any, Any, Any]) -> None:
        """
        Return when the PAP document of a request may be read.

        Raises:
            Overloaded: it is not let in, and is of no high priority as far as can be seen.
        """
        self._refuse_when_closed()
        if self._lets_in(request):
            return
        length = request.headers.get("content-length", "")
        if length.isdigit() and int(length) <= _LONGEST_LOOK:
            body = await request.body()
            if may_be_urgent(body, is_json=False):
                return
        raise _refused()

    def admit_priority(self, priority: str, request: Request[Any, Any, Any]) -> None:
        """Return when a push of this priority is let in, which came by the request; else raise Overloaded."""
        self._refuse_when_closed()
        if priority != _HIGH and not self._lets_in(request):
            raise _refused()

    def _refuse_when_closed(self) -> None:
        if self.is_closed:
            raise Overloaded("this node takes nothing new: it is being drained", retry_after_s=5)

    def _lets_in(self, request: Request[Any, Any, Any]) -> bool:
        """What its connection has drawn counts: who draws twice lets in less than was meant."""
        drawn: Any = request.scope.get(DRAWN)
        return self.draw() if drawn is None else bool(drawn)

    def draw(self) -> bool:
        """Tell whether one more is let in that is not urgent; the next time the answer may be another."""
        if self._target_s and (wait_s := self._will_wait_s()) > self._target_s:
            now = clock.monotonic()
            self._turned_away_until = now + _OVER_AFTER_S
            self._tell(now, wait_s)
            return False
        admitted = self.admitted
        return admitted >= 1 or random.random() < admitted


def push_path(raw: bytes) -> bytes | None:
    """
    Return which of `PUSH_PATHS` is meant by a path as it was sent, None for any other.

    The router undoes escapes and takes no notice of a `/` too many; who writes the path in another way must
    not get past what all others pass.
    """
    if raw in PUSH_PATHS:
        return raw
    path = raw if raw.startswith(_UNTOUCHED) else unquote_to_bytes(raw)
    path = b"/" + b"/".join(filter(None, path.split(b"/")))
    return path if path in PUSH_PATHS else None


def may_be_urgent(body: bytes, *, is_json: bool) -> bool:
    """Tell whether a push is of high priority, as far as can be seen; of JSON, who reads it says so."""
    return _HIGH_JSON in body if is_json else any(high in body for high in _HIGH_BYTES)


def _refused() -> Overloaded:
    return Overloaded("more pushes arrive than can be carried", retry_after_s=random.randrange(*COME_AGAIN_S))
