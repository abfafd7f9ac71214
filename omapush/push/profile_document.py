"""A UAProf document as it was fetched, or the failure to fetch it (PROP-CAP-3)."""

from __future__ import annotations

from typing import Final, NamedTuple

from omapush.protocol.uaprof import PushCharacteristics

RECORD_VERSION: Final = 1
FIRST_WAIT_S: Final = 60
LONGEST_WAIT_S: Final = 86_400
MOST_FAILURES: Final = 8
"So many failures in a row, and a URL is left alone until a device names it again after the longest wait."


class Profile(NamedTuple):
    """What one URL gave."""

    version: int
    url: str
    fetched_ms: int
    document: bytes
    "As it came; empty after a failure."
    characteristics: PushCharacteristics
    failures: int
    "In a row; 0: the document is good."
    problem: str
    "Why there is no document; empty when there is one."


def fetched(url: str, document: bytes, characteristics: PushCharacteristics, now_ms: int) -> Profile:
    """Return the record of a document that could be read."""
    return Profile(RECORD_VERSION, url, now_ms, document, characteristics, 0, "")


def failed(old: Profile | None, url: str, problem: str, now_ms: int) -> Profile:
    """Return the record of a failure; a good document of before stays in use."""
    if old is None:
        return Profile(RECORD_VERSION, url, now_ms, b"", PushCharacteristics(), 1, problem)
    return old._replace(failures=old.failures + 1, problem=problem)


def wait_s(failures: int) -> int | None:
    """Return how long to wait after so many failures in a row; None: long enough to forget about it."""
    if failures >= MOST_FAILURES:
        return None
    return int(min(FIRST_WAIT_S * 2 ** (failures - 1), LONGEST_WAIT_S))
