"""A report tells what held and what did not, and its pictures are XML."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from soak import plot, report
from soak.ledger import Kept
from soak.run import Run, Wish
from soak.series import Kind, Samples, Series

LEAKS = Series(Kind.MEMORY, "api")
STAYS = Series(Kind.MEMORY, "notifier")


def a_run(leak_mb_an_hour: float = 0.0) -> Run:
    samples = Samples()
    for at_s in range(0, 7_200, 10):
        leak = leak_mb_an_hour * at_s / 3_600 * 1_048_576
        samples.add(float(at_s), {LEAKS: 5e7 + leak, STAYS: 5e7})
    wish = Wish(7_200, 100, 50.0)
    kept = Kept(10, 10, Counter({"message delivered": 10}))
    return Run(
        wish=wish,
        seconds=wish.seconds,
        rate=50.0,
        reached=50.0,
        samples=samples,
        measured_from_s=wish.warm_up_s,
        trends=samples.trends(wish.warm_up_s),
        kept=kept,
        refused=0,
        settled_s=1.0,
        unsettled=[],
        unbalanced=[],
        ended=[],
        devices={"taken": {"mms.ua": 10, "refused": 3}, "again": [], "duplicates": 2},
        delivered=10,
    )


def test_a_run_that_held_says_so(tmp_path: Path) -> None:
    text = report.write(a_run(), tmp_path)

    assert "**All held.**" in text
    assert "grows**" not in text
    stored = json.loads((tmp_path / "report.json").read_text())
    assert stored["holds"] is True
    assert {one["name"] for one in stored["series"]} == {"api", "notifier"}


def test_what_leaks_is_named_and_what_stays_is_not(tmp_path: Path) -> None:
    run = a_run(leak_mb_an_hour=5)
    text = report.write(run, tmp_path)

    assert not run.holds
    assert run.grows == [LEAKS]
    assert "SOMETHING DID NOT HOLD" in text
    assert "- memory of a process, api: by 5.00 MB an hour at least, 1.57 MB tolerated" in text
    assert "- memory of a process, notifier" not in text


def test_what_a_run_was_too_short_for_is_named_and_no_fault(tmp_path: Path) -> None:
    samples = Samples()
    for at_s in range(0, 600, 10):
        samples.add(float(at_s), {STAYS: 5e7, Series(Kind.KEYS, "session"): float(at_s)})
    run = replace(a_run(), samples=samples, trends=samples.trends(300))
    text = report.write(run, tmp_path)

    assert run.holds
    assert run.not_judged == [Series(Kind.KEYS, "session")]
    assert "**All that could be judged held; 1 series need a longer run.**" in text
    assert "- keys in Redis, session" in text


@pytest.mark.parametrize(
    "wrong",
    [
        {"kept": Kept(10, 9, untold=["push 3"])},
        {"unsettled": ["after 180 s still no end"]},
        {"unbalanced": ["one"]},
        {"ended": ["sip: sender 0"]},
        {"delivered": 11},
        {"devices": {"taken": {"mms.ua": 10}, "again": ["push 7, by NOTIFY after 33.0 s"], "duplicates": 1}},
    ],
)
def test_each_thing_that_is_wrong_fails_the_run_and_is_told(wrong: dict[str, object]) -> None:
    run = replace(a_run(), **wrong)  # type: ignore[arg-type]

    assert not run.holds
    assert report.written(run).count("\n## ") == report.written(a_run()).count("\n## ") + 1


def test_a_picture_is_xml_with_a_line_for_each_series_and_escaped_names() -> None:
    lines = {"a <b>": [(0.0, 1.0), (60.0, 3.0)], "flat": [(0.0, 0.0), (60.0, 0.0)], "nothing": []}

    root = ElementTree.fromstring(plot.svg("memory & more", lines, from_s=20.0))

    assert len(root.findall("{*}polyline")) == 2
    texts = [node.text for node in root.findall("{*}text")]
    assert {"memory & more", "a <b>", "flat"} <= set(texts)


def test_of_a_run_that_ends_in_the_warm_up_only_the_promises_are_judged() -> None:
    samples = Samples()
    for at_s in range(0, 180, 10):
        series = {Series(Kind.MEMORY, f"process {number}"): 1e6 * at_s for number in range(30)}
        samples.add(float(at_s), series)
    run = replace(a_run(), seconds=180.0, samples=samples, trends=samples.trends(Wish(180, 1, 1.0).warm_up_s))
    text = report.written(run)

    assert run.holds
    assert "**All that could be judged held; 30 series need a longer run.**" in text
    assert "- and 10 more" in text


def test_the_warm_up_is_long_enough_for_all_but_sessions() -> None:
    assert [Wish(seconds, 1, 1.0).warm_up_s for seconds in (60, 600, 1_800, 7_200, 86_400)] == [
        300,
        300,
        600,
        2_400,
        3_600,
    ]
