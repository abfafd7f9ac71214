"""Which way requests of one kind leave to their next hop, and when."""

from __future__ import annotations

from hops import Hops, Way
from settings import Settings
from window import Window, hop_of

from omapush import clock


class Gate:
    """
    Part of a sender process: requests of one kind pass it, be they pushes, NOTIFYs without content or others.

    Each kind has its own window. What a hop has asked for by 503, and its rate, are of all kinds together.
    """

    def __init__(self, settings: Settings, hops: Hops, window: Window) -> None:
        self._tcp_above = settings.config.sip.tcp_above
        self._hops = hops
        self._window = window

    def way(self, next_hop: str, size: int, path_failures: int = 0) -> Way:
        """Return where a request of so many bytes goes, after so many tries that found nobody."""
        by_tcp = 0 < self._tcp_above < size
        return self._hops.way(next_hop, path_failures, by_tcp=by_tcp, is_silent=self._window.is_silent)

    def wait_ms(self, way: Way, ticket: str) -> int:
        """
        Return how long a request has to wait before it may leave; 0: it leaves now.

        `ticket`: under which it has its turn when it comes again.
        """
        if not way.address:
            return way.wait_ms
        hop = hop_of(way.address)
        if self._hops.is_unhindered(hop) and self._window.has_room(hop):
            return 0
        if pause_ms := self._hops.pause_ms(hop):
            return pause_ms
        size = self._hops.window(hop, self._window.hop_size)
        if full_ms := self._window.wait_ms(hop, clock.monotonic(), size):
            return full_ms
        return self._hops.turn_ms(hop, ticket)
