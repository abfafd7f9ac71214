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
    Kind.REDIS: Tolerance(1 * _MB, 0.02, 2 * _MB, 0.05),
    Kind.KEYS: Tolerance(20, 0.02, 100, 0.05),
    Kind.MEMBERS: Tolerance(20, 0.02, 100, 0.05),
}
"Of the kinds that are judged. USS and PSS are not: they grow as forked processes cease to share pages."


class Series(NamedTuple):
    """The name of one line of samples."""

    kind: Kind
    name: str
    "Process, or kind of key."


REGISTRATIONS: Final = Series(Kind.KEYS, "reg")
SUBSCRIPTIONS: Final = Series(Kind.KEYS, "sub")
REDIS: Final = Series(Kind.REDIS, "Redis")
WITHOUT_SESSIONS: Final = Series(Kind.REDIS, "Redis without records of sessions")
SESSIONS_S: Final = 720.0
"Until Redis has as many records of sessions as it gets: each is remembered for ten minutes after its end."
ALL_JUDGED_S: Final = 1_200.0
"A run of that length has samples enough of everything."
_OF_SESSIONS: Final = frozenset(
    (
        REDIS,
        Series(Kind.MEMORY, "redis"),
        Series(Kind.KEYS, "session"),
        Series(Kind.MEMBERS, "session-of"),
        Series(Kind.MEMBERS, "session-due"),
    )
)
_COUNTED: Final = (Kind.KEYS, Kind.MEMBERS)


def judged_from_s(series: Series, warm_up_s: float) -> float:
    """Return from when on a series is judged: most after the warm-up, few later."""
    return max(warm_up_s, SESSIONS_S) if series in _OF_SESSIONS else warm_up_s


class Samples:
    """All that was sampled, each series with its own times."""

    def __init__(self) -> None:
        self.points: defaultdict[Series, list[tuple[float, float]]] = defaultdict(list)
        self._counts_s: list[float] = []
        "When Redis was asked for its keys."

    def add(self, at_s: float, values: dict[Series, float]) -> None:
        """Note values, all of the same moment. A kind of key that Redis has none of counts as 0."""
        for series, value in values.items():
            self._seen(series).append((at_s, value))
        if any(series.kind in _COUNTED for series in values):
            self._counts_s.append(at_s)
            for series, points in self.points.items():
                if series.kind in _COUNTED and series not in values:
                    points.append((at_s, 0.0))

    def _seen(self, series: Series) -> list[tuple[float, float]]:
        if series not in self.points and series.kind in _COUNTED:
            self.points[series] = [(at_s, 0.0) for at_s in self._counts_s]
        return self.points[series]

    def trends(self, warm_up_s: float) -> dict[Series, Trend]:
        """Return what each series that is judged does once everything is warm."""
        return {series: self._trend(series, warm_up_s) for series in self.points if series.kind in TOLERANCES}

    def _trend(self, series: Series, warm_up_s: float) -> Trend:
        from_s = judged_from_s(series, warm_up_s)
        points = [point for point in self.points[series] if point[0] >= from_s]
        return trend(points, TOLERANCES[series.kind])
