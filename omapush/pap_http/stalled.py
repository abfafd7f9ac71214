"""Connections whose peers take nothing of what they are sent: each would stay for ever, with its answer."""

from __future__ import annotations

import asyncio
from typing import Final

from omapush import clock

_LOOK_EVERY_S: Final = 5.0


class Stalled:
    """All connections of a process, and since when each has taken nothing."""

    def __init__(self, request_s: float) -> None:
        """
        A connection ends when there is something and its peer has taken nothing of it for twice `request_s`.

        Devices lose their network for a while, and go on.
        """
        self._within_s = 2 * request_s
        self._seen: dict[asyncio.Transport, tuple[int, float]] = {}
        "Bytes that waited to be sent at the last look, and since when it is just so many."

    def enter(self, transport: asyncio.Transport) -> None:
        """Look at one more connection."""
        self._seen[transport] = (0, 0.0)

    def leave(self, transport: asyncio.Transport) -> None:
        """Forget a connection that has ended."""
        self._seen.pop(transport, None)

    async def watch(self) -> None:
        """Keep looking, for as long as the api runs."""
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            self.look(clock.monotonic())

    def look(self, now: float) -> None:
        """Look once; nothing that waits is sent any more where nothing was taken for too long."""
        for transport, (before, since) in list(self._seen.items()):
            waiting = transport.get_write_buffer_size()
            if not waiting or waiting != before:
                self._seen[transport] = (waiting, now)
            elif now - since >= self._within_s:
                transport.abort()
