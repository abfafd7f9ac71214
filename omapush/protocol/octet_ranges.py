"""Which octets of a message have been seen, when they are told in pieces of any order."""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

MOST_RANGES: Final = 256
"Separate pieces that are kept; whoever tells more of them is not telling about a message."


class OctetRanges:
    """A set of octets, counted from 1, as ranges that neither touch nor overlap."""

    __slots__ = ("_ends", "_starts")

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []

    def add(self, start: int, end: int) -> bool:
        """Add the octets from `start` to `end`, both included; False when they were known or do not fit."""
        if end < start:
            return False
        first = bisect_left(self._ends, start - 1)
        last = first
        while last < len(self._starts) and self._starts[last] <= end + 1:
            last += 1
        if first == last:
            if len(self._starts) >= MOST_RANGES:
                return False
        elif last == first + 1 and self._starts[first] <= start and end <= self._ends[first]:
            return False
        else:
            start, end = min(start, self._starts[first]), max(end, self._ends[last - 1])
        self._starts[first:last] = [start]
        self._ends[first:last] = [end]
        return True

    @property
    def prefix(self) -> int:
        """The octets from the first one on, without a gap."""
        return self._ends[0] if self._starts and self._starts[0] == 1 else 0
