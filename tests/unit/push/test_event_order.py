"""The order of lines of one millisecond, whichever was stored first."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omapush.push.event_order import in_order, order_of
from omapush.push.values import Event

ACCEPTED = Event(0, -1, "accepted", "1 recipient(s)")
NOTIFY = Event(1, 0, "sent", "NOTIFY try 1")
REFUSED = Event(2, 0, "reply", "NOTIFY refused with 415: the next method is tried")
MESSAGE = Event(2, 0, "sent", "MESSAGE try 1")
DELIVERED = Event(2, 0, "final", "delivered (200 OK)")
CANCELLED = Event(2, 0, "sent", "CANCEL as no answer came in time")
EVENTS = st.lists(
    st.builds(
        Event,
        st.integers(0, 3),
        st.integers(-1, 1),
        st.sampled_from(["accepted", "sent", "reply", "retry", "final", "held", "notified"]),
        st.sampled_from(["", "CANCEL", "MESSAGE"]),
    ),
    max_size=8,
)


@pytest.mark.parametrize("stored", list(itertools.permutations([REFUSED, MESSAGE])))
def test_the_answer_to_the_request_before_comes_before_the_next_request(stored: tuple[Event, ...]) -> None:
    assert in_order([ACCEPTED, NOTIFY, *stored]) == [ACCEPTED, NOTIFY, REFUSED, MESSAGE]


@pytest.mark.parametrize("stored", list(itertools.permutations([MESSAGE, DELIVERED])))
def test_the_answer_to_the_only_request_comes_behind_it(stored: tuple[Event, ...]) -> None:
    assert in_order([ACCEPTED, *stored]) == [ACCEPTED, MESSAGE, DELIVERED]


@pytest.mark.parametrize("stored", [[REFUSED, MESSAGE, DELIVERED], [MESSAGE, REFUSED, DELIVERED]])
def test_a_refusal_and_the_whole_next_try_may_be_of_one_millisecond(stored: list[Event]) -> None:
    assert in_order([NOTIFY, *stored]) == [NOTIFY, REFUSED, MESSAGE, DELIVERED]
    first = NOTIFY._replace(at_ms=2)
    assert in_order([first, *stored]) == [first, REFUSED, MESSAGE, DELIVERED]


def test_a_cancel_is_no_next_request() -> None:
    """The 487 belongs to the INVITE, and follows its CANCEL as it was stored."""
    end = Event(2, 0, "reply", "INVITE was answered (487 Request Terminated)")
    assert in_order([NOTIFY, CANCELLED, end]) == [NOTIFY, CANCELLED, end]


def test_deliveries_of_one_push_do_not_concern_each_other() -> None:
    other = MESSAGE._replace(recipient=1)
    assert in_order([NOTIFY, other, MESSAGE, REFUSED]) == [NOTIFY, other, REFUSED, MESSAGE]


@given(EVENTS)
def test_nothing_is_lost_and_only_lines_of_one_delivery_and_millisecond_change_places(
    events: list[Event],
) -> None:
    order = order_of(events)

    assert sorted(order) == list(range(len(events)))
    found = [events[position] for position in order]
    by_time = sorted(events, key=lambda one: one.at_ms)
    assert [(one.at_ms, one.recipient) for one in found] == [(one.at_ms, one.recipient) for one in by_time]
    for name in ("accepted", "held", "notified"):
        assert [one for one in found if one.name == name] == [one for one in by_time if one.name == name]
    assert in_order(found) == found
