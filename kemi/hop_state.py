"""
What the processes of one Kamailio know together about next hops, in shared memory.

A hop is known by its short name (window.hop_of). The completer, which sees all answers, pauses and slows hops
and notes which are silent; senders look once for each batch.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import KSR

_TABLE: Final = "hops"
_CHANGES: Final = "changes"


class HopState(NamedTuple):
    """One next hop."""

    paused_until_ms: int = 0
    "Nothing is sent there until then: it said 503."
    slowed: int = 0
    "How often it has asked for less; each time fewer are sent at once."
    down_until_ms: int = 0
    "Another address is taken until then, where there is one: nobody answers there, or it refuses."


def changes() -> int:
    """Return a number that is another one whenever something about any hop has changed."""
    return _number(KSR.htable.sht_get(_TABLE, _CHANGES))


def read(hop: str) -> HopState:
    """Return what is known about a hop."""
    return HopState(
        _number(KSR.htable.sht_get(_TABLE, f"pause:{hop}")),
        _number(KSR.htable.sht_get(_TABLE, f"slow:{hop}")),
        _number(KSR.htable.sht_get(_TABLE, f"down:{hop}")),
    )


def pause(hop: str, until_ms: int) -> bool:
    """Pause a hop until then; False when it is paused as long already."""
    if _number(KSR.htable.sht_get(_TABLE, f"pause:{hop}")) >= until_ms:
        return False
    KSR.htable.sht_sets(_TABLE, f"pause:{hop}", str(until_ms))
    _changed()
    return True


def slow(hop: str) -> None:
    """Have fewer requests sent to a hop at once."""
    KSR.htable.sht_seti(_TABLE, f"slow:{hop}", _number(KSR.htable.sht_get(_TABLE, f"slow:{hop}")) + 1)
    _changed()


def down(hop: str, until_ms: int) -> None:
    """Have other addresses taken until then; 0: it is up again."""
    KSR.htable.sht_sets(_TABLE, f"down:{hop}", str(until_ms))
    _changed()


def tell_address(hop: str, uri: str) -> None:
    """Note where a hop is that has another one beside it."""
    KSR.htable.sht_sets(_TABLE, f"uri:{hop}", uri)


def address(hop: str) -> str:
    """Return the URI of a hop that has another one beside it; empty for others."""
    value = KSR.htable.sht_get(_TABLE, f"uri:{hop}")
    return value if isinstance(value, str) else ""


def is_down(hop: str, now_ms: int) -> bool:
    """Tell whether another server is to be taken."""
    return _number(KSR.htable.sht_get(_TABLE, f"down:{hop}")) > now_ms


def _changed() -> None:
    """Only the completer does; where a hop is, is written by senders."""
    KSR.htable.sht_seti(_TABLE, _CHANGES, changes() + 1)


def _number(value: object) -> int:
    """Kamailio keeps 32 bits of a number: times are texts there."""
    return int(value) if isinstance(value, int | str) else 0
