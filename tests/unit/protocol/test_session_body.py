"""The session description in a body, alone or beside others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omapush.errors import MalformedMime
from omapush.protocol.session_body import SessionBody, read_session_body

SDP = b"v=0\r\no=d 1 1 IN IP4 192.0.2.9\r\ns=-\r\nt=0 0\r\n"
MIXED = 'multipart/mixed;boundary="b"'


def parts(*given: tuple[str, bytes], boundary: str = "b") -> bytes:
    """A multipart of parts: header lines, body."""
    lines = [f"--{boundary}\r\n{head}\r\n\r\n".encode() + body + b"\r\n" for head, body in given]
    return b"".join(lines) + f"--{boundary}--\r\n".encode()


ISUP = ("Content-Type: application/isup;version=itu-t92+\r\nContent-Disposition: signal", b"\x01\x10\x00")
DESCRIPTION = ("Content-Type: application/sdp", SDP)


@pytest.mark.parametrize("content_type", ["application/sdp", "Application/SDP ; charset=utf-8", ""])
def test_a_body_that_is_a_description(content_type: str) -> None:
    assert read_session_body(content_type, SDP) == SessionBody(SDP)


def test_without_a_body_there_is_an_empty_one() -> None:
    assert read_session_body(MIXED, b"") == read_session_body("", b"") == SessionBody(b"")


def test_a_body_that_is_something_else_has_to_be_understood() -> None:
    assert read_session_body("text/plain", SDP) == SessionBody(None, ("text/plain",))


@pytest.mark.parametrize(
    ("others", "required"),
    [
        ((), ()),
        ((ISUP,), ("application/isup",)),
        (((ISUP[0] + ";Handling=optional", b"x"),), ()),
        (((ISUP[0] + '; handling="required"', b"x"),), ("application/isup",)),
        ((("", b"no type"),), ("text/plain",)),
        ((("Content-Type: ???", b""),), ("",)),
    ],
)
@pytest.mark.parametrize("is_last", [False, True])
def test_a_description_is_found_among_others_wherever_it_stands(
    others: tuple[tuple[str, bytes], ...], required: tuple[str, ...], is_last: bool
) -> None:
    """RFC 5621 4: what is not understood is refused unless its handling is optional."""
    body = parts(*others, DESCRIPTION) if is_last else parts(DESCRIPTION, *others)

    assert read_session_body(MIXED, body) == SessionBody(SDP, required)


def test_a_description_for_early_media_only_is_not_the_sessions() -> None:
    """RFC 3959 4."""
    early = ("Content-Type: application/sdp\r\nContent-Disposition: early-session;handling=optional", b"v=1")

    assert read_session_body(MIXED, parts(early, DESCRIPTION)).description == SDP
    assert read_session_body(MIXED, parts(early)).description is None


def test_of_alternatives_the_one_that_is_understood_is_enough() -> None:
    inner = parts(("Content-Type: application/sdpng+xml", b"<x/>"), DESCRIPTION, boundary="i")
    body = parts(("Content-Type: multipart/alternative;boundary=i", inner))

    assert read_session_body(MIXED, body) == SessionBody(SDP)


def test_multiparts_are_taken_apart_to_a_depth_and_no_deeper() -> None:
    body = SDP
    head = "Content-Type: application/sdp"
    found = []
    for depth in range(5):
        boundary = f"b{depth}"
        body = parts((head, body), boundary=boundary)
        head = f"Content-Type: multipart/mixed;boundary={boundary}"
        found.append(read_session_body(head.partition(": ")[2], body).description)

    assert found == [SDP, SDP, SDP, None, None]


def test_every_beginning_of_a_multipart_is_read_or_refused() -> None:
    whole = parts(ISUP, DESCRIPTION)
    for length in range(len(whole)):
        try:
            found = read_session_body(MIXED, whole[:length])
        except MalformedMime:
            continue
        assert found.description in (None, b"", SDP)


@given(st.text(max_size=60), st.binary(max_size=200))
def test_anything_is_read_or_refused(content_type: str, body: bytes) -> None:
    try:
        found = read_session_body(content_type, body)
    except MalformedMime:
        return
    assert found.description is None or found.description in body
