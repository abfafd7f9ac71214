"""SIP messages that are the body of another message."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omapush.errors import MalformedSip
from omapush.protocol import sip_message
from omapush.protocol.sip_message import DEFAULT_LIMITS, MessageLimits, SipMessage

CORPORA = Path(__file__).parents[2] / "corpora"
VALID = sorted((CORPORA / "valid/sip").glob("*.sip"))
INVALID = sorted((CORPORA / "invalid/sip").glob("*.sip"))
REGISTER = b"REGISTER sip:home1.example SIP/2.0\r\nTo: <sip:alice@home1.example>\r\n"


def test_the_corpora_are_there() -> None:
    assert len(VALID) >= 12
    assert len(INVALID) >= 15


def test_the_start_line_tells_request_from_response() -> None:
    request = SipMessage.parse(REGISTER + b"\r\n")
    response = SipMessage.parse(b"SIP/2.0 200 OK\r\nTo: <sip:alice@home1.example>\r\n\r\n")

    assert (request.method, request.request_uri, request.status) == ("REGISTER", "sip:home1.example", None)
    assert (response.method, response.request_uri, response.status) == (None, "", 200)


@pytest.mark.parametrize("line", ["SIP/2.0 200", "SIP/2.0 200 ", "sip/2.0 200 = 2**3 * 5**2 но сто"])
def test_any_reason_phrase_will_do(line: str) -> None:
    assert SipMessage.parse(f"{line}\r\n\r\n".encode()).status == 200


def test_headers_are_found_by_their_long_name_in_any_spelling() -> None:
    message = SipMessage.parse(
        REGISTER + b"m: <sip:a@h>\r\nCONTACT : <sip:b@h>\r\nl:0\r\nX-Own:  a: b \t\r\n\r\n"
    )

    assert message.all("contact") == ("<sip:a@h>", "<sip:b@h>")
    assert message.first("contact") == "<sip:a@h>"
    assert (message.first("content-length"), message.first("x-own")) == ("0", "a: b")
    assert (message.first("event"), message.all("event")) == (None, ())


def test_folded_lines_are_one_value() -> None:
    message = SipMessage.parse(REGISTER + b"Subject:\r\n first\r\n\t  second\r\n third\r\nExpires: 1\r\n\r\n")

    assert message.first("subject") == "first second third"
    assert message.first("expires") == "1"


def test_what_follows_the_empty_line_is_body_and_no_header() -> None:
    message = SipMessage.parse(REGISTER + b"\r\nContact: <sip:a@h>\r\n\r\n\x00\xff")

    assert message.all("contact") == ()
    assert message.body == b"Contact: <sip:a@h>\r\n\r\n\x00\xff"


@pytest.mark.parametrize("end", [b"", b"\r\n", b"\r\nbody"])
def test_the_empty_line_may_be_missing_where_no_body_follows(end: bytes) -> None:
    """Some builders of multipart bodies give the last line break of the message to the boundary."""
    assert SipMessage.parse(REGISTER + end).first("to") == "<sip:alice@home1.example>"


def test_lines_may_end_in_lf_alone_and_line_ends_may_come_first() -> None:
    message = SipMessage.parse(b"\r\n\r\n" + (REGISTER + b"Expires: 5\r\n\r\nbody").replace(b"\r\n", b"\n"))

    assert (message.method, message.first("expires"), message.body) == ("REGISTER", "5", b"body")


def test_bytes_that_are_not_utf_8_do_not_hide_the_rest() -> None:
    message = SipMessage.parse(REGISTER + b"Subject: M\xfcller\r\nExpires: 5\r\n\r\n")

    assert (message.first("subject"), message.first("expires")) == ("M\ufffdller", "5")


def test_headers_can_be_left_out_whatever_their_spelling() -> None:
    message = SipMessage.parse(REGISTER + b"AUTHORIZATION: Digest x\r\nauthorization : Digest y\r\n\r\n")

    assert message.without({"authorization"}).headers == (("to", "<sip:alice@home1.example>"),)
    assert message is message.without({"proxy-authorization"})


@pytest.mark.parametrize(
    ("limits", "broken"),
    [
        (MessageLimits(message_bytes=len(REGISTER) + 1), "message/sip: longer than 68 bytes"),
        (MessageLimits(headers=0), "message/sip: more than 0 header fields"),
        (MessageLimits(line_characters=33), "line 1: longer than 33 characters"),
        (MessageLimits(line_characters=0), "line 1: longer than 0 characters"),
    ],
)
def test_a_message_above_a_limit_is_refused(limits: MessageLimits, broken: str) -> None:
    with pytest.raises(MalformedSip, match=f"^{broken}"):
        SipMessage.parse(REGISTER + b"\r\n", limits=limits)


def test_a_message_at_its_limits_is_read() -> None:
    limits = MessageLimits(message_bytes=len(REGISTER) + 2, headers=1, line_characters=34)

    assert SipMessage.parse(REGISTER + b"\r\n", limits=limits).method == "REGISTER"


def test_folding_does_not_get_around_the_line_limit() -> None:
    with pytest.raises(MalformedSip, match=r"^line 3: longer than 8192"):
        SipMessage.parse(REGISTER + b"Subject: a\r\n" + b" aaaaaaaaa\r\n" * 1000 + b"\r\n")


def test_the_error_tells_the_line_and_keeps_what_it_says() -> None:
    """It may be a credential: errors are logged."""
    with pytest.raises(MalformedSip) as refused:
        SipMessage.parse(REGISTER + b'Authorization Digest username="alice"\r\n\r\n')

    assert str(refused.value) == "line 3: not a header field"


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_an_invalid_message_is_refused(path: Path) -> None:
    with pytest.raises(MalformedSip):
        SipMessage.parse(path.read_bytes())


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_a_recorded_register_is_read_whole(path: Path) -> None:
    message = SipMessage.parse(path.read_bytes())

    assert message.method == "REGISTER"
    assert len(message.body) == int(message.first("content-length") or "")


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_a_message_cut_anywhere_is_read_or_refused(path: Path) -> None:
    data = path.read_bytes()
    whole = SipMessage.parse(data)
    for end in range(len(data)):
        try:
            cut = SipMessage.parse(data[:end])
        except MalformedSip:
            continue
        assert cut.headers == whole.headers[: len(cut.headers)]


@given(st.binary(max_size=80) | st.binary(max_size=60).map(REGISTER.__add__))
def test_any_bytes_are_a_message_or_the_typed_error(data: bytes) -> None:
    try:
        message = SipMessage.parse(data)
    except MalformedSip:
        return
    assert (message.method is None) != (message.status is None)
    assert all("\n" not in value and "\r" not in value for _, value in message.headers)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["Contact", "m", "Expires", "X-a"]),
            st.text(
                st.characters(min_codepoint=33, max_codepoint=0x2FF, exclude_categories=["Cc"]), max_size=9
            ),
        ),
        max_size=6,
    )
)
def test_every_header_that_is_written_is_read(fields: list[tuple[str, str]]) -> None:
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields)

    headers = SipMessage.parse(REGISTER + lines.encode() + b"\r\n").headers[1:]

    assert [value.strip(" \t") for _, value in fields] == [value for _, value in headers]


LINES = st.lists(
    st.builds(
        "{}{}{}".format,
        st.sampled_from(["Via", "Contact", "contact", "m", "Expires ", "X", ""]),
        st.sampled_from([":", ": ", ""]),
        st.text(" \t:ab<\x00\x7fé", max_size=6),
    ),
    max_size=4,
)


@given(lines=LINES)
def test_the_quick_way_finds_what_the_long_way_finds(lines: list[str]) -> None:
    text = "\n".join(lines)
    quick = sip_message._plain_headers(text, "", DEFAULT_LIMITS)

    assert not quick or quick == sip_message._any_headers(text, "", DEFAULT_LIMITS)


def test_what_nearly_everybody_writes_goes_the_quick_way() -> None:
    assert len(sip_message._plain_headers("Via: a\nContact:<sip:a@b>\nExpires:", "", DEFAULT_LIMITS)) == 3
