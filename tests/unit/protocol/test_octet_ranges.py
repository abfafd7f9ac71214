"""Octets that were seen in any order."""

from hypothesis import given
from hypothesis import strategies as st

from omapush.protocol.octet_ranges import MOST_RANGES, OctetRanges


def test_pieces_in_any_order_become_one() -> None:
    ranges = OctetRanges()

    assert ranges.add(6, 10)
    assert ranges.prefix == 0
    assert ranges.add(1, 3)
    assert ranges.prefix == 3
    assert ranges.add(4, 5)
    assert ranges.prefix == 10


def test_what_is_known_or_empty_adds_nothing() -> None:
    ranges = OctetRanges()
    ranges.add(1, 10)

    assert not ranges.add(3, 10)
    assert not ranges.add(1, 0)
    assert ranges.add(3, 11)
    assert ranges.prefix == 11


def test_separate_pieces_are_bounded() -> None:
    ranges = OctetRanges()
    for number in range(MOST_RANGES):
        assert ranges.add(3 * number + 2, 3 * number + 2)

    assert not ranges.add(10_000, 10_000)
    assert ranges.add(1, 2)
    assert ranges.prefix == 2


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(0, 60)), max_size=30))
def test_it_is_a_set_of_numbers(pieces: list[tuple[int, int]]) -> None:
    ranges, numbers = OctetRanges(), set[int]()
    for start, end in pieces:
        new = set(range(start, end + 1)) - numbers
        assert ranges.add(start, end) == bool(new)
        numbers |= new

    prefix = 0
    while prefix + 1 in numbers:
        prefix += 1
    assert ranges.prefix == prefix
