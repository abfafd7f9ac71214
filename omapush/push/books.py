"""The books: whether every accepted delivery has come to its end or waits somewhere, as values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final, NamedTuple

MOST_SHOWN: Final = 1_000
"Entries that do not balance and are named; of more, only their number is known."


class Wrong(NamedTuple):
    """One entry that does not balance."""

    ref: str
    recipient: int
    "Index; -1: the push as a whole."
    text: str


class PushBalance(NamedTuple):
    """One push, looked at once."""

    ref: str
    accepted: int
    "Deliveries: recipients, or those made so far of a push to subscribers."
    by_state: Mapping[str, int]
    "Those with a final result."
    waiting: int
    "Those without, found where they wait."
    wrong: tuple[Wrong, ...] = ()
    "What was found nowhere, or says two things; it may be on its way between two places."


class Books(NamedTuple):
    """All pushes of a time, added up."""

    pushes: int
    accepted: int
    final: int
    waiting: int
    by_state: Mapping[str, int]
    "Of those with a final result."
    outbox: int
    "Deliveries in the outbox that were looked at, of pushes of any time."
    wrong: int
    shown: tuple[Wrong, ...]
    "The first of them."

    @property
    def balance(self) -> bool:
        """Tell whether nothing is missing and nothing too many."""
        return self.wrong == 0 and self.accepted == self.final + self.waiting


class Sum:
    """Adds up balances, in memory that does not grow with their number."""

    def __init__(self) -> None:
        self._pushes = self._accepted = self._waiting = self._wrong = 0
        self._states: Counter[str] = Counter()
        self._shown: list[Wrong] = []

    def add(self, one: PushBalance) -> None:
        """Add one push."""
        self._pushes += 1
        self._accepted += one.accepted
        self._waiting += one.waiting
        self._states.update(one.by_state)
        for wrong in one.wrong:
            self.add_wrong(wrong)

    def add_wrong(self, wrong: Wrong) -> None:
        """Add what does not balance and belongs to no push that was added."""
        self._wrong += 1
        if len(self._shown) < MOST_SHOWN:
            self._shown.append(wrong)

    def books(self, outbox: int) -> Books:
        """Return what all of it comes to; `outbox`: deliveries looked at there."""
        return Books(
            pushes=self._pushes,
            accepted=self._accepted,
            final=self._states.total(),
            waiting=self._waiting,
            by_state=dict(sorted(self._states.items())),
            outbox=outbox,
            wrong=self._wrong,
            shown=tuple(self._shown),
        )
