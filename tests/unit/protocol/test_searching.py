"""The search by the C library finds what `find` finds, and looks nowhere else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omapush.protocol import searching
from omapush.protocol.searching import find

LONG = 10_000
WANTED = b"\r\n-------0123456789abcdef"


def test_it_is_the_c_library_that_searches_here() -> None:
    assert searching._MEMMEM is not None


@given(
    st.lists(st.integers(0, LONG - len(WANTED)), max_size=5),
    st.integers(0, LONG),
    st.integers(0, LONG + 10),
    st.sampled_from([WANTED, WANTED[:1], WANTED[:9]]),
)
def test_it_finds_what_find_finds(places: list[int], start: int, end: int, wanted: bytes) -> None:
    data = bytearray(LONG)
    for at in places:
        data[at : at + len(WANTED)] = WANTED

    assert find(data, wanted, start, end) == data.find(wanted, start, end)
    assert find(bytes(data), wanted, start, end) == data.find(wanted, start, end)


@pytest.mark.parametrize("at", range(LONG - 60, LONG))
def test_nothing_is_found_that_goes_past_the_end(at: int) -> None:
    data = bytearray(LONG + 100)
    data[at : at + len(WANTED)] = WANTED

    assert find(data, WANTED, 0, LONG) == data.find(WANTED, 0, LONG)
    assert find(data, WANTED, 0, LONG) in (-1, at)


def test_the_buffer_can_grow_afterwards() -> None:
    data = bytearray(LONG)
    assert find(data, WANTED, 0, LONG) == -1

    data += b"more"
    assert len(data) == LONG + 4


def test_without_such_a_c_library_the_interpreter_searches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "_MEMMEM", None)
    data = bytearray(LONG) + WANTED

    assert find(data, WANTED, 0, len(data)) == LONG
