"""Session descriptions: read, written, bounded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omapush.errors import MalformedSdp
from omapush.protocol.sdp import (
    LONGEST_SDP,
    MOST_LINES,
    MOST_MEDIA,
    Address,
    Media,
    Origin,
    SessionDescription,
    direction,
)

OFFER = b"""v=0\r
o=psa 1 2 IN IP4 192.0.2.20\r
s=-\r
c=IN IP4 192.0.2.20\r
t=0 0\r
a=sendonly\r
m=message 2855 TCP/MSRP *\r
a=setup:actpass\r
a=accept-types:text/plain image/*\r
a=path:msrp://192.0.2.20:2855/Zk3v9;tcp\r
m=audio 0 RTP/AVP 0 8\r
i=speech\r
c=IN IP6 2001:db8::1\r
a=recvonly\r
"""


def test_an_offer_is_taken_apart() -> None:
    offer = SessionDescription.parse(OFFER)

    assert offer.origin == Origin(1, 2, Address("192.0.2.20"), "psa")
    assert [media.kind for media in offer.media] == ["message", "audio"]
    message, audio = offer.media
    assert (message.port, message.protocol, message.formats) == (2855, "TCP/MSRP", ("*",))
    assert message.attribute("path") == "msrp://192.0.2.20:2855/Zk3v9;tcp"
    assert message.attribute("file-selector") is None
    assert offer.address(message) == Address("192.0.2.20", "IP4")
    assert (audio.port, audio.formats) == (0, ("0", "8"))
    assert audio.others == (("i", "speech"),)
    assert offer.address(audio) == Address("2001:db8::1", "IP6")


def test_an_offer_is_written_as_it_was() -> None:
    assert str(SessionDescription.parse(OFFER)).encode() == OFFER


def test_the_direction_of_an_m_line_goes_before_that_of_the_session() -> None:
    offer = SessionDescription.parse(OFFER)

    assert [direction((*media.attributes, *offer.attributes)) for media in offer.media] == [
        "sendonly",
        "recvonly",
    ]
    assert direction(()) == "sendrecv"


def test_a_closed_m_line_keeps_all_but_its_port() -> None:
    media = SessionDescription.parse(OFFER).media[0]

    assert media.closed().port == 0
    assert media.closed().attributes == media.attributes


def test_lines_may_end_with_lf_and_come_in_another_order() -> None:
    text = OFFER.replace(b"\r\n", b"\n").replace(
        b"c=IN IP4 192.0.2.20\nt=0 0\n", b"t=0 0\nc=IN IP4 192.0.2.20\n"
    )

    assert SessionDescription.parse(text) == SessionDescription.parse(OFFER)


def test_the_host_of_a_uri_becomes_an_address() -> None:
    assert Address.of("[2001:db8::1]") == Address("2001:db8::1", "IP6")
    assert str(Address.of("192.0.2.1")) == "IN IP4 192.0.2.1"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", "v="),
        (b"v=1\r\n", "v="),
        (b"o=- 1 1 IN IP4 h\r\nv=0\r\n", "v="),
        (b"v=0\r\n", "o="),
        (b"v=0\r\no=- x 1 IN IP4 h\r\n", "o="),
        (b"v=0\r\no=- 1 1 IN IP4 h\r\nx=1\r\n", "SDP"),
        (b"v=0\r\no=- 1 1 IN IP4 h\r\n\r\n", "SDP"),
        (b"v=0\r\no=- 1 1 IN IP4 h\r\nm=message 1 TCP/MSRP *\r\nt=0 0\r\n", "SDP"),
        (b"v=0\r\no=- 1 1 IN IP4 h\r\nm=message 70000 TCP/MSRP *\r\n", "m="),
        (b"v=0\r\no=- 1 1 IN IP4 h\r\nm=message 1 TCP/MSRP\r\n", "m="),
        (b"v=0\r\no=- 1 1 IN IP4 h\r\nc=IN ATM h\r\n", "c="),
        (b"v=0\r\no=- 1 1 IN IP4 h\r\na=\r\n", "a="),
        (b"v=0\r\no=- 1 1 IN IP4 h\r\ns=\xff\r\n", "SDP"),
        (b"v=0\r\no=- 1 1 IN IP4 h\r\ns=a\x00b\r\n", "SDP"),
        (b"v=0\r\no=- 1 1 IN IP4 h\r\n" + b"a=x\r\n" * MOST_LINES, "SDP"),
        (b"v=0\r\no=- 1 1 IN IP4 h\r\n" + b"m=a 1 b c\r\n" * (MOST_MEDIA + 1), "m="),
        (b"v=0\r\no=- 1 1 IN IP4 h\r\ns=" + b"x" * LONGEST_SDP, "SDP"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_line(body: bytes, field: str) -> None:
    with pytest.raises(MalformedSdp) as refused:
        SessionDescription.parse(body)

    assert refused.value.field == field


def read(body: bytes) -> SessionDescription | None:
    """The description, or None when it is refused; any other exception fails the test."""
    try:
        return SessionDescription.parse(body)
    except MalformedSdp:
        return None


@pytest.mark.parametrize("end", range(len(OFFER)))
def test_every_prefix_is_read_or_refused(end: int) -> None:
    found = read(OFFER[:end])

    assert found is None or len(found.media) <= 2


LINE = st.one_of(
    st.sampled_from(OFFER.split(b"\r\n")),
    st.binary(max_size=20),
    st.builds(
        lambda letter, value: letter + b"=" + value, st.sampled_from([b"a", b"t", b"r", b"m"]), st.binary()
    ),
)


@given(
    st.one_of(st.binary(), st.lists(LINE).map(lambda lines: b"v=0\r\no=- 1 1 IN IP4 h\n" + b"\n".join(lines)))
)
def test_anything_is_read_as_what_it_writes_or_refused(body: bytes) -> None:
    found = read(body)

    assert found is None or SessionDescription.parse(str(found).encode()) == found


VALUE = st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), max_size=30)
NAME = st.text("abcXYZ-1", min_size=1, max_size=10)
MEDIA = st.builds(
    Media,
    kind=NAME,
    port=st.integers(0, 65535),
    protocol=st.sampled_from(["TCP/MSRP", "TCP/TLS/MSRP", "RTP/AVP"]),
    attributes=st.lists(st.tuples(NAME, st.none() | VALUE), max_size=5).map(tuple),
    connection=st.none() | st.builds(Address.of, st.sampled_from(["192.0.2.1", "[::1]", "h.example"])),
)


@given(st.lists(MEDIA, max_size=4), VALUE)
def test_what_is_written_is_read_back(media: list[Media], name: str) -> None:
    whole = SessionDescription(Origin(1, 2, Address("h.example")), tuple(media), name=name)

    assert SessionDescription.parse(str(whole).encode()) == whole
