"""Where a request goes first, and when: the address of its next hop that works, and the hop's own limits."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import hop_state
import metrics
import named_hops
from coming_back import ComingBack
from hop_pace import HopPace
from hop_state import HopState
from named_hops import Addresses
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


REFUSED: Final = "it refuses TCP connections"
NO_NAME: Final = "DNS does not know it"
_ASKED: Final = "names"
"What waits for DNS has its turns together."


class Way(NamedTuple):
    """Where a request goes."""

    next_hop: str
    "The hop's own URI, or that of another one in its place."
    address: str
    "The URI of a server there that works; empty: there is none now."
    wait_ms: int = 0
    "The push is to be put off for so long, for nobody knows the address yet."
    why: str = ""
    "What is the matter when there is no address and nothing to wait for."


@dataclass(slots=True)
class _Hop:
    state: HopState
    address: str = ""
    is_told: bool = False
    "The completer knows its URI."
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
        self._coming_back = ComingBack()

    def look(self, part: float) -> None:
        """
        See what has changed; once for each batch.

        `part` of all users is sent for by this process: so much of rate and burst is its own.
        """
        self._part = part
        changes = hop_state.changes()
        if changes == self._changes:
            return
        changed = hop_state.changed(self._changes, changes)
        self._changes = changes
        known = self._hops if changed is None else [name for name in changed if name in self._hops]
        for name in known:
            hop = self._hops[name]
            before, hop.state = hop.state, hop_state.read(name)
            if hop.address:
                metrics.show_hop(hop.address, hop.state.paused_until_ms, hop.state.down_until_ms)
            if hop.state.slowed != before.slowed:
                hop.share = max(hop.share / 2, _SMALLEST)
            if hop.state.paused_until_ms > before.paused_until_ms:
                for_s = (hop.state.paused_until_ms - clock.now_ms()) / 1000
                log.get().warning("next_hop_paused", hop=hop.address or name, for_s=round(max(for_s, 0), 1))

    # Where ---------------------------------------------------------------------------------------

    def way(
        self, next_hop: str, path_failures: int, *, by_tcp: bool, is_silent: Callable[[str], bool]
    ) -> Way:
        """
        Return where a request for a next hop goes.

        `path_failures`: so many tries of this push found nobody there, so it goes to another server now.
        `is_silent` tells, by a hop's short name, whether nothing there was answered of late.
        """
        known = self._of(hop_of(next_hop))
        known.address = known.address or host_and_port(next_hop)
        others = self._alternatives.get(known.address, ()) if self._alternatives else ()
        if not others and not named_hops.name_of(next_hop):
            is_refusing = self._refuses(next_hop, by_tcp=by_tcp)
            return Way(next_hop, "", why=REFUSED) if is_refusing else Way(next_hop, next_hop)
        looked = [(uri, named_hops.look(uri)) for uri in (next_hop, *others)]
        everyone = [(uri, address) for uri, found in looked for address in found.uris]
        is_new = looked[0][1].wait_ms > 0 and not looked[0][1].is_asked_long  # to be had in a moment
        if is_new or not everyone:
            return self._unknown(next_hop, [found for _, found in looked])
        first = path_failures % len(everyone)
        ordered = everyone[first:] + everyone[:first]
        if len(ordered) > 1:
            for _, address in ordered:
                self._tell(address)
            now_ms = clock.now_ms()  # else in their order
            ordered.sort(key=lambda one: self._is_away(one[1], now_ms) or is_silent(hop_of(one[1])))
        for uri, address in ordered:
            if not self._refuses(address, by_tcp=by_tcp):
                return Way(uri, address)
        return Way(next_hop, "", why=REFUSED)

    def _unknown(self, next_hop: str, looked: list[Addresses]) -> Way:
        waits = [one for one in looked if one.wait_ms]
        if not waits:
            return Way(next_hop, "", why=NO_NAME)
        if not all(one.is_asked_long for one in waits):
            return Way(next_hop, "", min(one.wait_ms for one in waits))
        now_ms = clock.monotonic() * 1000
        return Way(next_hop, "", self._coming_back.wait_ms(_ASKED, now_ms, 0.0, is_moving=False))

    def _tell(self, address: str) -> None:
        """Have it known where a hop is, so that it can be asked whether it is back."""
        hop = self._of(hop_of(address))
        if not hop.is_told:
            hop.is_told = True
            hop.address = hop.address or host_and_port(address)
            hop_state.tell_address(hop_of(address), address)

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
