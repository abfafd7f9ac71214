"""The table of figures in docs/performance.md, made from the runs that are kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from bench.figure import Figure, spread
from bench.results import Run
from bench.targets import TARGETS

DOCUMENT: Final = Path(__file__).resolve().parents[1] / "docs" / "performance.md"
_BEGIN: Final = "<!-- figures: `make bench-page` writes what follows -->"
_END: Final = "<!-- end of figures -->"
_HEAD: Final = ("name", "value", "unit", "ratio", "against", "to reach", "measured")


class Measured(NamedTuple):
    """A figure and the run that it is of."""

    run: Run
    figure: Figure


def newest(runs: Sequence[Run]) -> list[Measured]:
    """Return each figure as the last run that has it measured it, in the order in which a run measures."""
    last = {figure.name: Measured(run, figure) for run in runs for figure in run.figures}
    order = [name for run in runs for name in (figure.name for figure in run.figures)]
    return [last[name] for name in sorted(last, key=lambda name: (_place(name), order.index(name)))]


def _place(name: str) -> int:
    """Figures with something to reach come first, in the order of their goals."""
    goals = list(TARGETS)
    return goals.index(name) if name in goals else len(goals)


def renewed(document: str, runs: Sequence[Run]) -> str:
    """
    Return the document with the table of these runs between its two marks.

    Raises:
        ValueError: A mark is missing.
    """
    before, begin, rest = document.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"no {_END if begin else _BEGIN} in {DOCUMENT.name}")
    lines = "\n".join(_lines(newest(runs)))
    return f"{before}{begin}\n\n{lines}\n\n{end}{after}"


def _lines(figures: Sequence[Measured]) -> Iterator[str]:
    yield f"| {' | '.join(_HEAD)} |"
    yield f"|{'---|' * len(_HEAD)}"
    for run, figure in figures:
        yield f"| {' | '.join(_cells(run, figure))} |"


def _cells(run: Run, figure: Figure) -> tuple[str, ...]:
    target = TARGETS.get(figure.name)
    several = len(figure.rounds) > 1
    value = f"{figure.value:,.0f}" + (f" {spread(figure.rounds)}" if several else "")
    ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}"
    if several and figure.ratios:
        ratio += f" {spread(figure.ratios, '.2f')}"
    reach = "" if target is None else f"{target}: {target.verdict(figure.value, figure.ratio)}"
    rounds = len(figure.rounds)
    measured = f"{run.at[:10]}, {run.commit}, {rounds} round{'s' if several else ''}"
    return f"`{figure.name}`", value, figure.unit, ratio, figure.against, reach, measured
