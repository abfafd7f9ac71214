"""
Transactions (RFC 3261 17.1.2, 17.2.2).

Client: timers E and F; K needs no state, for late responses match nothing. Server: timer J, during which a
repeated request gets the same response. What an INVITE to us needs besides is in invite_transaction.py.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from typing import Final

from omapush import clock
from omapush.errors import Overloaded, PushError
from omapush.protocol.sip_core import MAGIC_COOKIE, Core
from omapush.protocol.sip_message import SipMessage
from omapush.protocol.sip_wire import write_request
from omapush.receiver.settings import Timers
from omapush.receiver.transport import Address, Transport

MOST_SERVER_TRANSACTIONS: Final = 50_000


class NoAnswer(PushError):
    """Timer F: no final response came; counts as a 408 (RFC 3261 8.1.3.1)."""

    sip_status = 408
    sip_reason = "Request Timeout"


class _Waiting:
    """A request without final response."""

    def __init__(self) -> None:
        self.final: asyncio.Future[SipMessage] = asyncio.get_running_loop().create_future()
        self.provisional = False


class ClientTransactions:
    """Requests that we sent and wait for."""

    def __init__(self, transport: Transport, timers: Timers) -> None:
        self._transport = transport
        self._timers = timers
        self._waiting: dict[tuple[str, str], _Waiting] = {}

    async def request(
        self, method: str, uri: str, headers: Sequence[tuple[str, str]], body: bytes, to: Address
    ) -> SipMessage:
        """
        Send a request, with a Via of ours before `headers`, and return its final response.

        Raises:
            NoAnswer: none came within 64*T1.
            TransportFailed: it could not be sent.
        """
        branch = f"{MAGIC_COOKIE}{secrets.token_hex(10)}"
        waiting = self._waiting[branch, method] = _Waiting()
        sent = 0

        def data() -> bytes:
            host, port = self._transport.local[0], self._transport.local[1]
            shown = f"[{host}]" if ":" in host else host
            via = f"SIP/2.0/{self._transport.name} {shown}:{port};branch={branch};rport"
            return write_request(method, uri, [("Via", via), ("Max-Forwards", "70"), *headers], body)

        try:
            async with asyncio.timeout(self._timers.longest_s):
                while True:
                    await self._transport.send(data(), to)
                    sent += 1
                    if self._transport.reliable:
                        return await waiting.final
                    done, _ = await asyncio.wait([waiting.final], timeout=self._timer_e(sent, waiting))
                    if done:
                        return waiting.final.result()
        except TimeoutError:
            raise NoAnswer(f"{method} to {to[0]}:{to[1]}: no answer") from None
        finally:
            del self._waiting[branch, method]

    def _timer_e(self, sent: int, waiting: _Waiting) -> float:
        if waiting.provisional:
            return self._timers.t2_s
        return float(min(self._timers.t1_s * 2 ** min(sent - 1, 16), self._timers.t2_s))

    def response(self, message: SipMessage, core: Core) -> None:
        """Take a response; what nobody waits for is dropped."""
        waiting = self._waiting.get((core.via.branch, core.cseq.method))
        if waiting is None or message.status is None:
            return
        if message.status < 200:
            waiting.provisional = True
        elif not waiting.final.done():
            waiting.final.set_result(message)


class ServerTransaction:
    """One request to us, however often it is sent."""

    __slots__ = ("_answer", "_latest", "is_answered", "to_tag")

    def __init__(self, answer: Callable[[bytes], None]) -> None:
        self._answer = answer
        self._latest: bytes | None = None
        self.is_answered = False
        "A final response went out."
        self.to_tag = ""
        "Our tag in the responses; a CANCEL is answered with that of what it cancels."

    @property
    def is_busy(self) -> bool:
        """It must not be forgotten, however old it is."""
        return False

    def respond(self, response: bytes, status: int = 200) -> None:
        """Send the final response; it is sent again when the request is."""
        self.is_answered = True
        self._latest = response
        self._answer(response)

    def repeat(self) -> None:
        """The request came again: without response yet, it is only absorbed."""
        if self._latest is not None:
            self._answer(self._latest)


Make = Callable[[str, Callable[[bytes], None]], ServerTransaction]


class ServerTransactions:
    """Requests to us of the last 64*T1."""

    def __init__(self, timers: Timers, make: Make, *, most: int = MOST_SERVER_TRANSACTIONS) -> None:
        """`make`: a new transaction for a request of that method."""
        self._make = make
        self._known: dict[Hashable, ServerTransaction] = {}
        self._ends: deque[tuple[float, Hashable]] = deque()
        self._keep_s = timers.longest_s
        self._most = most
        self.repeated = 0

    def take(
        self, message: SipMessage, core: Core, answer: Callable[[bytes], None]
    ) -> ServerTransaction | None:
        """
        Return the transaction of a new request, None when this is a repetition, which is then dealt with.

        Raises:
            Overloaded: too many are remembered.
        """
        now = clock.monotonic()
        self._forget(now)
        key = _key(message, core)
        known = self._known.get(key)
        if known is not None:
            self.repeated += 1
            known.repeat()
            return None
        if len(self._known) >= self._most:
            raise Overloaded("too many requests within 32 s")
        made = self._known[key] = self._make(core.cseq.method, answer)
        self._ends.append((now + self._keep_s, key))
        return made

    def _forget(self, now: float) -> None:
        while self._ends and self._ends[0][0] <= now:
            key = self._ends.popleft()[1]
            if (known := self._known.get(key)) is not None and known.is_busy:
                self._ends.append((now + self._keep_s, key))
            else:
                self._known.pop(key, None)

    def of_cancelled(self, core: Core) -> ServerTransaction | None:
        """Return the transaction of the request that a CANCEL names (RFC 3261 9.2)."""
        named = (core.via.branch, _sent_by(core))
        for key, known in self._known.items():
            if isinstance(key, tuple) and key[:2] == named and key[2] not in ("CANCEL", "ACK"):
                return known
        return None

    def of_ack(self, core: Core) -> ServerTransaction | None:
        """Return the transaction whose refusal an ACK confirms; None: it confirms a 2xx, or nothing."""
        return self._known.get((core.via.branch, _sent_by(core), "INVITE"))


def _sent_by(core: Core) -> str:
    return f"{core.via.host.lower()}:{core.via.port or ''}"


def _key(message: SipMessage, core: Core) -> Hashable:
    """RFC 3261 17.2.3; a branch that is only the cookie is treated like none."""
    via = core.via
    if via.branch.startswith(MAGIC_COOKIE) and len(via.branch) > len(MAGIC_COOKIE):
        return via.branch, _sent_by(core), core.cseq.method
    return (
        message.request_uri, core.call_id, core.cseq, core.from_.param("tag"), core.to.param("tag"), via,
    )  # fmt: skip
