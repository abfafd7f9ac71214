"""Message media in an offer or answer: path, types, size, roles."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omapush.errors import MalformedSdp
from omapush.protocol.msrp_media import (
    MessageMedia,
    is_message_media,
    read_message_media,
    takes_type,
    we_connect,
)
from omapush.protocol.msrp_uri import parse_path
from omapush.protocol.sdp import Attributes, Media, SessionDescription

PATH = "msrp://192.0.2.20:2855/Zk3v9;tcp"
LINES: Attributes = (
    ("sendonly", None),
    ("setup", "actpass"),
    ("accept-types", "message/cpim text/*"),
    ("accept-wrapped-types", "*"),
    ("max-size", "5000"),
    ("msrp-cema", None),
    ("fingerprint", "sha-1 " + bytes(range(20)).hex(":").upper()),
    ("path", PATH),
)


def media(attributes: Attributes) -> Media:
    return Media("message", 2855, "TCP/MSRP", ("*",), attributes)


def changed(name: str, value: str | None) -> Attributes:
    return tuple([(key, value if key == name else old) for key, old in LINES])


def test_an_m_line_is_read_and_written_as_it_was() -> None:
    found = read_message_media(media(LINES))

    assert found == MessageMedia(
        path=parse_path(PATH),
        accept_types=("message/cpim", "text/*"),
        accept_wrapped_types=("*",),
        max_size=5000,
        setup="actpass",
        direction="sendonly",
        fingerprints=(("sha-1", bytes(range(20))),),
        cema=True,
    )
    assert found.media(2855).attributes == LINES
    assert not found.secure


def test_msrps_is_offered_as_tls() -> None:
    written = MessageMedia(parse_path("msrps://[2001:db8::1]:1/a;tcp"), ("*",)).media(1)

    assert written.protocol == "TCP/TLS/MSRP"
    assert str(written.connection) == "IN IP6 2001:db8::1"
    assert is_message_media(written)


def test_what_stands_once_for_all_m_lines_counts_for_each() -> None:
    text = (
        f"v=0\r\no=- 1 1 IN IP4 h\r\na=recvonly\r\na=fingerprint:sha-256 {bytes(32).hex(':')}\r\n"
        f"m=message 1 TCP/MSRP *\r\na=accept-types:*\r\na=path:{PATH}\r\n"
    )
    whole = SessionDescription.parse(text.encode())
    found = read_message_media(whole.media[0], whole)

    assert found.direction == "recvonly"
    assert found.fingerprints == (("sha-256", bytes(32)),)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("path", "sip:a@b"),
        ("path", "msrp://h.example/a;tcp"),
        ("path", "msrp://h.example:1;tcp"),
        ("accept-types", None),
        ("accept-types", "text"),
        ("max-size", "many"),
        ("max-size", "-1"),
        ("setup", "both"),
    ],
)
def test_a_broken_attribute_is_named(name: str, value: str | None) -> None:
    with pytest.raises(MalformedSdp) as refused:
        read_message_media(media(changed(name, value)))

    assert refused.value.field == f"a={name}"


@pytest.mark.parametrize("name", ["path", "accept-types"])
def test_path_and_types_have_to_be_there(name: str) -> None:
    with pytest.raises(MalformedSdp) as refused:
        read_message_media(media(tuple([line for line in LINES if line[0] != name])))

    assert refused.value.field == f"a={name}"


def test_holdconn_and_a_fingerprint_that_cannot_be_read_count_as_absent() -> None:
    assert read_message_media(media(changed("setup", "holdconn"))).setup is None
    assert read_message_media(media(changed("fingerprint", "sha-1 zz"))).fingerprints == ()


@pytest.mark.parametrize(
    ("accepted", "content_type", "takes"),
    [
        (("*",), "image/png", True),
        (("image/*",), "Image/PNG; q=1", True),
        (("image/png",), "image/png", True),
        (("image/png",), "image/gif", False),
        (("image/*",), "text/plain", False),
        ((), "text/plain", False),
    ],
)
def test_types_are_taken_by_name_group_or_star(
    accepted: tuple[str, ...], content_type: str, takes: bool
) -> None:
    assert takes_type(accepted, content_type) is takes


@pytest.mark.parametrize(
    ("offer", "answer", "offerer_connects"),
    [
        ("actpass", "passive", True),
        ("actpass", "active", False),
        ("active", "passive", True),
        ("actpass", None, True),
        ("active", None, True),
        (None, None, True),
        (None, "active", False),
    ],
)
def test_who_connects(offer: str | None, answer: str | None, offerer_connects: bool) -> None:
    assert we_connect(offer, answer, we_offered=True) is offerer_connects
    assert we_connect(answer, offer, we_offered=False) is not offerer_connects


@given(st.lists(st.tuples(st.sampled_from([name for name, _ in LINES]), st.none() | st.text(max_size=40))))
def test_any_attributes_are_read_or_refused(extra: list[tuple[str, str | None]]) -> None:
    try:
        found = read_message_media(media((*extra, *LINES)))
    except MalformedSdp:
        return
    assert found.path
    assert found.accept_types
