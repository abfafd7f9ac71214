"""Range, If-Range and If-None-Match: what part of a content is asked for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omapush.protocol.byte_range import NotSatisfiable, is_known, wanted

ETAG = '"abc"'


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("bytes=0-0", range(1)),
        ("bytes=0-499", range(100)),
        ("Bytes=5-9", range(5, 10)),
        ("bytes=5-", range(5, 100)),
        ("bytes=-5", range(95, 100)),
        ("bytes=-500", range(100)),
        ("bytes=5-4", None),
        ("bytes=0-1,4-5", None),
        ("bytes=a-b", None),
        ("items=0-1", None),
        ("bytes=0-" + "9" * 2_000, None),
        ("", None),
    ],
)
def test_one_range_is_served_and_what_cannot_be_read_is_ignored(value: str, expected: range | None) -> None:
    assert wanted(value, "", ETAG, 100) == expected


@pytest.mark.parametrize(("value", "size"), [("bytes=100-", 100), ("bytes=-0", 100), ("bytes=0-", 0)])
def test_a_range_without_any_byte_cannot_be_satisfied(value: str, size: int) -> None:
    with pytest.raises(NotSatisfiable):
        wanted(value, "", ETAG, size)


def test_a_range_of_another_content_is_ignored() -> None:
    assert wanted("bytes=5-9", ETAG, ETAG, 100) == range(5, 10)
    assert wanted("bytes=5-9", '"other"', ETAG, 100) is None
    assert wanted("bytes=5-9", f"W/{ETAG}", ETAG, 100) is None


@pytest.mark.parametrize(
    ("value", "known"),
    [(ETAG, True), (f'"x", W/{ETAG}', True), ("*", True), ('"x"', False), ("", False), ("abc", False)],
)
def test_a_content_that_is_known_need_not_be_sent(value: str, known: bool) -> None:
    assert is_known(value, ETAG) is known


@given(st.text(), st.text(), st.integers(0, 10_000))
def test_whatever_is_asked_for_is_inside_the_content(value: str, if_range: str, size: int) -> None:
    for text in (value, f"bytes={value}"):
        try:
            found = wanted(text, if_range, ETAG, size)
        except NotSatisfiable:
            continue
        assert found is None or 0 <= found.start < found.stop <= size
