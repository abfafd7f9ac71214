"""The report of a run: Markdown with tables, JSON with the samples, a picture for each kind of series."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from soak import plot
from soak.run import Run
from soak.series import ALL_JUDGED_S, TOLERANCES, Kind, Series
from soak.trend import Trend, thinned

_MB: Final = 1_048_576.0
_BYTES: Final = {Kind.MEMORY, Kind.USS, Kind.PSS, Kind.PACKAGE, Kind.SHARED, Kind.REDIS}
_POINTS: Final = 240
_SHOWN: Final = 20
_FILES: Final = {kind: f"{kind.name.lower()}.svg" for kind in Kind}


def write(run: Run, folder: Path) -> str:
    """Write `report.md`, `report.json` and the pictures into the folder; returns the first of them."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind in Kind:
        lines = {series.name: points for series, points in run.samples.points.items() if series.kind is kind}
        unit, scale = (", MB", _MB) if kind in _BYTES else ("", 1.0)
        title = f"{kind.value}{unit}"
        picture = plot.svg(title, lines, from_s=run.measured_from_s, scale=scale)
        (folder / _FILES[kind]).write_text(picture)
    text = written(run)
    (folder / "report.md").write_text(text)
    (folder / "report.json").write_text(json.dumps(as_json(run), indent=1) + "\n")
    return text


def written(run: Run) -> str:
    """Return the page: what was done, what came of it, and each thing that should not be so."""
    return "\n".join([*_summary(run), *_failures(run), *_not_judged(run), *_growth(run), *_states(run), ""])


def _summary(run: Run) -> list[str]:
    wish, kept = run.wish, run.kept
    measured_s = max(run.seconds - run.measured_from_s, 0.0)
    warm_up_s = run.seconds - measured_s
    return [
        "# Soak",
        "",
        f"{run.seconds / 60:.0f} minutes, of which the first {warm_up_s / 60:.0f} are warm-up; "
        f"{wish.receivers:,} receivers, {run.rate:.0f} pushes a second asked for.",
        f"**{_verdict(run)}**",
        "",
        "| | |",
        "|---|---|",
        f"| accepted | {kept.accepted:,}, {run.reached:.0f} a second |",
        f"| told to the provider | {kept.told:,} |",
        f"| delivered, and taken by applications of devices | {run.delivered:,}, {run.taken:,} |",
        f"| pushes that came to a device once more, and were known there | {run.devices['duplicates']:,} |",
        f"| answers that were not an acceptance | {run.refused:,} |",
        f"| settled after the last push in | {run.settled_s:.1f} s |",
        f"| series judged, over {measured_s / 60:.0f} minutes | {len(run.trends) - len(run.not_judged)} |",
        f"| of which grow | {len(run.grows)} |",
        f"| series that this run was too short to judge | {len(run.not_judged)} |",
        "",
    ]


def _verdict(run: Run) -> str:
    if not run.holds:
        return "SOMETHING DID NOT HOLD."
    if not run.not_judged:
        return "All held."
    return f"All that could be judged held; {len(run.not_judged)} series need a longer run."


def _failures(run: Run) -> list[str]:
    lines: list[str] = []
    for title, entries in (
        ("Grows", [_grown(run, one) for one in run.grows]),
        ("Processes that ended", run.ended),
        ("Did not come to rest", run.unsettled),
        ("Accepted and never told", run.kept.untold),
        ("Told more than once", run.kept.told_again),
        ("Told and not accepted", run.kept.unknown),
        ("Ended otherwise than it should", run.kept.otherwise),
        ("Late", run.kept.late),
        ("Books that do not balance", run.unbalanced),
        ("Delivered, but not as often taken", _taken_otherwise(run)),
        ("Taken by a device more than once", run.again),
    ):
        if entries:
            lines += [f"## {title}", "", *(f"- {entry}" for entry in entries), ""]
    return lines


def _grown(run: Run, series: Series) -> str:
    trend = run.trends[series]
    low, tolerated, level = (_number(series.kind, one) for one in (trend.low, trend.tolerated, trend.level))
    return (
        f"{series.kind.value}, {series.name}: by {low} an hour at least, {tolerated} tolerated; "
        f"{level} at the end"
    )


def _taken_otherwise(run: Run) -> list[str]:
    return [] if run.taken == run.delivered else [f"{run.delivered:,} delivered, {run.taken:,} taken"]


def _not_judged(run: Run) -> list[str]:
    """Say what a run was too short for, and what would do."""
    if not run.not_judged:
        return []
    shown = [f"- {one.kind.value}, {one.name}" for one in run.not_judged[:_SHOWN]]
    if more := len(run.not_judged) - len(shown):
        shown.append(f"- and {more} more")
    return [
        "## Not judged",
        "",
        f"For these the run was too short; one of {ALL_JUDGED_S / 60:.0f} minutes judges them, too.",
        "",
        *shown,
        "",
    ]


def _growth(run: Run) -> list[str]:
    lines = [
        "## What may grow, and does it",
        "",
        "Slope: median of the slopes between all pairs of samples, with its bounds at 95 %. A series",
        "grows when even the lower bound is above what is tolerated.",
        "",
    ]
    for kind in TOLERANCES:
        mine = {series: trend for series, trend in run.trends.items() if series.kind is kind}
        if not mine:
            continue
        lines += [f"### {kind.value}", "", f"![{kind.value}]({_FILES[kind]})", ""]
        lines += ["| | level | slope an hour | from | to | tolerated | |", "|---|---|---|---|---|---|---|"]
        lines += [_row(run, series, mine[series]) for series in sorted(mine, key=lambda one: one.name)]
        lines.append("")
    return lines


def _row(run: Run, series: Series, trend: Trend) -> str:
    if not trend.is_known:
        return f"| {series.name} | {_number(series.kind, trend.level)} | | | | | too few samples |"
    numbers = (trend.level, trend.an_hour, trend.low, trend.high, trend.tolerated)
    cells = " | ".join(_number(series.kind, number) for number in numbers)
    return f"| {series.name} | {cells} | {'**grows**' if trend.grows else 'flat'} |"


def _number(kind: Kind, value: float) -> str:
    return f"{value / _MB:,.2f} MB" if kind in _BYTES else f"{value:,.1f}"


def _states(run: Run) -> list[str]:
    rows = [f"| {name} | {number:,} |" for name, number in sorted(run.kept.states.items())]
    return ["## Results by kind of push", "", "| kind and state | |", "|---|---|", *rows]


def as_json(run: Run) -> dict[str, Any]:
    """Return all of it, with at most 240 points a series."""
    return {
        "holds": run.holds,
        "seconds": run.seconds,
        "warm_up_s": run.measured_from_s,
        "receivers": run.wish.receivers,
        "rate": run.rate,
        "reached": run.reached,
        "accepted": run.kept.accepted,
        "told": run.kept.told,
        "delivered": run.delivered,
        "taken": run.taken,
        "states": run.kept.states,
        "failures": _failures(run),
        "devices": run.devices,
        "not_judged": [f"{one.kind.value}, {one.name}" for one in run.not_judged],
        "series": [
            {
                "kind": series.kind.name,
                "name": series.name,
                "trend": _trend(run.trends.get(series)),
                "points": thinned(points, _POINTS),
            }
            for series, points in run.samples.points.items()
        ],
    }


def _trend(trend: Trend | None) -> dict[str, float | bool] | None:
    """Return None for a series that is not judged, or has too few samples to be."""
    return {**trend._asdict(), "grows": trend.grows} if trend is not None and trend.is_known else None
