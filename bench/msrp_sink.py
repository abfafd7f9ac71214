"""
A process that takes streams and throws them away: MSRP messages on one port, plain octets on the next.

Each that is whole is a line on standard output: octets, when its connection came, when it was whole, in
seconds of the system's monotonic clock. MSRP is answered and reported as a device has to.
"""

from __future__ import annotations

import asyncio
import secrets
import sys
import time
from typing import cast

import uvloop

from omapush.protocol.msrp import (
    Body,
    ByteRange,
    End,
    Flag,
    Request,
    Status,
    report_on,
    response_to,
    write_request,
    write_response,
)
from omapush.protocol.msrp_reader import MsrpReader

END = b"k"
"What a plain sender gets when its octets are there."


_BUFFER = bytearray(262_144)
"What comes is read into this, as the receiver does (omapush/receiver/media.py): nothing is kept."


class _Sink(asyncio.BufferedProtocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._began = time.monotonic()

    def get_buffer(self, sizehint: int) -> bytearray:
        return _BUFFER

    def _is_whole(self, octets: int) -> None:
        print(octets, self._began, time.monotonic(), flush=True)


class MsrpSink(_Sink):
    """Takes one message on each connection."""

    def __init__(self) -> None:
        self._reader = MsrpReader()
        self._octets = 0
        self._request: Request | None = None

    def buffer_updated(self, nbytes: int) -> None:
        for event in self._reader.feed(_BUFFER, nbytes):
            match event:
                case Body():
                    self._octets += len(event.data)
                case Request():
                    self._request = event
                case End() if self._request is not None:
                    self._end(self._request, event.flag)

    def _end(self, request: Request, flag: Flag) -> None:
        response = response_to(request, 200)
        if response is not None:
            self._transport.write(write_response(response))
        if flag is Flag.COMPLETE:
            self._is_whole(self._octets)
            span = ByteRange(1, self._octets, self._octets)
            report = report_on(request, span, Status(200, "OK"), transaction=secrets.token_hex(12))
            self._transport.write(write_request(report))


class PlainSink(_Sink):
    """Takes a stream that says its length in its first eight octets."""

    def __init__(self) -> None:
        self._length = 0
        self._octets = 0

    def buffer_updated(self, nbytes: int) -> None:
        if not self._octets:
            self._length = int.from_bytes(_BUFFER[:8])
        self._octets += nbytes
        if self._octets == self._length:
            self._is_whole(self._octets)
            self._transport.write(END)


_EVERY = "0.0.0.0"  # noqa: S104 - devices of the bench have 127.0.1.1, 127.0.1.2, ...


async def main(port: int) -> None:
    """Serve until killed."""
    loop = asyncio.get_running_loop()
    async with (
        await loop.create_server(MsrpSink, _EVERY, port, backlog=1_000),
        await loop.create_server(PlainSink, _EVERY, port + 1, backlog=1_000) as plain,
    ):
        print("ready", flush=True)
        await plain.serve_forever()


if __name__ == "__main__":
    uvloop.install()
    asyncio.run(main(int(sys.argv[1])))
