"""Subscription-State, as notifiers write it."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omapush.errors import MalformedSip
from omapush.protocol.subscription_state import SubscriptionState

FULL = 'Terminated ; reason="Probation" ;retry-after=10;expires=5;x'


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("active;expires=600", SubscriptionState("active", 600)),
        ("pending", SubscriptionState("pending")),
        ("ACTIVE ; Expires = 1", SubscriptionState("active", 1)),
        (FULL, SubscriptionState("terminated", 5, "probation", 10)),
        ("terminated;reason=a;reason=b", SubscriptionState("terminated", reason="a")),
        ("x-other;expires=99999999999999999999", SubscriptionState("x-other", 2**31 - 1)),
    ],
)
def test_values_are_read_with_their_spaces_quotes_and_case(value: str, expected: SubscriptionState) -> None:
    assert SubscriptionState.parse(value) == expected


@pytest.mark.parametrize(
    "value", ["", ";", "active;expires=", "active;expires=x", "active;expires=-1", "a b", 'active;r="']
)
def test_a_value_that_breaks_a_rule_names_the_header(value: str) -> None:
    with pytest.raises(MalformedSip, match="Subscription-State"):
        SubscriptionState.parse(value)


@pytest.mark.parametrize("length", range(len(FULL)))
def test_every_beginning_is_read_or_a_typed_error(length: int) -> None:
    with suppress(MalformedSip):
        assert SubscriptionState.parse(FULL[:length]).state


@given(st.text(max_size=60) | st.text(alphabet='active;=" expir0', max_size=60))
def test_any_text_is_read_or_a_typed_error(value: str) -> None:
    with suppress(MalformedSip):
        assert SubscriptionState.parse(value).state
