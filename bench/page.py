"""
`make bench-page`: what was measured, as a page with plots and as the table in docs/performance.md.

The page, build/bench/index.html, has every run in bench/results; the table has those alone that are in git.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Final

from bench import plot, results, table
from bench.figure import Figure, spread
from bench.plot import Bar, Point, Stack
from bench.results import Run
from bench.table import Measured
from bench.targets import TARGETS, Target

PAGE: Final = Path("build/bench/index.html")
_STYLE: Final = Path(__file__).with_name("page.css")
_GOALS: Final = (
    "Bars show how much of the goal is reached; the thin line is from the lowest to the highest round, "
    "the thick mark is the aim."
)
_KINDS: Final = {"missed": "missed", "reached": "reached", "aim reached": "aim"}


def main() -> None:
    """Write both."""
    parser = argparse.ArgumentParser(prog="python -m bench.page")
    parser.add_argument("--no-documents", action="store_true", help="leave docs/performance.md as it is")
    asked = parser.parse_args()
    runs = results.read_all()
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(page(runs))
    print(f"bench: {len(runs)} runs in {PAGE}")
    if not asked.no_documents:
        table.DOCUMENT.write_text(table.renewed(table.DOCUMENT.read_text(), results.read_all(kept=True)))
        print(f"bench: figures in {table.DOCUMENT.name} are those of the runs in git")


def page(runs: Sequence[Run]) -> str:
    """Return the page of these runs, the oldest first; it loads nothing from anywhere."""
    newest = table.newest(runs)
    parts = [
        "<h1>Bench</h1>",
        "<p>Nothing was measured yet: <code>make bench</code>.</p>" if not runs else _about(runs[-1]),
        *_section("Against the goals", goals(newest), _GOALS),
        *_section("What one costs", costs(newest), "Microseconds of a processor, by kind of process."),
        *_histories(runs),
        *_section("All figures", "".join(_table(newest)), "The last run that has each."),
        *(_failed(runs[-1]) if runs else ()),
    ]
    style = f"<style>{_STYLE.read_text()}</style>"
    head = f'<meta charset="utf-8"><title>Bench of omapush</title>{style}'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>\n'


def goals(newest: Sequence[Measured]) -> str:
    """Return the bars of all figures that have something to reach."""
    rows = [_bar(one.figure, TARGETS[one.figure.name]) for one in newest if one.figure.name in TARGETS]
    return plot.bars(rows) if rows else ""


def _bar(figure: Figure, target: Target) -> Bar:
    ends = _ends(figure, target)
    parts = [target.part(end, end, target.least) for end in ends]
    counted = target.counted(figure.value, figure.ratio)
    return Bar(
        figure.name,
        target.part(figure.value, figure.ratio, target.least),
        min(parts),
        max(parts),
        target.part(target.aim, target.aim, target.least),
        f"{counted:,.0f}" if target.of == "value" else f"{counted:.2f}",
        _KINDS[target.verdict(figure.value, figure.ratio)],
    )


def _ends(figure: Figure, target: Target | None) -> tuple[float, float]:
    """Lowest and highest round of what counts."""
    of_ratio = target is not None and target.of == "ratio"
    rounds = figure.ratios or (figure.ratio or 0.0,) if of_ratio else figure.rounds
    return min(rounds), max(rounds)


def costs(newest: Sequence[Measured]) -> str:
    """Return the stacks of all figures that tell what one costs."""
    rows = [
        Stack(f"{one.figure.name}, {side}", {kind: us for kind, us in parts.items() if kind != "all"})
        for one in newest
        for side, parts in one.figure.cpu_us.items()
    ]
    return plot.stacks(rows, "us") if rows else ""


def _histories(runs: Sequence[Run]) -> Iterator[str]:
    """A plot for each figure that was measured twice at least."""
    drawn = []
    for name in dict.fromkeys(figure.name for run in runs for figure in run.figures):
        points = [_point(run, figure) for run in runs for figure in run.figures if figure.name == name]
        if len(points) > 1:
            target = TARGETS.get(name)
            form = ".2f" if target is not None and target.of == "ratio" else ",.0f"
            of = "ratio" if form == ".2f" else next(iter(_units(runs, name)))
            lines = dict.fromkeys((target.least, target.aim)) if target is not None else ()
            drawn.append(f"<h3>{escape(name)} <small>{escape(of)}</small></h3>")
            drawn.append(plot.history(points, tuple(lines), form))
    yield from _section("History", "".join(drawn), "Each point is the median of a run; machines differ.")


def _units(runs: Sequence[Run], name: str) -> Iterator[str]:
    return (figure.unit for run in runs for figure in run.figures if figure.name == name)


def _point(run: Run, figure: Figure) -> Point:
    target = TARGETS.get(figure.name)
    low, high = _ends(figure, target)
    value = target.counted(figure.value, figure.ratio) if target else figure.value
    return Point(f"{run.at[5:10]} {run.commit}", value, low, high)


def _section(title: str, drawn: str, said: str) -> Iterator[str]:
    if drawn:
        yield f"<h2>{escape(title)}</h2><p>{escape(said)}</p>{drawn}"


def _about(run: Run) -> str:
    machine = ", ".join(f"{name.replace('_', ' ')}: {value}" for name, value in run.machine.items())
    return (
        f"<p>Last run: {escape(run.at)}, commit {escape(run.commit or 'unknown')}, {run.rounds} round(s).<br>"
        f"{escape(machine)}</p>"
    )


def _failed(run: Run) -> Iterator[str]:
    listed = "".join(f"<li><code>{escape(one.name)}</code>: {escape(one.reason)}</li>" for one in run.failed)
    yield from _section("Not measured", listed and f"<ul>{listed}</ul>", "What the last run could not do.")


def _table(newest: Sequence[Measured]) -> Iterator[str]:
    yield "<table><tr><th>figure<th>value<th>rounds<th>ratio<th>to reach<th>against<th>measured</tr>"
    for run, figure in newest:
        target = TARGETS.get(figure.name)
        cells = (
            figure.name,
            f"{figure.value:,.0f} {figure.unit}",
            spread(figure.rounds),
            "" if figure.ratio is None else f"{figure.ratio:.2f}",
            "" if target is None else f"{target}: {target.verdict(figure.value, figure.ratio)}",
            figure.against,
            f"{run.at[:10]} {run.commit}",
        )
        yield f"<tr>{''.join(f'<td>{escape(cell)}' for cell in cells)}</tr>"
    yield "</table>"


if __name__ == "__main__":
    main()
