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

from omapush import clock, log
from omapush.errors import Overloaded, PushError
from omapush.protocol.sip_core import MAGIC_COOKIE, Core
from omapush.protocol.sip_message import SipMessage
from omapush.protocol.sip_wire import write_request
from omapush.receiver.access import Way
from omapush.receiver.settings import Timers
from omapush.receiver.transport import Address, Transport, TransportFailed

LARGEST_DATAGRAM: Final = 1_300
"Octets of a request that may go by UDP where the path MTU is not known (RFC 3261 18.1.1)."
_MOST_SPARED: Final = 64
_SPARED_S: Final = 60.0
"A peer that took no connection is sent datagrams for so long, however large."
MOST_SERVER_TRANSACTIONS: Final = 50_000


class NoAnswer(PushError):
    """Timer F: no final response came; counts as a 408 (RFC 3261 8.1.3.1)."""

    sip_status = 408
    sip_reason = "Request Timeout"


class Moved(PushError):
    """The device has another address now, and nobody waits for the answer at the old one: ask again."""


class _Waiting:
    """A request without final response."""

    def __init__(self) -> None:
        self.final: asyncio.Future[SipMessage] = asyncio.get_running_loop().create_future()
        self.provisional = False
        self.over: tuple[Transport, Address] | None = None
        "The connection that it went over."


class ClientTransactions:
    """Requests that we sent and wait for."""

    def __init__(self, timers: Timers) -> None:
        self._timers = timers
        self._spared: dict[Address, float] = {}
        "Peers that took no connection, and until when they are asked for none."
        self._waiting: dict[tuple[str, str], _Waiting] = {}

    async def request(
        self, method: str, uri: str, headers: Sequence[tuple[str, str]], body: bytes, way: Way
    ) -> SipMessage:
        """
        Send a request, with a Via of ours before `headers`, and return its final response.

        Raises:
            NoAnswer: none came within 64*T1.
            TransportFailed: it could not be sent.
            Moved: `move` was called before there was one.
        """
        branch = f"{MAGIC_COOKIE}{secrets.token_hex(10)}"
        waiting = self._waiting[branch, method] = _Waiting()

        def data(transport: Transport) -> bytes:
            host, port = transport.local[0], transport.local[1]
            shown = f"[{host}]" if ":" in host else host
            via = f"SIP/2.0/{transport.name} {shown}:{port};branch={branch};rport"
            return write_request(method, uri, [("Via", via), ("Max-Forwards", "70"), *headers], body)

        try:
            async with asyncio.timeout(self._timers.longest_s):
                if way.transport.reliable:
                    await way.transport.send(data(way.transport), way.to)
                    waiting.over = way.transport, way.to
                elif not await self._sent_as_large(data, way, waiting):
                    return await self._repeated(lambda: data(way.transport), way, waiting)
                return await waiting.final
        except TimeoutError:
            if way.large is not None and waiting.over is not None:
                way.large.drop(way.to)  # it may lead nowhere since long ago
            raise NoAnswer(f"{method} to {way.to[0]}:{way.to[1]}: no answer") from None
        finally:
            waiting.final.cancel()
            del self._waiting[branch, method]

    def move(self) -> None:
        """Give up all requests that wait for an answer: `Moved`."""
        for waiting in self._waiting.values():
            if not waiting.final.done():
                waiting.final.set_exception(Moved("the device has another address"))

    def broken(self, transport: Transport, peer: Address) -> None:
        """A connection is over: what waits for an answer over it has failed (RFC 3261 17.1.4)."""
        for waiting in self._waiting.values():
            if waiting.over == (transport, peer) and not waiting.final.done():
                waiting.final.set_exception(
                    TransportFailed(f"{transport.name} to {peer[0]}:{peer[1]}: connection closed")
                )

    async def _sent_as_large(self, data: Callable[[Transport], bytes], way: Way, waiting: _Waiting) -> bool:
        """Send over a connection what is too large for a datagram; False: it is not, or nobody takes one."""
        if way.large is None or len(data(way.transport)) <= LARGEST_DATAGRAM:
            return False
        if self._spared.get(way.to, 0.0) > clock.monotonic():
            return False
        try:
            await way.large.send(data(way.large), way.to)
        except TransportFailed as error:
            log.get().warning("large_request_by_udp", peer=f"{way.to[0]}:{way.to[1]}", reason=str(error))
            if len(self._spared) >= _MOST_SPARED:
                self._spared.clear()
            self._spared[way.to] = clock.monotonic() + _SPARED_S
            return False
        waiting.over = way.large, way.to
        return True

    async def _repeated(self, data: Callable[[], bytes], way: Way, waiting: _Waiting) -> SipMessage:
        """Send again and again until the answer is there."""
        sent = 0
        while True:
            await way.transport.send(data(), way.to)
            sent += 1
            done, _ = await asyncio.wait([waiting.final], timeout=self._timer_e(sent, waiting))
            if done:
                return waiting.final.result()

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


Make = Callable[[str, Callable[[bytes], None], bool], ServerTransaction]
"A new transaction for a request of that method, answered so, over a connection or not."


class ServerTransactions:
    """Requests to us of the last 64*T1."""

    def __init__(self, timers: Timers, make: Make, *, most: int = MOST_SERVER_TRANSACTIONS) -> None:
        self._make = make
        self._known: dict[Hashable, ServerTransaction] = {}
        self._ends: deque[tuple[float, Hashable]] = deque()
        self._keep_s = timers.longest_s
        self._most = most
        self.repeated = 0

    def take(
        self, message: SipMessage, core: Core, answer: Callable[[bytes], None], *, reliable: bool
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
        made = self._known[key] = self._make(core.cseq.method, answer, reliable)
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
