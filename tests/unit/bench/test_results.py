"""Runs of the bench are kept as files, which later code reads, and what they have to reach is data."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from bench import machine, results, table
from bench.__main__ import FIGURES
from bench.figure import Figure, alone, compared
from bench.results import Failed, Run
from bench.targets import TARGETS, Target
from tests.harness import markdown

MACHINE = {"cpu": "a fast one", "cpus": "2", "load_before": "0.10"}
PUSH = compared("message_push", "MESSAGE/s", "relay", [80.0, 90.0, 100.0], [100.0, 100.0, 200.0])
BYTES = alone("redis_bytes_per_user", "bytes", "a user", [1_300.0, 1_100.0, 1_200.0])
RUN = Run("2026-11-26T05:00:07Z", "0123456", 3, MACHINE, (PUSH, BYTES), (Failed("msrp_stream", "no room"),))
SCHEMA = (results.FOLDER / "README.md").read_text()


def test_a_run_is_read_as_it_was_written_and_is_the_latest_as_well(tmp_path: Path) -> None:
    file = results.write(RUN, tmp_path / "results", tmp_path / "latest.json")

    assert file.name == "2026-11-26T050007-0123456.json"
    assert results.read(file) == RUN
    assert (tmp_path / "latest.json").read_text() == file.read_text()
    assert results.read_all(tmp_path / "results") == [RUN]


def test_the_file_has_the_spread_of_each_figure_and_each_field_is_described(tmp_path: Path) -> None:
    document = json.loads(results.write(RUN, tmp_path, tmp_path / "latest.json").read_text())
    push, user = document["figures"]

    assert (push["value"], push["spread"]) == (90.0, [80.0, 100.0])
    assert (push["ratio"], push["ratio_spread"]) == (0.8, [0.5, 0.9])
    assert (user["spread"], user["ratio"], user["ratio_spread"]) == ([1_100.0, 1_300.0], None, None)
    described = {name for row in markdown.rows(SCHEMA) for name in re.findall(r"`(\w+)`", row[0])}
    assert described == {*document, *push}


@pytest.mark.parametrize("text", ["", "{}", '{"version": 2}', '{"version": 1, "at": "now"}'])
def test_what_is_no_result_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "a.json"
    file.write_text(text)

    with pytest.raises((ValueError, KeyError)):
        results.read(file)


def test_the_machine_is_told_with_all_that_the_schema_names() -> None:
    told = machine.machine()

    named = next(row[1] for row in markdown.rows(SCHEMA) if row[0] == "`machine`")
    assert set(re.findall(r"`(\w+)`", named)) == set(told)
    assert all(value and value != "unknown" for value in told.values())
    assert re.fullmatch(r"[0-9]+\.[0-9] GB", told["memory"])


def test_the_table_of_the_document_is_made_of_the_runs_that_are_kept() -> None:
    written = table.DOCUMENT.read_text()

    assert table.renewed(written, results.read_all(kept=True)) == written, "run `make bench-page`"


def test_runs_that_are_kept_are_small_and_have_figures_that_the_page_describes() -> None:
    kept = results.read_all(kept=True)

    assert len(kept) >= 2
    named = set(re.findall(r"`(\w+)`", table.DOCUMENT.read_text().partition("## Figures")[0]))
    assert {figure.name for run in kept for figure in run.figures} <= named
    assert all((results.FOLDER / run.file_name).stat().st_size < 40_000 for run in kept)


def test_of_each_figure_the_table_has_the_last_run_those_with_a_goal_first() -> None:
    later = RUN._replace(
        at="2026-11-27T00:00:00Z", figures=(alone("pap_to_delivered", "pushes/s", "", [9.0]),)
    )
    newest = table.newest([RUN, later, later._replace(figures=(BYTES._replace(value=7.0),))])

    named = [(one.figure.name, one.figure.value) for one in newest]
    assert named == [("message_push", 90.0), ("pap_to_delivered", 9.0), ("redis_bytes_per_user", 7.0)]
    with pytest.raises(ValueError, match="end of figures"):
        table.renewed(table.DOCUMENT.read_text().replace("<!-- end of figures -->", ""), [RUN])


def test_everything_that_has_a_goal_is_measured() -> None:
    assert set(TARGETS) <= set(FIGURES)


@pytest.mark.parametrize(
    ("target", "value", "ratio", "verdict"),
    [
        (Target("ratio", 0.7, 1.2), 9_000, 0.69, "missed"),
        (Target("ratio", 0.7, 1.2), 1, 0.7, "reached"),
        (Target("ratio", 0.7, 1.2), 1, 1.2, "aim reached"),
        (Target("ratio", 0.7, 1.2), 9_000, None, "missed"),
        (Target("value", 50, 15, less_is_better=True), 51, None, "missed"),
        (Target("value", 50, 15, less_is_better=True), 50, None, "reached"),
        (Target("value", 50, 15, less_is_better=True), 0, None, "aim reached"),
        (Target("value", 0, 0, less_is_better=True), 0, None, "aim reached"),
        (Target("value", 0, 0, less_is_better=True), 1, None, "missed"),
    ],
)
def test_a_goal_is_missed_or_reached(target: Target, value: float, ratio: float | None, verdict: str) -> None:
    assert target.verdict(value, ratio) == verdict


def test_a_line_tells_spread_ratio_and_goal() -> None:
    assert PUSH.line() == (
        "message_push                   90 MESSAGE/s    [80 .. 100]  0.80 [0.50 .. 0.90] of"
        " relay (100 MESSAGE/s); at least 0.7, aim 1.2: reached"
    )
    older = Figure("message_push", 90.0, "MESSAGE/s", 0.8, "relay", (90.0,))
    assert "[90 .. 90]  0.80 of relay" in older.line()
