"""The audit record as a chain: what is written holds, and whatever is done to it shows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omapush.audit.chain import Entry, Link, entry_of, line, link_of, verify

KEY = b"a key of more than sixteen bytes"
WORDS = st.text(max_size=40)
ENTRIES = st.builds(
    Entry, WORDS, WORDS, WORDS, WORDS, WORDS, WORDS, st.lists(st.tuples(WORDS, WORDS), max_size=3).map(tuple)
)


def chain(entries: list[Entry], key: bytes = b"") -> list[bytes]:
    lines, link = [], Link()
    for entry in entries:
        text, link = line(entry, link, key)
        lines.append(text)
    return lines


def submissions(number: int) -> list[Entry]:
    return [
        Entry(f"2026-01-31T09:00:0{i}.000Z", "initiator/acme", "submit", f"{i}@pi", "1001")
        for i in range(number)
    ]


@given(st.lists(ENTRIES, max_size=6), st.sampled_from([b"", KEY]))
def test_what_is_written_holds(entries: list[Entry], key: bytes) -> None:
    lines = chain(entries, key)
    verdict = verify(lines, key)

    assert (verdict.entries, verdict.broken) == (len(entries), "")
    assert all(text.count(b"\n") == 1 for text in lines)
    if lines:
        assert verdict.head == link_of(lines[-1])


@given(st.integers(0, 10_000), st.integers(0, 255), st.sampled_from([b"", KEY]))
def test_one_changed_byte_breaks_it(place: int, byte: int, key: bytes) -> None:
    whole = b"".join(chain(submissions(3), key))
    place %= len(whole)
    changed = whole[:place] + bytes([byte]) + whole[place + 1 :]

    assert bool(verify(changed.splitlines(keepends=True), key).broken) == (changed != whole)


@pytest.mark.parametrize("left_out", [0, 1, 2])
def test_a_line_left_out_breaks_it(left_out: int) -> None:
    lines = chain(submissions(4))

    assert verify(lines[:left_out] + lines[left_out + 1 :]).entries == left_out
    assert "expected" in verify(lines[:left_out] + lines[left_out + 1 :]).broken


def test_lines_that_changed_places_break_it() -> None:
    first, second, third = chain(submissions(3))

    assert verify([first, third, second]).broken


def test_a_chain_written_anew_without_the_key_does_not_hold() -> None:
    assert "another key" in verify(chain(submissions(2)), KEY).broken


def test_every_cut_of_the_last_line_shows() -> None:
    *whole, last = chain(submissions(2))

    for cut in range(1, len(last)):
        assert verify([*whole, last[:cut]]).broken
        assert link_of(last[:cut]) is None


def test_a_record_whose_beginning_is_archived_is_checked_from_its_first_line() -> None:
    lines = chain(submissions(4))

    assert verify(lines[2:]).broken
    assert verify(lines[2:], begun_earlier=True).entries == 2
    assert verify([lines[1], lines[3]], begun_earlier=True).broken


def test_control_characters_and_length_of_a_word_are_bounded() -> None:
    text, _ = line(Entry("t", "a\nb", "submit", "x" * 10_000, "done"), Link())
    fields = entry_of(text)

    assert fields is not None
    assert fields["who"] == "a?b"
    assert len(fields["what"]) == 512
