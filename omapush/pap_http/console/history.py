"""What was so in each of the last seconds, for all nodes: counts as they were read, and their rates."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

from omapush.store.outbox import Depth
from omapush.store.pulse import Pulse

SECONDS: Final = 300
"How far back it reaches."
DELIVERED: Final = "delivered"


class Sample(NamedTuple):
    """One look."""

    at: float
    "Monotonic, in seconds."
    pulse: Pulse
    depth: Depth


class History:
    """The last minutes; a second in which Redis did not answer is a gap."""

    def __init__(self) -> None:
        self._samples: deque[Sample | None] = deque(maxlen=SECONDS + 1)

    def add(self, sample: Sample | None) -> None:
        """Note what was seen in this second; None: nothing could be."""
        self._samples.append(sample)

    @property
    def last(self) -> Sample | None:
        """The newest look; None when it failed, or there was none yet."""
        return self._samples[-1] if self._samples else None

    def rates(self, count: Callable[[Sample], float]) -> list[float | None]:
        """Return how much a count grew each second."""
        found: list[float | None] = []
        for before, after in zip(self._samples, list(self._samples)[1:], strict=False):
            if before is None or after is None or after.at <= before.at:
                found.append(None)
            else:  # a Redis that lost its last second counts from there: that is no negative rate
                found.append(max(count(after) - count(before), 0) / (after.at - before.at))
        return found

    def levels(self, level: Callable[[Sample], float]) -> list[float | None]:
        """Return what a level was each second."""
        return [None if sample is None else level(sample) for sample in self._samples]


def accepted(sample: Sample) -> float:
    """Deliveries accepted, since ever."""
    return sample.pulse.totals.accepted


def delivered(sample: Sample) -> float:
    """Deliveries that reached their device, since ever."""
    return sample.pulse.totals.ended.get(DELIVERED, 0)


def failed(sample: Sample) -> float:
    """Deliveries that ended in any other way, since ever."""
    return sum(number for state, number in sample.pulse.totals.ended.items() if state != DELIVERED)


def refused(sample: Sample) -> float:
    """Submissions refused, since ever."""
    return sample.pulse.refused


def waiting(sample: Sample) -> float:
    """Deliveries in the outbox."""
    return sample.depth.all
