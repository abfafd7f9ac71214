"""Quiet hours: who waits until when, over midnight, over days, and when clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omapush.push import quiet
from omapush.push.quiet import Quiet, QuietHours
from omapush.push.values import Delivery
from tests.harness.values import a_delivery

ALICE = "sip:alice@home1.example"
HELSINKI = ZoneInfo("Europe/Helsinki")
EVERY_DAY = frozenset(range(7))
NIGHT = QuietHours(("*",), HELSINKI, time(22), time(7), EVERY_DAY, frozenset({"high"}), "expire", 0)


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def delivery(*, before: str = "2030-01-01T00:00:00Z", priority: str = "medium", aor: str = ALICE) -> Delivery:
    return a_delivery(
        aor=aor,
        application="ads.ua",
        deliver_before_ms=ms(before),
        deadline_given=True,
        priority=priority,
    )


def until(at: str, *rules: QuietHours) -> str:
    found = quiet.quiet(rules or (NIGHT,), delivery(), ms(at))
    return "" if found is None else datetime.fromtimestamp(found.until_ms / 1000, UTC).isoformat()


@pytest.mark.parametrize(
    ("at", "end"),
    [
        ("2026-11-24T21:59:59+02:00", ""),
        ("2026-11-24T22:00:00+02:00", "2026-11-25T05:00:00+00:00"),
        ("2026-11-25T00:00:00+02:00", "2026-11-25T05:00:00+00:00"),
        ("2026-11-25T06:59:59+02:00", "2026-11-25T05:00:00+00:00"),
        ("2026-11-25T07:00:00+02:00", ""),
        # the night in which summer time begins is an hour shorter, that in which it ends an hour longer
        ("2026-03-28T22:00:00+02:00", "2026-03-29T04:00:00+00:00"),
        ("2026-10-24T22:00:00+03:00", "2026-10-25T05:00:00+00:00"),
    ],
)
def test_a_window_over_midnight_ends_in_the_morning_of_its_zone(at: str, end: str) -> None:
    assert until(at) == end


def test_a_window_belongs_to_the_day_on_which_it_begins() -> None:
    friday = NIGHT._replace(days=frozenset({4}), zone=ZoneInfo("UTC"))

    assert until("2026-11-27T23:00:00Z", friday) == "2026-11-28T07:00:00+00:00"
    assert until("2026-11-28T06:00:00Z", friday) == "2026-11-28T07:00:00+00:00"
    assert until("2026-11-28T23:00:00Z", friday) == ""
    assert until("2026-11-27T06:00:00Z", friday) == ""


def test_windows_that_touch_are_one() -> None:
    noon = NIGHT._replace(zone=ZoneInfo("UTC"), start=time(12), end=time(13))
    after = noon._replace(start=time(13), end=time(14, 30))

    assert until("2026-11-27T12:10:00Z", noon, after) == "2026-11-27T14:30:00+00:00"
    assert until("2026-11-27T12:10:00Z", after, noon) == "2026-11-27T14:30:00+00:00"


def test_only_those_whom_a_rule_names_wait_and_urgent_pushes_do_not() -> None:
    ours = NIGHT._replace(recipients=("sip:*@home1.example",))
    now_ms = ms("2026-11-24T23:00:00+02:00")

    assert quiet.quiet([ours], delivery(), now_ms) is not None
    assert quiet.quiet([ours], delivery(aor="sip:a@other.example"), now_ms) is None
    assert quiet.quiet([ours], delivery(priority="high"), now_ms) is None
    assert quiet.quiet([ours._replace(bypass=frozenset())], delivery(priority="high"), now_ms) is not None
    assert quiet.quiet([], delivery(), now_ms) is None


def test_a_deliver_before_within_the_window_is_kept_as_the_rule_says() -> None:
    now_ms = ms("2026-11-24T23:00:00+02:00")
    soon = delivery(before="2026-11-25T01:00:00+02:00")

    waits = quiet.quiet([NIGHT], soon, now_ms)
    sent = quiet.quiet([NIGHT._replace(late="send")], soon, now_ms)

    assert waits == Quiet(
        soon.deliver_before_ms, "quiet hours until 2026-11-25T05:00:00Z, after its deliver-before"
    )
    assert sent is not None
    assert (sent.until_ms, "2026-11-25T05:00:00Z" in sent.why) == (0, True)
    both = quiet.quiet([NIGHT, NIGHT._replace(late="send")], soon, now_ms)
    assert both == waits


_minutes = st.integers(0, 1439).map(lambda minute: time(minute // 60, minute % 60))
_rules = st.builds(
    QuietHours,
    recipients=st.sampled_from([("*",), ("sip:*",), ("tel:*",)]),
    zone=st.sampled_from(
        [ZoneInfo("UTC"), HELSINKI, ZoneInfo("Pacific/Auckland"), ZoneInfo("America/St_Johns")]
    ),
    start=_minutes,
    end=_minutes,
    days=st.frozensets(st.integers(0, 6), min_size=1),
    bypass=st.sampled_from([frozenset(), frozenset({"high"})]),
    late=st.sampled_from(["send", "expire"]),
    spread_ms=st.integers(0, 600_000),
)


@given(
    rules=st.lists(_rules, max_size=3),
    now_ms=st.integers(ms("2026-01-01T00:00:00Z"), ms("2027-01-01T00:00:00Z")),
    left_ms=st.integers(1, 3 * 86_400_000),
    number=st.integers(0, 50),
)
def test_what_waits_goes_later_and_never_past_its_deliver_before(
    rules: list[QuietHours], now_ms: int, left_ms: int, number: int
) -> None:
    one = delivery(aor=f"sip:{number}@home1.example")._replace(deliver_before_ms=now_ms + left_ms)

    found = quiet.quiet(rules, one, now_ms)

    if found is not None and found.until_ms:
        assert now_ms < found.until_ms <= one.deliver_before_ms
        again = quiet.quiet(rules, one, found.until_ms)
        longest = max(rule.spread_ms for rule in rules)
        if longest == 0 and found.until_ms < one.deliver_before_ms:
            assert again is None or len(rules) * 7 >= 32


@given(numbers=st.sets(st.integers(0, 10_000), min_size=200, max_size=200))
def test_the_end_of_a_window_is_spread_by_user(numbers: set[int]) -> None:
    rule = NIGHT._replace(spread_ms=60_000)
    end_ms, now_ms = ms("2026-11-25T05:00:00Z"), ms("2026-11-25T04:00:00Z")

    shares = []
    for number in numbers:
        found = quiet.quiet([rule], delivery(aor=f"sip:{number}@home1.example"), now_ms)
        assert found is not None
        shares.append(found.until_ms - end_ms)

    assert all(0 <= share < 60_000 for share in shares)
    assert len({share // 10_000 for share in shares}) == 6
