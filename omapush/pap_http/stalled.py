"""Connections whose peers take nothing of what they are sent: each would stay for ever, with its answer."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Final, NamedTuple

from omapush import clock

_LOOK_EVERY_S: Final = 5.0
# tcpi_unacked, tcpi_bytes_acked and tcpi_notsent_bytes of struct tcp_info, where Linux has them     tcp(7)
_UNACKED: Final = struct.Struct("=24xI")
_ACKED: Final = struct.Struct("=120xQ")
_NOT_SENT: Final = struct.Struct("=144xI")
_INFO_BYTES: Final = 148


class Sent(NamedTuple):
    """What became of what was sent on a connection, as the operating system knows: TLS hides it above."""

    taken: int
    "Bytes that the peer's system has acknowledged."
    waits: bool
    "Whether there is more."


_NOTHING: Final = Sent(0, False)


class Stalled:
    """All connections of a process, and since when each has taken nothing."""

    def __init__(self, request_s: float) -> None:
        """
        A connection ends when there is something and its peer has taken nothing of it for twice `request_s`.

        Devices lose their network for a while, and go on.
        """
        self._within_s = 2 * request_s
        self._seen: dict[asyncio.Transport, tuple[Sent, float]] = {}
        "What the last look found that found another than the one before it, and when that was."

    def enter(self, transport: asyncio.Transport) -> None:
        """Look at one more connection."""
        self._seen[transport] = (_NOTHING, 0.0)

    def leave(self, transport: asyncio.Transport) -> None:
        """Forget a connection that has ended."""
        self._seen.pop(transport, None)

    async def watch(self) -> None:
        """Keep looking, for as long as the api runs."""
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            self.look(clock.monotonic())

    def look(self, now: float) -> None:
        """Look once; nothing more is sent where nothing was taken for too long."""
        for transport, (before, since) in list(self._seen.items()):
            found = sent(transport)
            if not found.waits or found != before:
                self._seen[transport] = (found, now)
            elif now - since >= self._within_s:
                transport.abort()


def sent(transport: asyncio.Transport) -> Sent:
    """Return what became of what was sent; nothing of what is no TCP connection, or not any more."""
    connection = transport.get_extra_info("socket")
    try:
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
        waits = bool(_UNACKED.unpack_from(info)[0] or _NOT_SENT.unpack_from(info)[0])
        return Sent(_ACKED.unpack_from(info)[0], waits)
    except (AttributeError, OSError, struct.error):
        return _NOTHING
