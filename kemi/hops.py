"""Where a request goes first, and when: the address of its next hop that works, and the hop's own limits."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import hop_state
import metrics
from hop_pace import HopPace
from hop_state import HopState
from tcp_probe import TcpProbe
from window import hop_of

from omapush import clock, log
from omapush.protocol.sip_uri import host_and_port

_RECOVERY: Final = 0.1
"Part of the window that a slowed hop gets back each second."
_SMALLEST: Final = 1 / 64
_LEAST_PART: Final = 0.001
_SPREAD_MS: Final = 250
"What waits for the end of a pause comes back over so long."


@dataclass
class _Hop:
    state: HopState
    address: str = ""
    share: float = 1.0
    "Part of the window that the hop gets."
    looked_at: float = 0.0
    pace: HopPace = field(default_factory=HopPace)


class Hops:
    """Part of a sender process."""

    def __init__(self, rate: float, burst: int, alternatives: Mapping[str, tuple[str, ...]]) -> None:
        """
        Limit each next hop to `rate` requests a second and `burst` at once; a rate of 0 is none.

        Both are of all senders together. `alternatives`: further addresses of a hop, by its own.
        """
        self._rate = rate
        self._burst = burst
        self._alternatives = alternatives
        self._hops: dict[str, _Hop] = {}
        self._changes = 0
        self._probe = TcpProbe()
        self._part = 1.0

    def look(self, part: float) -> None:
        """
        See what has changed; once for each batch.

        `part` of all users is sent for by this process: so much of rate and burst is its own.
        """
        self._part = part
        changes = hop_state.changes()
        if changes == self._changes:
            return
        self._changes = changes
        for name, hop in self._hops.items():
            before, hop.state = hop.state, hop_state.read(name)
            if hop.address:
                metrics.show_hop(hop.address, hop.state.paused_until_ms, hop.state.down_until_ms)
            if hop.state.slowed != before.slowed:
                hop.share = max(hop.share / 2, _SMALLEST)
            if hop.state.paused_until_ms > before.paused_until_ms:
                for_s = (hop.state.paused_until_ms - clock.now_ms()) / 1000
                log.get().warning("next_hop_paused", hop=hop.address or name, for_s=round(max(for_s, 0), 1))

    # Where ---------------------------------------------------------------------------------------

    def address(self, next_hop: str, path_failures: int, *, by_tcp: bool) -> str:
        """
        Return the address that a request for a next hop goes to; empty: all of them refuse.

        `path_failures`: so many tries of this push found nobody there, so it goes to another one now.
        """
        known = self._of(hop_of(next_hop))
        known.address = known.address or host_and_port(next_hop)
        others = self._alternatives.get(known.address, ()) if self._alternatives else ()
        if not others:
            return "" if self._refuses(next_hop, by_tcp=by_tcp) else next_hop
        everyone = (next_hop, *others)
        first = path_failures % len(everyone)
        ordered = everyone[first:] + everyone[:first]
        now_ms = clock.now_ms()
        ordered = tuple(sorted(ordered, key=lambda uri: self._is_away(uri, now_ms)))  # else in their order
        return next((uri for uri in ordered if not self._refuses(uri, by_tcp=by_tcp)), "")

    def _is_away(self, uri: str, now_ms: int) -> bool:
        state = self._of(hop_of(uri)).state
        return max(state.down_until_ms, state.paused_until_ms) > now_ms

    def _refuses(self, uri: str, *, by_tcp: bool) -> bool:
        if not by_tcp and ";transport=tcp" not in uri.lower():
            return False
        return self._probe.refuses(uri, clock.monotonic())

    # When ----------------------------------------------------------------------------------------

    def is_unhindered(self, hop: str) -> bool:
        """Tell whether a hop has no limit but the size of its window, as most have at most times."""
        known = self._of(hop)
        return not self._rate and known.share >= 1 and not known.state.paused_until_ms

    def pause_ms(self, hop: str) -> int:
        """Return how long a hop wants nothing; 0: it takes requests."""
        until_ms = self._of(hop).state.paused_until_ms
        left_ms = until_ms - clock.now_ms() if until_ms else 0
        return left_ms + random.randrange(_SPREAD_MS) if left_ms > 0 else 0

    def turn_ms(self, hop: str, ticket: str) -> int:
        """Return how long a push has to wait for its turn by the hop's rate; 0: it leaves now."""
        if not self._rate:
            return 0
        part = max(self._part, _LEAST_PART)
        return self._of(hop).pace.wait_ms(
            ticket,
            clock.monotonic() * 1000,
            interval_ms=1000 / (self._rate * part),
            burst=self._burst * part,
        )

    def window(self, hop: str, size: int) -> int:
        """Return how many may be in flight to a hop: fewer than `size` after it has asked for less."""
        known = self._of(hop)
        if known.share < 1:
            now = clock.monotonic()
            known.share = min(1.0, known.share + (now - (known.looked_at or now)) * _RECOVERY)
            known.looked_at = now if known.share < 1 else 0.0
        return max(1, int(size * known.share))

    def _of(self, name: str) -> _Hop:
        known = self._hops.get(name)
        if known is None:
            known = self._hops[name] = _Hop(hop_state.read(name))
        return known
