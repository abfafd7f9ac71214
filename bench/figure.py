"""One measured figure: median and spread of its rounds, and the other side of its ratio."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import NamedTuple

from bench.targets import TARGETS


class Figure(NamedTuple):
    """One line of the result."""

    name: str
    value: float
    "Median of the rounds."
    unit: str
    ratio: float | None
    "Median of the ratios of the rounds; None when there is no other side."
    against: str
    "What the ratio is against, or what the value has to reach."
    rounds: tuple[float, ...]
    other_rounds: tuple[float, ...] = ()
    cpu_us: Mapping[str, Mapping[str, float]] = {}
    "What one costs in us of a processor, by side and kind of process; empty where it is not measured."

    @property
    def ratios(self) -> tuple[float, ...]:
        """The ratio of each round; empty when there is no other side."""
        if len(self.rounds) != len(self.other_rounds):
            return ()
        return tuple(own / other for own, other in zip(self.rounds, self.other_rounds, strict=True))

    def line(self) -> str:
        """Return the figure as people read it, and below it what one costs."""
        line = f"{self.name:20} {self.value:12,.0f} {self.unit:12} {spread(self.rounds)}"
        if self.ratio is not None:
            line += f" {self.ratio:5.2f}{' ' + spread(self.ratios, '.2f') if self.ratios else ''} of"
        line += f" {self.against}"
        if target := TARGETS.get(self.name):
            line += f"; {target}: {target.verdict(self.value, self.ratio)}"
        for side, kinds in self.cpu_us.items():
            line += f"\n    cpu us, {side}: " + ", ".join(f"{kind} {us:.1f}" for kind, us in kinds.items())
        return line


def spread(rounds: Sequence[float], form: str = ",.0f") -> str:
    """Return the lowest and the highest of some rounds, as people read it."""
    return f"[{min(rounds):{form}} .. {max(rounds):{form}}]"


def compared(
    name: str,
    unit: str,
    against: str,
    ours: list[float],
    theirs: list[float],
    cpu_us: Mapping[str, Mapping[str, float]] | None = None,
) -> Figure:
    """Return the figure of two sides measured in turn."""
    ratios = [own / other for own, other in zip(ours, theirs, strict=True)]
    text = f"{against} ({median(theirs):,.0f} {unit})"
    ratio = round(median(ratios), 3)
    return Figure(name, median(ours), unit, ratio, text, tuple(ours), tuple(theirs), cpu_us or {})


def alone(name: str, unit: str, against: str, rounds: list[float]) -> Figure:
    """Return a figure that is only measured against a number to reach."""
    return Figure(name, median(rounds), unit, None, against, tuple(rounds))
