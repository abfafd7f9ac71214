"""Whose wrong passwords are counted together, and how long nothing is tried after them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omapush.push.guessing import Counter, Kind, counters, lock_s, source_of

KINDS: tuple[Kind, ...] = ("address", "name", "pair")


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("unix", "unix"),
    ],
)
def test_an_ipv6_network_counts_as_one_address(address: str, source: str) -> None:
    assert source_of(address) == source


def test_a_stranger_never_counts_for_an_account_at_its_usual_address() -> None:
    strange = counters("mmsc", "192.0.2.66", is_known=True, is_usual=False)
    usual = counters("mmsc", "192.0.2.7", is_known=True, is_usual=True)

    assert strange == (Counter("address", "192.0.2.66"), Counter("name", "mmsc"))
    assert usual == (Counter("pair", "mmsc 192.0.2.7"),)
    assert counters("nobody", "192.0.2.66", is_known=False, is_usual=False) == strange[:1]


def test_each_further_failure_doubles_the_lock_up_to_a_quarter_of_an_hour() -> None:
    assert [lock_s("address", number) for number in range(9, 17)] == [0, 30, 60, 120, 240, 480, 900, 900]
    assert [lock_s("pair", number) for number in (9, 10)] == [0, 30]
    assert [lock_s("name", number) for number in (49, 50, 51)] == [0, 30, 60]


@given(st.sampled_from(KINDS), st.integers(0, 10**18))
def test_a_lock_never_gets_shorter_with_more_failures(kind: Kind, failures: int) -> None:
    assert 0 <= lock_s(kind, failures) <= lock_s(kind, failures + 1) <= 900
