"""What is sampled, by kind, and what each kind may grow by without being called a leak."""

from __future__ import annotations

from collections import defaultdict
from enum import Enum
from typing import Final, NamedTuple

from soak.trend import Tolerance, Trend, trend

_KB: Final = 1_024.0
_MB: Final = 1_024.0 * _KB


class Kind(Enum):
    """One kind of sample; the value is how a report calls it."""

    MEMORY = "memory of a process"
    "Anonymous pages in bytes, also those that it still shares with the process that it was forked from."
    USS = "memory that is a process's alone (USS)"
    PSS = "memory of a process, what is shared divided (PSS)"
    DESCRIPTORS = "open file descriptors"
    PACKAGE = "Kamailio's private memory in use (pkg)"
    SHARED = "Kamailio's shared memory in use (shm)"
    REDIS = "memory of Redis in use"
    KEYS = "keys in Redis"
    MEMBERS = "members of collections in Redis"


TOLERANCES: Final[dict[Kind, Tolerance]] = {
    # Python takes memory from the system by 1 MiB; one or two of these show no leak.
    Kind.MEMORY: Tolerance(1 * _MB, 0.01, 2 * _MB),
    Kind.DESCRIPTORS: Tolerance(2, 0.02, 8),
    Kind.PACKAGE: Tolerance(64 * _KB, 0.01, 128 * _KB),
    Kind.SHARED: Tolerance(1 * _MB, 0.01, 2 * _MB),
    Kind.REDIS: Tolerance(1 * _MB, 0.02, 2 * _MB),
    Kind.KEYS: Tolerance(20, 0.02, 100),
    Kind.MEMBERS: Tolerance(20, 0.02, 100),
}
"Of the kinds that are judged. USS and PSS are not: they grow as forked processes cease to share pages."


class Series(NamedTuple):
    """The name of one line of samples."""

    kind: Kind
    name: str
    "Process, or kind of key."


class Samples:
    """All that was sampled, each series with its own times."""

    def __init__(self) -> None:
        self.points: defaultdict[Series, list[tuple[float, float]]] = defaultdict(list)

    def add(self, at_s: float, values: dict[Series, float]) -> None:
        """Note values, all of the same moment."""
        for series, value in values.items():
            self.points[series].append((at_s, value))

    def trends(self, from_s: float) -> dict[Series, Trend]:
        """Return what each series that is judged does from that moment on."""
        return {
            series: trend([point for point in points if point[0] >= from_s], TOLERANCES[series.kind])
            for series, points in self.points.items()
            if series.kind in TOLERANCES
        }
