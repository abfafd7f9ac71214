"""What is captured goes to capture servers and into files as they read it."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omapush.errors import MalformedSip
from omapush.protocol import hep, pcap
from omapush.protocol.packet import Endpoint, Packet, Transport, endpoint
from tests.harness import hep_server, pcap_file

HOSTS = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str)
ENDS = st.builds(Endpoint, HOSTS, st.integers(0, 65_535))
TRANSPORTS: st.SearchStrategy[Transport] = st.sampled_from(("udp", "tcp", "tls"))
PACKETS = st.builds(
    Packet, st.integers(0, 2**32 * 1_000_000 - 1), TRANSPORTS, ENDS, ENDS, st.binary(max_size=2_000)
)
HERE, THERE = Endpoint("192.0.2.1", 5070), Endpoint("192.0.2.2", 6060)
HERE_6 = Endpoint("2001:db8::1", 5070)


def packet(payload: bytes = b"x", transport: Transport = "udp", at_us: int = 1_700_000_000_000_001) -> Packet:
    return Packet(at_us, transport, HERE, THERE, payload)


def plain(host: str) -> str:
    """An IPv4 address that is written as IPv6, as IPv4 again."""
    address = ipaddress.ip_address(host)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("udp:192.0.2.1:5070", ("udp", HERE)),
        ("tcp:2001:db8::1:5070", ("tcp", HERE_6)),
        ("tls:[2001:db8:0::1]:5070", ("tls", HERE_6)),
        ("wss:192.0.2.1:5070", ("tls", HERE)),
        ("udp:push.home1.example:5070", ("udp", Endpoint("0.0.0.0", 5070))),
    ],
)
def test_an_address_of_kamailio_is_read(text: str, expected: tuple[Transport, Endpoint]) -> None:
    assert endpoint(text) == expected


@pytest.mark.parametrize(
    "text", ["", "udp:192.0.2.1", "udp:192.0.2.1:99999", "192.0.2.1:5070", "udp::", "x:y:1"]
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(MalformedSip, match="address"):
        endpoint(text)


@given(st.text(max_size=90))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    try:
        _, found = endpoint(text)
    except MalformedSip:
        return
    assert 0 <= found.port <= 65_535
    assert len(found.packed) in (4, 16)


@given(PACKETS, st.integers(0, 2**32 - 1), st.text(max_size=300))
def test_a_hep_packet_says_what_went_from_where_to_where(sent: Packet, agent: int, correlation: str) -> None:
    seen = hep_server.decode(hep.encode(sent, agent=agent, correlation=correlation[:60]))

    assert (plain(seen.source[0]), seen.source[1]) == (plain(sent.source.host), sent.source.port)
    assert (plain(seen.destination[0]), seen.destination[1]) == (
        plain(sent.destination.host),
        sent.destination.port,
    )
    assert seen.protocol == (17 if sent.transport == "udp" else 6)
    assert (seen.at_us, seen.kind, seen.agent) == (sent.at_us, 1, agent)
    assert (seen.payload, seen.correlation, seen.key) == (sent.payload, correlation[:60], "")


def test_a_hep_packet_shows_the_key_of_its_agent() -> None:
    assert hep_server.decode(hep.encode(packet(), agent=1, correlation="c", key="let me")).key == "let me"


def test_the_end_of_a_message_that_fits_into_no_hep_packet_is_left_out() -> None:
    data = hep.encode(packet(bytes(70_000)), agent=1, correlation="c")

    assert len(data) == 65_507
    assert hep_server.decode(data).payload == bytes(len(hep_server.decode(data).payload))


@given(st.lists(PACKETS, max_size=5))
def test_a_file_holds_every_message_with_its_time_and_addresses(sent: list[Packet]) -> None:
    frames = pcap_file.read(b"".join(pcap.write(sent)))

    shown = [one for one in sent if one.transport == "udp" or one.payload]
    assert [one.payload for one in frames] == [one.payload for one in shown]
    assert [one.at_us for one in frames] == [one.at_us for one in shown]
    assert [one.source[1] for one in frames] == [one.source.port for one in shown]
    assert [one.destination[1] for one in frames] == [one.destination.port for one in shown]
    assert [one.protocol for one in frames] == [17 if one.transport == "udp" else 6 for one in shown]
    for frame, one in zip(frames, shown, strict=True):
        if one.source.is_ipv6 == one.destination.is_ipv6:
            assert (frame.source[0], frame.destination[0]) == (one.source.host, one.destination.host)


def test_a_large_message_over_tcp_is_cut_into_segments_whose_numbers_go_on() -> None:
    back = Packet(2, "tcp", THERE, HERE, b"200")
    frames = pcap_file.read(b"".join(pcap.write([packet(bytes(130_000), "tcp"), back, packet(b"y", "tcp")])))

    assert [len(one.payload) for one in frames] == [60_000, 60_000, 10_000, 3, 1]
    assert [one.sequence for one in frames] == [1, 60_001, 120_001, 1, 130_001]
    assert [one.acknowledged for one in frames] == [1, 1, 1, 130_001, 4]


def test_a_file_of_nothing_is_still_a_file() -> None:
    assert pcap_file.read(b"".join(pcap.write([]))) == []
