"""The HTTP connection as uvicorn has it, with bounds on what one may send before anybody knows who it is."""

from __future__ import annotations

import asyncio
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from omapush.pap_http import tls

CERTIFICATE_NAMES: Final = "omapush.certificate_names"
"Extension of a request's scope: whom the verified certificate of the connection is for."
LARGEST_HEAD: Final = 16_384
"Bytes of request line and header fields together; above it the answer is 400."
REQUEST_WITHIN_S: Final = 30.0
"A request that has not come to its end so long after its first byte ends with its connection."
SLOWEST_BODY: Final = 65_536
"Bytes of a body for each of which, whole, its request has a second more."


class BoundedConnection(HttpToolsProtocol):
    """Refuses a head that is too long and hangs up on a request that does not end."""

    _head = 0
    "Bytes of the current request's URL and fields, its trailer fields included."
    _unread = 0
    "Bytes that came since the parser last had something whole to tell: it keeps them all."
    _body = 0
    "Bytes of the current request's body so far."
    _overdue: asyncio.TimerHandle | None = None
    _granted = 0.0
    "Seconds that the current request has in all, as far as the timer knows."

    _names: tuple[str, ...] = ()
    "Whom the peer's verified certificate is for; none without one."

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._names = tls.names(transport.get_extra_info("peercert"))
        self._await_end()

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._await_end()
        self._unread += len(data)
        super().data_received(data)
        if self._unread > LARGEST_HEAD and not self.transport.is_closing():
            self.send_400_response("Request head too long.")

    def on_message_begin(self) -> None:
        self._head = self._unread = self._body = 0
        self._await_end()
        super().on_message_begin()
        if self._names:
            self.scope["extensions"] = {CERTIFICATE_NAMES: dict.fromkeys(self._names)}

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value) + len(b": \r\n"))
        super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        self._unread = 0
        self._body += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._unread = 0
        self._ended()
        super().on_message_complete()

    def _count(self, size: int) -> None:
        self._unread = 0
        self._head += size
        if self._head > LARGEST_HEAD:  # the parser turns it into the 400 that any broken request gets
            raise ValueError("request head too long")

    def _await_end(self) -> None:
        if self._overdue is None:
            self._granted = REQUEST_WITHIN_S
            self._overdue = self.loop.call_later(REQUEST_WITHIN_S, self._hang_up)

    def _ended(self) -> None:
        if self._overdue is not None:
            self._overdue.cancel()
            self._overdue = None

    def _hang_up(self) -> None:
        earned = REQUEST_WITHIN_S + self._body // SLOWEST_BODY
        if earned > self._granted:
            self._overdue = self.loop.call_later(earned - self._granted, self._hang_up)
            self._granted = earned
        elif not self.transport.is_closing():
            self.transport.close()
