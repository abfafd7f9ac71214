"""How long an HTTP answer asks to wait."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omapush.protocol.retry_after import LONGEST_S, delay_s

NOW = datetime(2026, 11, 6, 8, 49, 0, tzinfo=UTC)
NOW_S = NOW.timestamp()


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120),
        ("0", 0),
        (" 7\t", 7),
        ("Fri, 06 Nov 2026 08:49:37 GMT", 37),
        ("Friday, 06-Nov-26 08:49:37 GMT", 37),
        ("Fri Nov  6 08:49:37 2026", 37),
        ("Fri, 06 Nov 2026 08:48:37 GMT", 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", LONGEST_S),
    ],
)
def test_seconds_and_each_form_of_a_date_are_read(value: str, seconds: int) -> None:
    assert delay_s(value, NOW_S) == seconds


@pytest.mark.parametrize(
    "value",
    [
        "",
        "soon",
        "-1",
        "+1",
        "1.5",
        "1e3",
        "1" * 10,
        "1" * 5_000,
        "\u0661",
        "1, 2",
        "Fri, 31 Feb 2027 00:00:00 GMT",
        "Fri, 06 Nov 2026 08:49:37 +0100",
        "2026-11-06T08:49:37Z",
        "Fri, 06 Nov 2026 08:49:60 GMT",
    ],
)
def test_what_is_neither_says_nothing(value: str) -> None:
    assert delay_s(value, NOW_S) == 0


@given(st.integers(1, 10**8))
def test_a_date_means_the_seconds_until_then(seconds: int) -> None:
    then = NOW + timedelta(seconds=seconds)

    assert delay_s(then.strftime("%a, %d %b %Y %H:%M:%S GMT"), NOW_S) == seconds
    assert delay_s(then.strftime("%a, %d %b %Y %H:%M:%S GMT"), NOW_S - 0.5) == seconds + 1


@given(st.text(max_size=60))
def test_any_text_is_judged(value: str) -> None:
    assert 0 <= delay_s(value, NOW_S) <= LONGEST_S
