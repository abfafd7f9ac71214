"""
How many requests a sender may have in flight, in all and to each next hop.

A next hop has a window of its own, smaller than the whole, so that an S-CSCF that is silent cannot take the
place of those that answer. Devices that are silent behind one that answers are what in_flight.py is about.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from hashlib import blake2s

import in_flight
from coming_back import ComingBack
from in_flight import Count

from omapush.protocol.sip_uri import host_and_port

_TRY_OTHERS_S = 0.05
_OTHERS = 16
"Deliveries taken while the only hop in use is full, and takes as many as make looking further a waste."
_FAST_PER_S = 500
"A hop that ends so many requests of this sender a second."
_PART_OF_ONE = 0.75
"Of a window for which no other size for one hop is configured; as in the defaults of those for pushes."


@lru_cache(maxsize=1024)
def hop_of(next_hop: str) -> str:
    """
    Return the short name under which a next hop is counted; two hops may share one.

    Only its address counts: the subscribers behind one S-CSCF, or its several users' parts, are one hop.
    """
    return blake2s(host_and_port(next_hop).encode(), digest_size=2).hexdigest()


def part_of_one(size: int) -> int:
    """Return how much of a window one next hop may take, so that a silent one leaves room for others."""
    return max(1, int(size * _PART_OF_ONE))


def share_out(room: int, shards: Sequence[int], most: int) -> tuple[Sequence[int], int]:
    """
    Return in which of these shards requests may begin, and how many in each, `most` at most.

    With less room than shards it is one each of some of them, chosen anew each time so that none is always
    last.
    """
    if not shards or room <= 0:
        return (), 0
    if room < len(shards):
        return random.sample(shards, room), 1
    return shards, min(most, room // len(shards))


class Window:
    """The window of one sender process."""

    def __init__(
        self, sender: int | str, size: int = 1, hop_size: int = 1, longest_s: float = 0.0, allowance: int = 0
    ) -> None:
        """`sender`: its number, or the name under which it counts requests of some other kind."""
        self._sender = sender
        self._hop_size = hop_size
        self._longest_s = longest_s
        self._allowance = allowance
        self._kept = size - hop_size
        "What is left when one hop has its whole window."
        self._all = Count(f"{sender}", size, longest_s, allowance)
        self._hops: dict[str, Count] = {}
        self._coming_back = ComingBack()
        self._tried_others_at = 0.0

    def resize(self, size: int, hop_size: int, longest_s: float, allowance: int) -> None:
        """Let so many be in flight from now on, in all and to each next hop; the rest as for a count."""
        self._hop_size, self._longest_s, self._allowance = hop_size, longest_s, allowance
        self._kept = size - hop_size
        self._all.resize(size, longest_s, allowance)
        for count in self._hops.values():
            count.resize(hop_size, longest_s, allowance)

    def free(self, now: float) -> int:
        """
        Return how many deliveries are worth taking.

        Most cores have one S-CSCF: what is taken beyond its room would only be put off again. So while one
        hop alone is in use, its room counts. When it has none, what is behind may still be for another: a few
        are tried now and then, and all there are while the hop takes little or nothing. What is for the hop
        is then put off, and how often that happens is bounded (`wait_ms`).
        """
        self._all.look(now)
        for hop in [hop for hop, count in self._hops.items() if self._is_idle(count, now)]:
            del self._hops[hop]
            self._coming_back.forget(hop)
        if len(self._hops) > 1:
            return self._all.free
        count = next(iter(self._hops.values()), None)
        room = self._hop_size if count is None else count.free
        if room > 0:
            return min(self._all.free, room)
        if count is not None and count.ended_per_s < _FAST_PER_S:
            return self._all.free
        if now - self._tried_others_at > _TRY_OTHERS_S:
            self._tried_others_at = now
            return min(self._all.free, _OTHERS)
        return 0

    @staticmethod
    def _is_idle(count: Count, now: float) -> bool:
        count.look(now)
        return count.in_flight == 0

    def has_room(self, hop: str) -> bool:
        """Tell whether the whole window of a next hop has room."""
        count = self._hops.get(hop)
        return count is None or (count.free > 0 and self._leaves_some(count))

    def _leaves_some(self, count: Count) -> bool:
        """
        Tell whether there is room for others after one more request to a hop.

        Several hops that answer nothing would fill the whole window together. When that much of it is taken,
        such a hop gets as many places as are left to all others, and no more.
        """
        left = self._all.free
        return left > self._kept or count.is_answering or count.in_flight < left

    def is_silent(self, hop: str) -> bool:
        """Tell whether a hop has answered nothing for some seconds, of all that was sent there."""
        count = self._hops.get(hop)
        return count is not None and count.is_silent

    def wait_ms(self, hop: str, now: float, size: int) -> int:
        """
        Return how long a request for a next hop has to wait for room there; 0 when it may go now.

        `size`: how many the hop may have now, at most its whole window.
        """
        count = self._hops.get(hop)
        if count is None or (count.has_room(size) and self._leaves_some(count)):
            return 0
        return self._coming_back.wait_ms(hop, now * 1000, count.ended_per_s, is_moving=count.is_moving(now))

    def turn_ms(self, hop: str, now: float, *, is_soon: bool) -> int:
        """Return when one has a turn that cannot leave though there is room; `is_soon`: it may shortly."""
        return self._coming_back.wait_ms(hop, now * 1000, 0.0, is_moving=is_soon)

    def sent(self, hop: str, number: int = 1) -> None:
        """Note that a request is sent; -1: it could not be."""
        self._all.sent(number)
        if hop not in self._hops:
            name = f"{self._sender}:{hop}"
            self._hops[hop] = Count(name, self._hop_size, self._longest_s, self._allowance)
        self._hops[hop].sent(number)

    @property
    def hop_size(self) -> int:
        """How many may be in flight to one next hop."""
        return self._hop_size

    @property
    def room(self) -> int:
        """How many more may be sent, whatever their next hops."""
        return self._all.free

    @property
    def in_flight(self) -> int:
        """Requests without a final answer, as of the last look."""
        return self._all.in_flight


def add_ended(ended: Mapping[tuple[int | str, str, int], int]) -> None:
    """
    Tell senders' windows how many of their requests have ended, in all and for each next hop.

    `ended`: numbers by sender as its window has it, the hop's short name, and `in_flight.end_of`.
    """
    numbers: dict[str, Counter[int]] = {}
    for (sender, hop, end), number in ended.items():
        for name in (f"{sender}", f"{sender}:{hop}"):
            numbers.setdefault(name, Counter())[end] += number
    for name, ends in numbers.items():
        in_flight.add_ended(name, ends)
