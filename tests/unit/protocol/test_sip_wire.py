"""Where messages end on a socket, and how they are written."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omapush.errors import MalformedSip
from omapush.protocol.sip_core import parse_cseq, parse_via, read_core, seconds
from omapush.protocol.sip_message import SipMessage
from omapush.protocol.sip_wire import (
    LONGEST_STREAM_HEAD,
    StreamReader,
    answer_headers,
    read_datagram,
    salvage,
    with_source,
    write_request,
    write_response,
)

QUOTED = ';x=", ;rport"'
RECEIVED = ";received=192.0.2.1"
SECOND = "SIP/2.0/UDP b.example;rport"
HEADERS = [
    ("Via", "SIP/2.0/UDP 192.0.2.1:5066;branch=z9hG4bKa;rport"),
    ("From", "<sip:a@x.example>;tag=f"),
    ("To", "<sip:b@x.example>"),
    ("Call-ID", "1@x"),
    ("CSeq", "7 MESSAGE"),
]
REQUEST = write_request("MESSAGE", "sip:b@x.example", [*HEADERS, ("Content-Type", "a/b")], b"\r\n\r\n\0\xff")
OTHER = write_response(200, "OK", HEADERS)


def messages(data: bytes, step: int) -> list[bytes]:
    """What a reader makes of a stream that arrives in pieces."""
    reader = StreamReader()
    found: list[bytes] = []
    for at in range(0, len(data), step):
        found.extend(reader.feed(data[at : at + step]))
    return found


@pytest.mark.parametrize("step", [1, 2, 3, 7, 64, 10_000])
def test_messages_do_not_depend_on_how_the_stream_was_cut(step: int) -> None:
    stream = b"\r\n\r\n" + REQUEST + b"\r\n" + OTHER + REQUEST

    assert messages(stream, step) == [REQUEST, OTHER, REQUEST]


def test_pings_are_counted_and_their_answers_are_not() -> None:
    reader = StreamReader()
    assert list(reader.feed(b"\r\n\r\n\r\n\r\n" + OTHER)) == [OTHER]
    assert reader.pings == 2


@pytest.mark.parametrize(
    "data",
    [
        OTHER.replace(b"Content-Length: 0\r\n", b""),
        OTHER.replace(b"Content-Length: 0", b"Content-Length: -1"),
        OTHER.replace(b"Content-Length: 0", b"Content-Length: 1\r\nl: 2"),
        OTHER.replace(b"Content-Length: 0", b"Content-Length: 99999999"),
        b"A: b\r\n" * (LONGEST_STREAM_HEAD // 6 + 1),
    ],
)
def test_a_stream_without_a_known_next_message_is_given_up(data: bytes) -> None:
    with pytest.raises(MalformedSip):
        messages(data, 10_000_000)


def test_a_datagram_keeps_what_its_length_says() -> None:
    assert read_datagram(REQUEST + b"INVITE rest").body == b"\r\n\r\n\0\xff"
    assert read_datagram(REQUEST.replace(b"Content-Length: 6\r\n", b"")).body == b"\r\n\r\n\0\xff"


@pytest.mark.parametrize("value", [b"7", b"x", b"-1", b"5\r\nl: 6"])
def test_a_datagram_with_a_wrong_length_is_refused(value: bytes) -> None:
    with pytest.raises(MalformedSip, match="Content-Length"):
        read_datagram(REQUEST.replace(b"Content-Length: 6", b"Content-Length: " + value))


@pytest.mark.parametrize("length", range(len(REQUEST)))
def test_every_beginning_of_a_datagram_is_read_or_a_typed_error(length: int) -> None:
    with suppress(MalformedSip):
        read_core(read_datagram(REQUEST[:length]))
    salvage(REQUEST[:length])


@given(st.binary(max_size=200) | st.binary(max_size=60).map(lambda junk: REQUEST[:90] + junk + REQUEST[90:]))
def test_any_bytes_are_read_or_a_typed_error(data: bytes) -> None:
    salvage(data)
    with suppress(MalformedSip):
        read_core(read_datagram(data))
    with suppress(MalformedSip):
        messages(data, 11)


@pytest.mark.parametrize(("name", "value"), [("Call-ID", "a\r\nX: y"), ("a b", "c"), ("", "c"), ("X", "\0")])
def test_a_header_that_would_break_out_is_never_written(name: str, value: str) -> None:
    with pytest.raises(MalformedSip):
        write_response(200, "OK", [(name, value)])


@pytest.mark.parametrize("uri", ["", "sip:a b", "sip:a\r\n"])
def test_a_request_uri_that_would_break_out_is_never_written(uri: str) -> None:
    with pytest.raises(MalformedSip, match="Request-URI"):
        write_request("MESSAGE", uri, HEADERS)


def test_a_response_copies_what_identifies_its_request_and_tags_to_once() -> None:
    message = SipMessage.parse(REQUEST)
    copied = dict(answer_headers(message, "mine"))

    assert copied["to"] == "<sip:b@x.example>;tag=mine"
    assert copied["via"] == HEADERS[0][1]
    tagged = SipMessage.parse(REQUEST.replace(b"To: <sip:b@x.example>", b"To: <sip:b@x.example>;tag=t"))
    assert dict(answer_headers(tagged, "mine"))["to"] == "<sip:b@x.example>;tag=t"


def test_what_identifies_a_request_is_saved_from_one_that_cannot_be_read() -> None:
    broken = REQUEST.replace(b"Content-Type: a/b", b"this is no header")
    left = salvage(broken)

    assert left is not None
    assert left.status == 400
    assert dict(left.headers)["call-id"] == "1@x"
    newer = salvage(REQUEST.replace(b"SIP/2.0\r\nVia", b"SIP/7.0\r\nVia"))
    assert newer is not None
    assert newer.status == 505


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 40,
        OTHER,
        REQUEST.replace(b"Call-ID", b"X-ID"),
        REQUEST.replace(b"MESSAGE sip", b"ACK sip"),
    ],
)
def test_nobody_is_answered_who_could_not_recognise_the_answer(data: bytes) -> None:
    assert salvage(data) is None


def test_the_core_fields_are_read() -> None:
    core = read_core(SipMessage.parse(REQUEST))

    assert (core.via.host, core.via.port, core.via.branch, core.via.rport_asked) == (
        "192.0.2.1", 5066, "z9hG4bKa", True,
    )  # fmt: skip
    assert (core.cseq.number, core.cseq.method, core.call_id) == (7, "MESSAGE", "1@x")


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        (b"CSeq: 7 MESSAGE", b"CSeq: 7 INVITE", "CSeq"),
        (b"CSeq: 7 MESSAGE", b"CSeq: 4294967296 MESSAGE", "CSeq"),
        (b"CSeq: 7 MESSAGE\r\n", b"", "CSeq"),
        (b"From:", b"X-From:", "From"),
        (b"Call-ID: 1@x", b"Call-ID: 1@x\r\nCall-ID: 2@x", "Call-ID"),
        (b"SIP/2.0/UDP 192", b"HTTP/2.0/UDP 192", "Via"),
        (b"Via:", b"X-Via:", "Via"),
        (b":5066;", b":99999;", "Via"),
    ],
)
def test_a_core_field_that_breaks_a_rule_is_named(old: bytes, new: bytes, field: str) -> None:
    with pytest.raises(MalformedSip, match=field):
        read_core(SipMessage.parse(REQUEST.replace(old, new)))


@given(st.text(max_size=60))
def test_any_via_cseq_and_number_is_read_or_a_typed_error(text: str) -> None:
    for read in (parse_via, parse_cseq, lambda value: seconds(value, "Expires")):
        with suppress(MalformedSip):
            read(text)


def test_via_of_an_ipv6_host_with_spaces_is_read() -> None:
    via = parse_via("SIP / 2.0 / tcp [2001:db8::1] : 5061 ; Branch = z9hG4bKx ; received=2001:db8::2")

    assert (via.transport, via.host, via.port, via.branch) == ("TCP", "[2001:db8::1]", 5061, "z9hG4bKx")


@pytest.mark.parametrize(
    ("via", "marked"),
    [
        ("SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa", "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa"),
        ("SIP/2.0/UDP a.example;branch=z9hG4bKa", "SIP/2.0/UDP a.example;branch=z9hG4bKa;received=192.0.2.1"),
        ("SIP/2.0/UDP 192.0.2.1 ; RPORT ;x", "SIP/2.0/UDP 192.0.2.1;rport=5099;x;received=192.0.2.1"),
        ("SIP/2.0/UDP 10.0.0.1;rport=1;rportx", "SIP/2.0/UDP 10.0.0.1;rport=5099;rportx;received=192.0.2.1"),
        (f"SIP/2.0/UDP b.example{QUOTED};rport", f"SIP/2.0/UDP b.example{QUOTED};rport=5099{RECEIVED}"),
        ("SIP/2.0/UDP a.example; Received = 9.9.9.9;x", "SIP/2.0/UDP a.example;x;received=192.0.2.1"),
        (f"SIP/2.0/TCP a.example, {SECOND}", f"SIP/2.0/TCP a.example;received=192.0.2.1, {SECOND}"),
    ],
)  # fmt: skip
def test_the_topmost_via_is_told_where_the_request_came_from(via: str, marked: str) -> None:
    message = SipMessage.parse(write_request("MESSAGE", "sip:b@x.example", [("Via", via), *HEADERS[1:]]))
    found = with_source(message, read_core(message).via, "192.0.2.1", 5099)

    assert found.all("via") == (marked,)
    assert [one for one in found.headers if one[0] != "via"] == [
        one for one in message.headers if one[0] != "via"
    ]
    again = with_source(found, read_core(found).via, "192.0.2.1", 5099)
    assert read_core(again).via.branch == read_core(message).via.branch


@given(
    st.from_regex(
        r"[ \t]*;[ \t]*(rport(=[0-9]{1,5})?|received=[0-9.]{1,9}|x(=\"[;,r]{0,5}\")?)", fullmatch=True
    ),
    st.lists(st.sampled_from([";rport", ";received=9.9.9.9", ";ttl=1", ' ; x=", ;rport"']), max_size=4),
)
def test_a_via_that_was_told_is_still_the_same_hop(first: str, others: list[str]) -> None:
    via = f"SIP/2.0/UDP a.example:5070;branch=z9hG4bKa{first}{''.join(others)}, SIP/2.0/UDP b.example"
    with suppress(MalformedSip):
        message = SipMessage.parse(write_request("MESSAGE", "sip:b@x.example", [("Via", via), *HEADERS[1:]]))
        core = read_core(message)
        told = read_core(with_source(message, core.via, "192.0.2.1", 5099))
        assert told == core
        value = with_source(message, core.via, "192.0.2.1", 5099).all("via")[0]
        assert value.endswith(", SIP/2.0/UDP b.example")
        assert value.count(";received=192.0.2.1") == 1


def test_seconds_stop_at_a_known_largest_and_may_carry_a_comment() -> None:
    assert seconds("99999999999999", "Expires") == 2**31 - 1
    assert seconds("120 (in a meeting);duration=3600", "Retry-After") == 120
    assert seconds(None, "Expires") is None
