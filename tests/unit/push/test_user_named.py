"""Whom an operator means."""

import pytest

from omapush.errors import MalformedAddress
from omapush.push.user_named import user_named


@pytest.mark.parametrize(
    ("typed", "means"),
    [
        ("sip:alice@HOME1.example;user=phone", "sip:alice@home1.example"),
        ("alice@home1.example", "sip:alice@home1.example"),
        (" alice@home1.example ", "sip:alice@home1.example"),
        ("tel:+358-40-1234567", "tel:+358401234567"),
        ("+358 40 123 4567", "tel:+358401234567"),
        ("+358-(40)-1234567", "tel:+358401234567"),
        ("WAPPUSH=+358401234567/TYPE=PLMN@ppg.home1.example", "tel:+358401234567"),
    ],
)
def test_a_user_is_found_by_what_is_at_hand(typed: str, means: str) -> None:
    assert user_named(typed, "AOR") == means


@pytest.mark.parametrize("typed", ["", "alice", "040 1234567", "+358 40 x", "mailto:a@b.example", "a@b\r\nc"])
def test_what_names_nobody_is_refused_by_its_place(typed: str) -> None:
    with pytest.raises(MalformedAddress, match=r"^AOR: "):
        user_named(typed, "AOR")
