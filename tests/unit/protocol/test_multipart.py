"""Multipart bodies: what a part is, whatever its bytes are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omapush.errors import MalformedMime
from omapush.protocol.multipart import (
    MAX_HEADER_BLOCK,
    MAX_MEDIA_TYPE,
    MAX_PART_HEADERS,
    MediaType,
    Part,
    join,
    media_type,
    split,
)

RELATED = 'multipart/related; boundary=b1; type="application/xml"'
TWO_PARTS = (
    b"--b1\r\nContent-Type: application/xml\r\n\r\n<pap/>\r\n"
    b"--b1\r\nContent-Type: image/gif\r\nX-Wap-Application-Id: mms.ua\r\n\r\n\x00\xff\r\n\r\n--b1--\r\n"
)


def test_parts_come_in_order_with_their_headers() -> None:
    control, content = split(RELATED, TWO_PARTS)

    assert control == Part((("Content-Type", "application/xml"),), b"<pap/>")
    assert content.headers == (("Content-Type", "image/gif"), ("X-Wap-Application-Id", "mms.ua"))


def test_the_line_break_before_a_boundary_belongs_to_the_boundary() -> None:
    _, content = split(RELATED, TWO_PARTS)

    assert content.body == b"\x00\xff\r\n"


def test_a_header_is_found_in_any_case_and_none_when_absent() -> None:
    part = split(RELATED, TWO_PARTS)[1]

    assert part.header("x-wap-application-ID") == "mms.ua"
    assert part.header("Content-ID") is None


def test_preamble_and_epilogue_are_left_out() -> None:
    dressed = b"no --b1 here\r\n--b1x\r\n" + TWO_PARTS + b"bye\r\n--b1\r\n\r\nnot a part\r\n"

    assert split(RELATED, dressed) == split(RELATED, TWO_PARTS)


def test_an_inner_multipart_keeps_its_bytes_when_its_boundary_begins_like_ours() -> None:
    inner = b"--b1-in\r\n\r\none\r\n--b1--in\r\n--b1-in--"
    body = b"--b1\r\nContent-Type: multipart/mixed; boundary=b1-in\r\n\r\n" + inner + b"\r\n--b1--"

    assert split(RELATED, body)[0].body == inner


def test_white_space_may_follow_a_boundary() -> None:
    assert split(RELATED, b"--b1 \t\r\n\r\none\r\n--b1--  ") == (Part((), b"one"),)


def test_bare_line_feeds_are_line_ends_when_the_first_boundary_line_has_one() -> None:
    assert split(RELATED, b"--b1\nA: b\n\none\n--b1\n\ntwo\n--b1--") == (
        Part((("A", "b"),), b"one"),
        Part((), b"two"),
    )


def test_a_line_feed_before_boundary_characters_is_content_where_lines_end_with_crlf() -> None:
    assert split(RELATED, b"--b1\r\n\r\none\n--b1\ntwo\r\n--b1--")[0].body == b"one\n--b1\ntwo"


def test_part_headers_may_end_with_bare_line_feeds() -> None:
    assert split(RELATED, b"--b1\r\nA: b\nC: d\n\none\r\n--b1--")[0] == Part((("A", "b"), ("C", "d")), b"one")


def test_a_folded_header_is_one_line() -> None:
    body = b"--b1\r\nContent-Type: text/plain;\r\n\t charset=utf-8\r\n\r\nx\r\n--b1--"

    assert split(RELATED, body)[0].header("content-type") == "text/plain; charset=utf-8"


@pytest.mark.parametrize("headers", [b"", b"A: b\r\n", b"A: b\r\nC:\r\n"])
def test_a_part_may_be_empty(headers: bytes) -> None:
    assert split(RELATED, b"--b1\r\n" + headers + b"\r\n--b1--")[0].body == b""


def test_a_quoted_boundary_may_hold_spaces_and_colons() -> None:
    assert split('multipart/mixed; boundary="a b:c"', b"--a b:c\r\n\r\nx\r\n--a b:c--")[0].body == b"x"


def test_a_boundary_of_seventy_characters_is_the_longest() -> None:
    longest = "b" * 70
    body = f"--{longest}\r\n\r\nx\r\n--{longest}--".encode()

    assert split(f"multipart/mixed; boundary={longest}", body)[0].body == b"x"
    with pytest.raises(MalformedMime, match="boundary"):
        split(f"multipart/mixed; boundary={longest}b", body)


@pytest.mark.parametrize(
    ("content_type", "body", "says"),
    [
        ("application/xml", b"<pap/>", "multipart expected"),
        ("multipart/related", TWO_PARTS, "boundary: missing"),
        ('multipart/related; boundary=""', TWO_PARTS, "boundary: not 1 to 70"),
        ('multipart/related; boundary="b1 "', TWO_PARTS, "boundary: not 1 to 70"),
        ('multipart/related; boundary="b\u00e9"', TWO_PARTS, "boundary: not 1 to 70"),
        (RELATED, b"", "opening boundary"),
        (RELATED, b"--b1", "opening boundary"),
        (RELATED, b"--b1--\r\n", "opening boundary"),
        (RELATED, b"x--b1\r\n\r\none\r\n--b1--", "opening boundary"),
        (RELATED, TWO_PARTS.replace(b"--b1--", b""), "closing boundary is missing"),
        (RELATED, b"--b1\r\n\r\none\r\n--b1", "closing boundary is missing"),
        (RELATED, b"--b1\r\nno colon\r\n\r\nx\r\n--b1--", "header of part 1: line 1 is not name: value"),
        (RELATED, b"--b1\r\n folded\r\n\r\nx\r\n--b1--", "header of part 1"),
        (RELATED, b"--b1\r\nA b: c\r\n\r\nx\r\n--b1--", "header of part 1"),
        (RELATED, b"--b1\r\nX: y\r\nA: b\rC: d\r\n\r\nx\r\n--b1--", "control character in line 2"),
        (RELATED, b"--b1\r\nA: b\x00\r\n\r\nx\r\n--b1--", "control character"),
        (RELATED, b"--b1\r\nA: \xff\r\n\r\nx\r\n--b1--", "not UTF-8"),
        (RELATED, b"--b1\r\nA: " + b"x" * MAX_HEADER_BLOCK + b"\r\n\r\nx\r\n--b1--", "no blank line"),
        (RELATED, b"--b1\r\n" + b"A: b\r\n" * (MAX_PART_HEADERS + 1) + b"\r\nx\r\n--b1--", "more than 64"),
    ],
)
def test_what_cannot_be_taken_apart_is_refused_by_name(content_type: str, body: bytes, says: str) -> None:
    with pytest.raises(MalformedMime, match=says):
        split(content_type, body)


def test_the_number_of_parts_is_bounded() -> None:
    body = b"--b1\r\n\r\nx\r\n" * 3 + b"--b1--"

    assert len(split(RELATED, body, max_parts=3)) == 3
    with pytest.raises(MalformedMime, match="more than 2 parts"):
        split(RELATED, body, max_parts=2)


def test_every_prefix_is_refused_until_the_closing_boundary_is_whole() -> None:
    whole = len(TWO_PARTS) - len(b"\r\n")

    for end in range(whole):
        with pytest.raises(MalformedMime):
            split(RELATED, TWO_PARTS[:end])
    assert split(RELATED, TWO_PARTS[:whole]) == split(RELATED, TWO_PARTS)


@given(st.binary(max_size=200) | st.text("-b1\r\n: A\t", max_size=80).map(str.encode))
def test_any_body_is_parts_or_the_typed_error(body: bytes) -> None:
    try:
        parts = split(RELATED, b"--b1\r\n" + body + b"\r\n--b1--")
    except MalformedMime:
        return
    assert parts


HEADERS = st.tuples(
    st.from_regex(r"[A-Za-z][A-Za-z0-9\-]{0,20}", fullmatch=True),
    st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=30),
)
PARTS = st.builds(Part, st.lists(HEADERS, max_size=4).map(tuple), st.binary(max_size=300))


@given(st.lists(PARTS, min_size=1, max_size=5).map(tuple))
def test_what_was_joined_splits_into_the_same_parts(parts: tuple[Part, ...]) -> None:
    boundary = "=_a boundary that hypothesis will not guess"

    assert split(f'multipart/mixed; boundary="{boundary}"', join(parts, boundary)) == parts


@pytest.mark.parametrize(
    ("parts", "boundary"),
    [
        ((), "b1"),
        ((Part((), b"x"),), ""),
        ((Part((), b"x"),), "b" * 71),
        ((Part((), b"--b1--"),), "b1"),
        ((Part((("A", "b\r\nC: d"),), b"x"),), "b1"),
        ((Part((("A: b", "c"),), b"x"),), "b1"),
    ],
)
def test_join_refuses_what_split_could_not_give_back(parts: tuple[Part, ...], boundary: str) -> None:
    with pytest.raises(MalformedMime):
        join(parts, boundary)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Application/XML", MediaType("application", "xml")),
        (" text/plain ; Charset=UTF-8 ; ", MediaType("text", "plain", (("charset", "UTF-8"),))),
        ('a/b;c="d;e=\\"f\\"";g=h', MediaType("a", "b", (("c", 'd;e="f"'), ("g", "h")))),
        ("a/b; type=application/xml", MediaType("a", "b", (("type", "application/xml"),))),
        ('a/b;c=""', MediaType("a", "b", (("c", ""),))),
    ],
)
def test_a_media_type_is_taken_apart(value: str, expected: MediaType) -> None:
    assert media_type(value, "Content-Type") == expected


def test_a_parameter_is_found_in_any_case_and_the_essence_has_none() -> None:
    kind = media_type("Text/Plain; CHARSET=x", "Content-Type")

    assert (kind.param("charset"), kind.param("Charset"), kind.param("format")) == ("x", "x", None)
    assert kind.essence == "text/plain"


@pytest.mark.parametrize(
    "value",
    [
        "",
        "xml",
        "a/",
        "/b",
        "a/b c",
        "a/b;c",
        "a/b; c=",
        'a/b;c="d',
        "a/b;c=d;C=e",
        "a/b\r\nX: y",
        "a/b;c=\u00e9",
        "a/b;c=" + "d" * MAX_MEDIA_TYPE,
    ],
)
def test_what_is_not_a_media_type_is_refused_with_the_name_of_the_field(value: str) -> None:
    with pytest.raises(MalformedMime, match=r"^X-Field: "):
        media_type(value, "X-Field")


@given(st.text(max_size=60) | st.text('a/b;= "\\\t', max_size=30))
def test_any_text_is_a_media_type_or_the_typed_error(value: str) -> None:
    try:
        kind = media_type(value, "Content-Type")
    except MalformedMime:
        return
    assert kind.essence == kind.essence.lower()


@pytest.mark.parametrize("secret", [b"PIN 4711", b"PIN: 4711\0"])
def test_an_error_does_not_repeat_a_line_which_may_be_content(secret: bytes) -> None:
    """Without the blank line before it, content is read as headers, and errors are logged."""
    with pytest.raises(MalformedMime) as caught:
        split(RELATED, b"--b1\r\nContent-Type: text/plain\r\n" + secret + b"\r\n--b1--")
    assert "line 2" in str(caught.value)
    assert "4711" not in str(caught.value)
