"""One MSRP connection of the media worker: reads requests and answers, writes whole chunks."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol, cast

from omapush import log
from omapush.errors import MalformedMsrp
from omapush.protocol.msrp import Body, End, Request, Response
from omapush.protocol.msrp_reader import MsrpReader

_MOST_DISCARDED: Final = 1_048_576
"Octets of content that a device may send, although we accept none, before the connection is closed."
_MOST_BACKLOG: Final = 8_388_608
"Octets that may wait to be sent. A chunk waits for `is_writable`, so only answers can pile up behind one."


class Owner(Protocol):
    """The listener for events of a connection."""

    def opened(self, connection: MsrpConnection) -> None: ...

    def closed(self, connection: MsrpConnection) -> None: ...

    def writable(self, connection: MsrpConnection) -> None:
        """Everything was sent; more may be written."""

    def asked(self, connection: MsrpConnection, request: Request) -> None:
        """A request is complete."""

    def answered(self, connection: MsrpConnection, response: Response) -> None: ...


class MsrpConnection(asyncio.Protocol):
    """A connection that was accepted or made; closed for good once `is_open` is False."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._reader = MsrpReader()
        self._transport: asyncio.Transport | None = None
        self._request: Request | None = None
        self._discarded = 0
        self.written = 0
        "Octets that were handed to it."
        self.is_open = False
        self.is_writable = False
        self.why_lost = "closed by the device"

    @property
    def certificate(self) -> bytes | None:
        """The device's, DER; None without TLS, or when it showed none."""
        ssl_object = self._transport.get_extra_info("ssl_object") if self._transport else None
        found = None if ssl_object is None else ssl_object.getpeercert(binary_form=True)
        return found if isinstance(found, bytes) else None

    @property
    def peer(self) -> str:
        """Address and port of the device, for the log."""
        address = self._transport.get_extra_info("peername") if self._transport else None
        return f"{address[0]}:{address[1]}" if address else ""

    def write(self, *pieces: bytes | bytearray) -> None:
        """Write octets that belong together; more only while `is_writable`."""
        if self._transport is None or not self.is_open:
            return
        if self._transport.get_write_buffer_size() > _MOST_BACKLOG:
            self.why_lost = "the device asks and does not read our answers"
            self.abort()
            return
        self.written += sum(map(len, pieces))
        self._transport.writelines(pieces)

    @property
    def gone(self) -> int:
        """Octets that the network has taken."""
        return self.written - (self._transport.get_write_buffer_size() if self._transport else 0)

    def close(self) -> None:
        """Close it once everything was sent."""
        self.is_open = self.is_writable = False  # nobody may begin to use it meanwhile
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close it at once."""
        if self._transport is not None:
            self._transport.abort()

    # asyncio.Protocol -----------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one without saying so
        self.is_open = self.is_writable = True
        self._owner.opened(self)

    def connection_lost(self, error: Exception | None) -> None:
        self.is_open = self.is_writable = False
        if error is not None:
            self.why_lost = f"connection lost: {error}"
        self._owner.closed(self)

    def pause_writing(self) -> None:
        self.is_writable = False

    def resume_writing(self) -> None:
        self.is_writable = self.is_open
        self._owner.writable(self)

    def data_received(self, data: bytes) -> None:
        try:
            events = self._reader.feed(data)
        except MalformedMsrp as error:
            log.get().warning("msrp_not_understood", peer=self.peer, reason=str(error))
            self.why_lost = f"the device broke MSRP: {error}"
            self.abort()
            return
        for event in events:
            match event:
                case Response():
                    self._owner.answered(self, event)
                case Request():
                    self._request = event
                case Body():
                    self._discarded += len(event.data)
                case End() if self._request is not None:
                    self._owner.asked(self, self._request)
        if self._discarded > _MOST_DISCARDED:
            self.why_lost = "the device sent content to us"
            self.abort()
