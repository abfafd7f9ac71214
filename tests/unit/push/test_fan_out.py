"""A push to all subscribers, page by page in one user shard."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omapush.push.fan_out import (
    PAGE,
    FanOut,
    FanOutState,
    Progress,
    Subscriber,
    is_late,
    next_page,
    over,
    wants_page,
)
from tests.harness.values import a_delivery

BEFORE_MS = 1_000
TEMPLATE = a_delivery(
    aor="",
    deliver_before_ms=BEFORE_MS,
)
EVERYBODY = FanOut(1, TEMPLATE, ("*",))
START = Progress("running", 0, "")


def ids(number: int, start: int = 0) -> list[str]:
    return [f"{place:032x}" for place in range(start, start + number)]


def users(places: list[str]) -> list[Subscriber]:
    return [Subscriber(place, f"sip:{place[-4:]}@home1.example") for place in places]


def test_a_delivery_is_the_template_for_one_subscription() -> None:
    places = ids(2)

    page = next_page(EVERYBODY, START, places, users(places), shard=3, shards=16)

    assert page.deliveries == (
        TEMPLATE._replace(recipient=3, aor="sip:0000@home1.example", subscription=places[0]),
        TEMPLATE._replace(recipient=19, aor="sip:0001@home1.example", subscription=places[1]),
    )
    assert page.progress == Progress("running", 2, "~")


def test_a_full_page_leads_to_the_next_one_and_a_short_one_is_the_last() -> None:
    places = ids(PAGE)

    full = next_page(EVERYBODY, START, places, users(places), shard=0, shards=1)
    last = next_page(EVERYBODY, full.progress, [], [], shard=0, shards=1)

    assert full.progress == Progress("running", PAGE, places[-1])
    assert not full.progress.is_over
    assert last.progress == Progress("running", PAGE, "~")
    assert last.progress.is_over


def test_who_is_not_active_or_out_of_reach_is_passed_over_without_a_gap() -> None:
    places = ids(PAGE)
    some = FanOut(1, TEMPLATE, ("sip:000?@home1.example",))

    page = next_page(some, START, places, users(places)[2:], shard=1, shards=4)

    assert [one.subscription for one in page.deliveries] == places[2:16]
    assert [one.recipient for one in page.deliveries] == [1 + 4 * number for number in range(14)]
    assert page.progress == Progress("running", 14, places[-1])


def test_from_deliver_before_on_nobody_is_added() -> None:
    assert not is_late(EVERYBODY, BEFORE_MS - 1)
    assert is_late(EVERYBODY, BEFORE_MS)
    assert over(Progress("paused", 7, "a")) == Progress("paused", 7, "~")
    assert over(START).is_over


@pytest.mark.parametrize(
    ("progress", "backlog", "ready", "wants"),
    [
        (START, 0, 0, True),
        (START, PAGE - 1, 1_000_000, True),
        (START, PAGE, PAGE, False),
        (START, PAGE, PAGE - 1, True),
        (START, 16 * PAGE, 0, False),
        (START._replace(state="paused"), 0, 0, False),
        (START._replace(state="aborted"), 0, 0, False),
        (START._replace(cursor="~"), 0, 0, False),
    ],
)
def test_the_next_page_waits_for_room(progress: Progress, backlog: int, ready: int, wants: bool) -> None:
    """Silent devices hold up a push only when there are many of them, other pushes never."""
    assert wants_page(progress, backlog, ready) is wants


@given(
    state=st.sampled_from(["running", "paused", "aborted"]),
    made=st.integers(0, 10**9),
    cursor=st.sampled_from(["", "~", "0123456789abcdef" * 2]),
)
def test_progress_is_read_back_as_it_was_written(state: FanOutState, made: int, cursor: str) -> None:
    assert Progress.read(str(Progress(state, made, cursor))) == Progress(state, made, cursor)


@given(st.lists(st.integers(0, 400), min_size=1, max_size=5))
def test_indexes_of_all_shards_are_apart(sizes: list[int]) -> None:
    indexes: list[int] = []
    for shard, size in enumerate(sizes):
        progress = START
        while not progress.is_over:
            places = ids(size)[progress.made : progress.made + PAGE]
            page = next_page(EVERYBODY, progress, places, users(places), shard=shard, shards=len(sizes))
            indexes += [one.recipient for one in page.deliveries]
            progress = page.progress
    assert len(set(indexes)) == len(indexes) == sum(sizes)
    assert max(indexes, default=0) < len(sizes) * max(*sizes, 1)
