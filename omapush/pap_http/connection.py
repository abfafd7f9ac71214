"""The HTTP connection as uvicorn has it, with bounds on what one may send before anybody knows who it is."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from typing import Final

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from omapush.config import Api
from omapush.pap_http import tls
from omapush.pap_http.shedding import Valve
from omapush.pap_http.stalled import Stalled
from omapush.pap_http.strict_http import StrictConnection
from omapush.push.networks import Networks

CERTIFICATE_NAMES: Final = "omapush.certificate_names"
"Extension of a request's scope: whom the verified certificate of the connection is for."
LARGEST_HEAD: Final = 16_384
"Bytes of request line and header fields together; above it the answer is 431."
MOST_FIELDS: Final = 100
"Header fields of a request, its trailer fields included; above it the answer is 431."
REQUEST_WITHIN_S: Final = 30.0
"A request that has not come to its end so long after its first byte gets 408 and loses its connection."
SLOWEST_BODY: Final = 65_536
"Bytes of a body for each of which, whole, its request has a second more."


_PHRASES: Final = {
    400: "Bad Request",
    408: "Request Timeout",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    501: "Not Implemented",
    505: "HTTP Version Not Supported",
}


class Crowd:
    """How many connections each address has; those of proxies are many people's."""

    def __init__(self, most: int, proxies: Iterable[str]) -> None:
        self._most = most
        self._proxies = Networks(proxies)
        self._open: Counter[str] = Counter()

    def enter(self, address: str) -> bool:
        """Count one more; False when that is too many, and it is counted all the same."""
        self._open[address] += 1
        return self._open[address] <= self._most or self._proxies.holds(address)

    def leave(self, address: str) -> None:
        """Count one less."""
        self._open[address] -= 1
        if self._open[address] <= 0:
            del self._open[address]


class BoundedConnection(StrictConnection):
    """Refuses a head that is too long and hangs up on a request that does not end."""

    crowd = Crowd(1_000_000, ())
    "Shared by all connections of a server."
    within_s = REQUEST_WITHIN_S
    stalled = Stalled(REQUEST_WITHIN_S)
    "Shared by all connections of a process."

    _head = 0
    "Bytes of the current request's URL and fields, its trailer fields included."
    _fields = 0
    _begun = False
    "Whether anything of the current request has come."
    _is_taken = False
    "Whether its head has come to its end, so that the application has it."
    _is_ending = False
    "Whether nothing more is read, and the connection ends with the answers to what came before."
    _unread = 0
    "Bytes that came since the parser last had something whole to tell: it keeps them all."
    _body = 0
    "Bytes of the current request's body so far."
    _overdue: asyncio.TimerHandle | None = None
    _granted = 0.0
    "Seconds that the current request has in all, as far as the timer knows."

    _answered: RequestResponseCycle | None = None
    "The request that the application has last; others may have come behind it."
    _address = ""
    _names: tuple[str, ...] = ()
    "Whom the peer's verified certificate is for; none without one."

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._names = tls.names(transport.get_extra_info("peercert"))
        self._await_end()
        self.stalled.enter(transport)
        self._address = self.client[0] if self.client else ""
        if not self.crowd.enter(self._address):
            self._refuse(429, "too many connections from your address")

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended()
        self.stalled.leave(self.transport)
        self.crowd.leave(self._address)
        super().connection_lost(exc)
        if self._answered is not None:  # the library tells the request that came last, and no other
            self._answered.disconnected = True
            self._answered.message_event.set()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._answered = cycle
        super()._start_asgi_task(cycle, app)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing() or self._is_ending:
            return
        self._await_end()
        self._begun = True
        self._unread += len(data)
        super().data_received(data)
        if self._unread > LARGEST_HEAD and not (self.transport.is_closing() or self._is_ending):
            self._give_up(431, "request head too long")

    def send_400_response(self, msg: str) -> None:
        self._give_up(self.refusal.status, msg)

    def on_response_complete(self) -> None:
        is_last = not self.pipeline  # else the next one begins now
        super().on_response_complete()
        if self._is_ending and is_last:
            self.transport.close()

    def on_message_begin(self) -> None:
        self._head = self._fields = self._unread = self._body = 0
        self._begun, self._is_taken = True, False
        self._await_end()
        super().on_message_begin()
        if self._names:
            self.scope["extensions"] = {CERTIFICATE_NAMES: dict.fromkeys(self._names)}

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields += 1
        self._count(len(name) + len(value) + len(b": \r\n"))
        if not self.is_headed:  # one behind the body says nothing about the request (RFC 9110 6.5.1)
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._is_taken = not self.keeps_back

    def on_body(self, body: bytes) -> None:
        self._unread = 0
        self._body += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._unread = 0
        self._begun = False
        self._ended()
        super().on_message_complete()

    def _count(self, size: int) -> None:
        self._unread = 0
        self._head += size
        if self._head > LARGEST_HEAD or self._fields > MOST_FIELDS:
            self.refuse(431, "request head too long, or of too many fields")

    def _await_end(self) -> None:
        if self._overdue is None:
            self._granted = self.within_s
            self._overdue = self.loop.call_later(self.within_s, self._hang_up)

    def _ended(self) -> None:
        if self._overdue is not None:
            self._overdue.cancel()
            self._overdue = None

    def _hang_up(self) -> None:
        earned = self.within_s + self._body // SLOWEST_BODY
        if earned > self._granted:
            self._overdue = self.loop.call_later(earned - self._granted, self._hang_up)
            self._granted = earned
        elif not self.transport.is_closing():
            if self._begun:
                self._give_up(408, "the request did not come to its end in time")
            else:
                self.transport.close()

    def _give_up(self, status: int, why: str) -> None:
        """
        Read nothing more, and say why, unless that would be taken for the answer to an earlier request.

        Then those before it are still answered, and the connection ends.
        """
        if self._is_unanswered():
            self._refuse(status, why)
        elif self._is_taken and not self.pipeline:  # its own answer has begun
            self.transport.close()
        else:
            if self._is_taken:
                self.pipeline.popleft()
            self._is_ending = True
            self._ended()

    def _is_unanswered(self) -> bool:
        """Whether an answer now would be that of the current request, and its first."""
        if self._is_taken:
            return not self.cycle.response_started and not self.pipeline
        return self.cycle is None or self.cycle.response_complete

    def _refuse(self, status: int, why: str) -> None:
        """Answer without the application, and hang up."""
        body = f"{why}\n"
        lines = [
            f"HTTP/1.1 {status} {_PHRASES[status]}",
            "content-type: text/plain; charset=utf-8",
            f"content-length: {len(body)}",
            "connection: close",
            "x-content-type-options: nosniff",
            "cache-control: no-store",
        ]
        if status == 429:
            lines.append("retry-after: 5")
        self.transport.write("\r\n".join([*lines, "", body]).encode())
        self.transport.close()


def bounded(
    settings: Api, sheds: Valve | None = None, looked_at: Stalled | None = None
) -> type[BoundedConnection]:
    """
    Return the connections of one server, with the bounds of its configuration.

    `sheds`: what sheds pushes; `looked_at`: what ends those whose peers take nothing.
    """

    class Connection(BoundedConnection):
        crowd = Crowd(settings.connections_per_address, settings.trusted_proxies)
        within_s = settings.request_s
        valve = sheds
        stalled = looked_at or Stalled(settings.request_s)

    return Connection
