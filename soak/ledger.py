"""What was promised to a content provider and what was kept: two bytes a push, however long it goes on."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Final

_ACCEPTED: Final = 1
_TOLD: Final = 2
_SHOWN: Final = 20


@dataclass(slots=True)
class Kept:
    """The end of it; every list is empty when all promises were kept."""

    accepted: int
    told: int
    states: Counter[str] = field(default_factory=Counter)
    "Final states by kind of push, such as `notify delivered`."
    untold: list[str] = field(default_factory=list)
    "Accepted, and its result never came."
    told_again: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    "Results of pushes that no answer accepted."
    otherwise: list[str] = field(default_factory=list)
    "Results that are not what this kind of push has to end with."
    late: list[str] = field(default_factory=list)
    "Moments at which pushes had been without a result for longer than they may."

    @property
    def faultless(self) -> bool:
        """Tell whether each push that was accepted has been told once, in time, and as it should end."""
        return not (self.untold or self.told_again or self.unknown or self.otherwise or self.late)


class Ledger:
    """Pushes by number, from 0 on, each noted when it is accepted and when its result comes."""

    def __init__(self) -> None:
        self._marks = bytearray()
        self._kept = Kept(0, 0)
        self._lowest_open = 0
        self._began: deque[tuple[float, int]] = deque()
        "Moments, and how many pushes had been begun then."

    @property
    def begun(self) -> int:
        """How many numbers were given out."""
        return len(self._marks)

    @property
    def accepted(self) -> int:
        """Pushes accepted so far."""
        return self._kept.accepted

    @property
    def told(self) -> int:
        """Pushes whose result came."""
        return self._kept.told

    def begin(self) -> int:
        """Return the number of the next push."""
        self._marks.append(0)
        return len(self._marks) - 1

    def accept(self, number: int) -> None:
        """Note that an answer said that the push is stored."""
        if not self._marks[number] & _ACCEPTED:
            self._marks[number] |= _ACCEPTED
            self._kept.accepted += 1

    def tell(self, number: int, state: str, kind: str, *, wanted: str) -> None:
        """Note a result; `wanted` is the state that a push of this kind ends in."""
        if not 0 <= number < len(self._marks):
            _note(self._kept.unknown, f"push {number}: {state}")
            return
        if self._marks[number] & _TOLD:
            _note(self._kept.told_again, f"push {number}, {kind}: {state}")
            return
        self._marks[number] |= _TOLD
        self._kept.told += 1
        self._kept.states[f"{kind} {state}"] += 1
        if state != wanted:
            _note(self._kept.otherwise, f"push {number}, {kind}: {state}, not {wanted}")

    def look(self, now_s: float, most_s: float) -> int:
        """
        Note which pushes were begun more than `most_s` ago and have no result; returns how many.

        Only what was accepted counts: the answer to a push may be on its way when its result comes.
        """
        self._began.append((now_s, len(self._marks)))
        old = 0
        while self._began and self._began[0][0] < now_s - most_s:
            old = self._began.popleft()[1]
        late = self._marks.count(_ACCEPTED, self._lowest_open, old)
        while self._lowest_open < old and self._marks[self._lowest_open] & _TOLD:
            self._lowest_open += 1
        if late:
            _note(self._kept.late, f"{late} pushes at {now_s:.0f} s without a result for {most_s:.0f} s")
        return late

    def close(self) -> Kept:
        """Return what was kept, when nothing is under way any more."""
        for number, mark in enumerate(self._marks):
            if mark == _ACCEPTED:
                _note(self._kept.untold, f"push {number}")
            elif mark == _TOLD:
                _note(self._kept.unknown, f"push {number} has a result and was never said to be taken")
        if (untold := self._marks.count(_ACCEPTED)) > _SHOWN:
            self._kept.untold.append(f"and {untold - _SHOWN:,} more")
        return self._kept


def _note(where: list[str], text: str) -> None:
    if len(where) < _SHOWN:
        where.append(text)
