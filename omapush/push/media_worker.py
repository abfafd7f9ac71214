"""The media workers that carry sessions, as they announce themselves, and which takes the next one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

RECORD_VERSION: Final = 1


class MediaWorker(NamedTuple):
    """One live worker process, as of its last sign of life."""

    version: int
    name: str
    "Another after each start, so that nobody takes it for the one that died."
    uri: str
    "Begin of its MSRP URIs: `msrp://192.0.2.20:2855`, or `msrps://` where it speaks TLS."
    streams: int
    "That it carries."
    most: int
    "That it takes; 0 while it ends."
    fingerprint: str = ""
    "SHA-256 of its certificate, 64 hexadecimal digits; empty: it has none."

    @property
    def has_room(self) -> bool:
        """It takes another stream."""
        return self.streams < self.most


def choose(workers: Sequence[MediaWorker], turn: int = 0) -> MediaWorker | None:
    """
    Return the worker with the fewest streams; None when each is full or ends.

    `turn`: any number; another one spreads sessions over workers that are equally busy, for their records
    are up to a second old.
    """
    able = [one for one in workers if one.has_room]
    if not able:
        return None
    fewest = min(one.streams for one in able)
    idle = sorted(one for one in able if one.streams == fewest)
    return idle[turn % len(idle)]
