"""The page of the bench: plots of every run, without a script or anything from elsewhere."""

from __future__ import annotations

from typing import Any

from lxml import html

from bench import page, plot
from bench.figure import alone, compared
from bench.plot import Bar, Point, Stack
from bench.results import Failed, Run

COSTS = {"ours": {"SIP <b>": 9.0}}
PUSH = compared("message_push", "MESSAGE/s", "relay", [80.0, 90.0], [100.0, 100.0], COSTS)
FIRST = Run("2026-11-25T05:00:07Z", "0000001", 2, {"cpu": "<fast>"}, (PUSH,))
LAST = Run(
    "2026-11-26T05:00:07Z",
    "0000002",
    3,
    {"cpu": "<fast>"},
    (PUSH._replace(value=95.0, ratio=1.25), alone("kill9_lost", "pushes", "20 kills", [0.0])),
    (Failed("msrp_stream", "no <room>"),),
)


def parsed(text: str) -> Any:
    """Elements, as lxml has them."""
    return html.fromstring(text)


def classes(document: Any, kind: str) -> int:
    return len(document.xpath(f"//*[contains(concat(' ', @class, ' '), ' {kind} ')]"))


def test_the_page_shows_goals_costs_history_and_what_failed() -> None:
    text = page.page([FIRST, LAST])
    document = parsed(text)

    assert [one.text for one in document.iter("h2")] == [
        "Against the goals", "What one costs", "History", "All figures", "Not measured",
    ]  # fmt: skip
    said = document.text_content()
    for words in ("cpu: <fast>", "no <room>", "SIP <b>", "11-26 0000002", "0.85", "aim reached"):
        assert words in said, words
    assert len(document.xpath("//circle")) == 2, "a point for each run of what was measured twice"
    assert classes(document, "aim") == 2
    assert "<script" not in text
    assert "http" not in text.replace("http://127.0.0.1", "")


def test_the_page_says_that_nothing_was_measured() -> None:
    assert "make bench" in page.page([])


def test_bars_are_on_one_scale_on_which_the_goal_is_a_line() -> None:
    drawn = parsed(plot.bars([
        Bar("half", 0.5, 0.4, 0.6, 1.0, "half", "missed"), Bar("twice", 2.0, 2.0, 2.0, 2.0, "twice", "aim"),
    ]))  # fmt: skip
    half, twice = (float(box.get("width")) for box in drawn.xpath("//rect"))
    (goal,) = drawn.xpath("//line[@class='least-mark']")
    left = float(drawn.xpath("//rect")[0].get("x"))

    assert twice == 4 * half
    assert float(goal.get("x1")) - left == 2 * half


def test_parts_of_a_stack_follow_each_other_and_keep_their_shade() -> None:
    drawn = parsed(
        f"<div>{plot.stacks([Stack('a', {'x': 1.0, 'y': 3.0}), Stack('b', {'y': 2.0})], 'us')}</div>"
    )
    boxes = drawn.xpath("./svg/rect")

    assert [box.get("class") for box in boxes] == ["shade0", "shade1", "shade1"]
    assert float(boxes[1].get("x")) == float(boxes[0].get("x")) + float(boxes[0].get("width"))
    assert [one.text_content().strip() for one in drawn.xpath("//span")] == ["x", "y"]


def test_a_history_rises_with_its_values_and_shows_the_goal() -> None:
    points = [Point("one", 1.0, 0.9, 1.1), Point("two", 2.0, 2.0, 2.0)]
    drawn = parsed(plot.history(points, [1.5], ".1f"))
    first, second = (float(one.get("cy")) for one in drawn.xpath("//circle"))
    (goal,) = drawn.xpath("//line[@class='least-mark']")

    assert first > float(goal.get("y1")) > second
    assert "1.5" in drawn.text_content()
