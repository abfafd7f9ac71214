"""Whether Kamailio hangs, by one look after the other: what answers, and which of its processes go round."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

LOOKS: Final = 6
"So many looks in a row without progress are a hang; one alone may just have come at a bad moment."


class Look(NamedTuple):
    """What one look saw."""

    answers: bool
    "OPTIONS by UDP has its answer: SIP workers take requests."
    rounds: Mapping[str, str] | None
    "By sender, completer ...: the time that it showed last; None: who tells that by HTTP did not answer."


class Standing(NamedTuple):
    """One process and for how many looks in a row it has shown the same."""

    shown: str
    looks: int


class Liveness(NamedTuple):
    """What looks so far come to."""

    silent: int = 0
    "Looks in a row without an answer to OPTIONS."
    has_told: bool = False
    untold: int = 0
    "Looks in a row in which nobody told about processes, though somebody had before."
    standing: Mapping[str, Standing] = {}

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
        )

    def hang(self) -> str:
        """Return what hangs, in words; empty: nothing."""
        if self.silent >= LOOKS:
            return "SIP workers: no answer to OPTIONS"
        if self.untold >= LOOKS:
            return "TCP workers: no answer by HTTP"
        return ", ".join(sorted(name for name, one in self.standing.items() if one.looks >= LOOKS))
