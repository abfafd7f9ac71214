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
_KEPT: Final = 128
"Changes of which it is kept what has changed."


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


def changed(seen: int, number: int) -> list[str] | None:
    """
    Return which hops have changed since `changes` was `seen`, now that it is `number`; None: any may have.

    Each device that subscribes without a proxy in its route is a hop: to read all anew would take too long.
    """
    if not 0 <= number - seen <= _KEPT // 2:
        return None
    names = [KSR.htable.sht_get(_TABLE, f"change:{n % _KEPT}") for n in range(seen + 1, number + 1)]
    return [name for name in dict.fromkeys(names) if isinstance(name, str)]


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
    _changed(hop)
    return True


def slow(hop: str) -> None:
    """Have fewer requests sent to a hop at once."""
    KSR.htable.sht_seti(_TABLE, f"slow:{hop}", _number(KSR.htable.sht_get(_TABLE, f"slow:{hop}")) + 1)
    _changed(hop)


def down(hop: str, until_ms: int) -> None:
    """Have other addresses taken until then; 0: it is up again."""
    if until_ms:
        KSR.htable.sht_sets(_TABLE, f"down:{hop}", str(until_ms))
    else:
        KSR.htable.sht_rm(_TABLE, f"down:{hop}")
    _changed(hop)


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


def _changed(hop: str) -> None:
    """Only the completer does; where a hop is, is written by senders."""
    number = changes() + 1
    KSR.htable.sht_sets(_TABLE, f"change:{number % _KEPT}", hop)
    KSR.htable.sht_seti(_TABLE, _CHANGES, number)


def _number(value: object) -> int:
    """Kamailio keeps 32 bits of a number: times are texts there."""
    return int(value) if isinstance(value, int | str) else 0
