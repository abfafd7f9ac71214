"""Whether Kamailio hangs, by one look after the other: what answers, and which of its processes go round."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final, NamedTuple

LOOKS: Final = 6
"So many looks in a row without progress are a hang; one alone may just have come at a bad moment."
WAITS_EACH: Final = 8
"""
A UDP worker that did not sleep between two looks is suspected when those of its socket did so often, on
average. Where messages come faster than they are read nobody sleeps, and nothing is proven. One that lives
and gets them in turn with the others by mere chance would be named once in 10^20 times.
"""


class Sleeper(NamedTuple):
    """One of the workers of a UDP socket."""

    socket: str
    sleeps: int
    "How often it went to sleep since it began."


class Look(NamedTuple):
    """What one look saw."""

    answers: bool
    "OPTIONS by UDP has its answer: SIP workers take requests."
    rounds: Mapping[str, str] | None
    "By sender, completer ...: the time that it showed last; None: who tells that by HTTP did not answer."
    sleepers: Mapping[str, Sleeper] = {}
    "UDP workers by name."


class Standing(NamedTuple):
    """One process and for how many looks in a row it has shown the same."""

    shown: str
    looks: int


class Suspect(NamedTuple):
    """One UDP worker and in how many looks it did not sleep while others of its socket did."""

    sleeper: Sleeper
    looks: int


class Liveness(NamedTuple):
    """What looks so far come to."""

    silent: int = 0
    "Looks in a row without an answer to OPTIONS."
    has_told: bool = False
    untold: int = 0
    "Looks in a row in which nobody told about processes, though somebody had before."
    standing: Mapping[str, Standing] = {}
    suspects: Mapping[str, Suspect] = {}
    "All UDP workers."

    def after(self, look: Look) -> Liveness:
        """Return the same after one more look."""
        standing = self.standing
        if look.rounds is not None:
            standing = {
                name: Standing(shown, known.looks + 1)
                if (known := self.standing.get(name)) is not None and known.shown == shown
                else Standing(shown, 0)
                for name, shown in look.rounds.items()
            }
        has_told = self.has_told or look.rounds is not None
        return Liveness(
            0 if look.answers else self.silent + 1,
            has_told,
            0 if look.rounds is not None or not has_told else self.untold + 1,
            standing,
            _suspects(self.suspects, look.sleepers),
        )

    def hang(self) -> str:
        """Return what hangs, in words; empty: nothing."""
        if self.silent >= LOOKS:
            return "SIP workers: no answer to OPTIONS"
        if self.untold >= LOOKS:
            return "TCP workers: no answer by HTTP"
        standing = [name for name, one in self.standing.items() if one.looks >= LOOKS]
        suspects = [name for name, one in self.suspects.items() if one.looks >= LOOKS]
        return ", ".join(sorted(standing + suspects))


def _suspects(before: Mapping[str, Suspect], seen: Mapping[str, Sleeper]) -> dict[str, Suspect]:
    slept: Counter[str] = Counter()
    workers: Counter[str] = Counter()
    for name, one in seen.items():
        workers[one.socket] += 1
        if name in before:
            slept[one.socket] += one.sleeps - before[name].sleeper.sleeps
    suspects = {}
    for name, one in seen.items():
        known = before.get(name)
        if known is None or one.sleeps != known.sleeper.sleeps:
            looks = 0
        else:
            looks = known.looks + (slept[one.socket] >= WAITS_EACH * workers[one.socket])
        suspects[name] = Suspect(one, looks)
    return suspects
