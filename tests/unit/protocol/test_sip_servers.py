"""Which servers a SIP URI leads to, by RFC 3263 and RFC 2782."""

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omapush.protocol.sip_servers import MOST_SERVERS, Kind, Place, Question, Server, Service, servers
from omapush.protocol.sip_uri import SipUri

Zone = Mapping[tuple[str, str], Sequence[Service | Place | str]]
BOTH: tuple[Kind, ...] = ("A", "AAAA")


def found(
    uri: str,
    zone: Zone,
    *,
    transports: Sequence[str] = ("udp", "tcp", "tls"),
    families: Sequence[Kind] = BOTH,
    chance: float = 0.0,
) -> tuple[tuple[Server, ...], list[Question]]:
    """The servers, and what was asked for."""
    asking = servers(SipUri.parse(uri), transports=transports, families=families, chance=lambda: chance)
    asked: list[Question] = []
    try:
        questions = next(asking)
        while True:
            asked += questions
            questions = asking.send({one: zone.get((one.kind, one.name), ()) for one in questions})
    except StopIteration as end:
        return end.value, asked


ZONE: Zone = {
    ("NAPTR", "ims.example"): (
        Service(20, 10, "s", "SIP+D2U", "_sip._udp.ims.example"),
        Service(10, 20, "S", "sip+d2t", "_sip._tcp.ims.example"),
        Service(10, 10, "s", "SIPS+D2T", "_sips._tcp.ims.example"),
        Service(5, 10, "s", "SIP+D2S", "_sip._sctp.ims.example"),
        Service(1, 10, "u", "SIP+D2T", "_sip._tcp.elsewhere.example"),
    ),
    ("SRV", "_sip._tcp.ims.example"): (Place(1, 0, 6062, "a.ims.example"),),
    ("SRV", "_sips._tcp.ims.example"): (Place(1, 0, 6063, "a.ims.example"),),
    ("SRV", "_sip._udp.ims.example"): (
        Place(20, 0, 6061, "b.ims.example"),
        Place(10, 0, 6060, "a.ims.example"),
    ),
    ("A", "a.ims.example"): ("192.0.2.1", "192.0.2.2"),
    ("AAAA", "a.ims.example"): ("2001:db8::1",),
    ("A", "b.ims.example"): ("192.0.2.9",),
    ("A", "ims.example"): ("192.0.2.77",),
    ("SRV", "_sip._tcp.srv.example"): (Place(1, 0, 5070, "b.ims.example"),),
    ("SRV", "_sips._tcp.srv.example"): (Place(1, 0, 5071, "b.ims.example"),),
    ("SRV", "_sip._udp.none.example"): (Place(0, 0, 0, ""),),
    ("A", "none.example"): ("192.0.2.66",),
}


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("sip:192.0.2.5", [("192.0.2.5", 5060, "udp")]),
        ("sip:192.0.2.5:6060;transport=TCP", [("192.0.2.5", 6060, "tcp")]),
        ("sips:[2001:db8::5]", [("2001:db8::5", 5061, "tls")]),
        ("sips:192.0.2.5;transport=tcp", [("192.0.2.5", 5061, "tls")]),
        ("sip:ims.example:7000", [("192.0.2.77", 7000, "udp")]),
        ("sips:IMS.example.:7000", [("192.0.2.77", 7000, "tls")]),
        ("sip:b.ims.example", [("192.0.2.9", 5060, "udp")]),
        ("sip:b.ims.example;transport=tls", [("192.0.2.9", 5061, "tls")]),
        ("sip:ims.example;transport=udp", [("192.0.2.1", 6060, "udp"), ("192.0.2.2", 6060, "udp"),
                                           ("192.0.2.9", 6061, "udp")]),
        ("sip:srv.example", [("192.0.2.9", 5070, "tcp")]),
        ("sips:srv.example", [("192.0.2.9", 5071, "tls")]),
        ("sips:ims.example", [("192.0.2.1", 6063, "tls"), ("192.0.2.2", 6063, "tls")]),
        ("sip:none.example", []),
        ("sip:nowhere.example", []),
    ],
)  # fmt: skip
def test_a_uri_leads_to_these_servers(uri: str, expected: list[tuple[str, int, str]]) -> None:
    assert found(uri, ZONE, families=("A",))[0] == tuple(Server(*one) for one in expected)


def test_the_domain_chooses_the_transport_among_those_that_we_speak() -> None:
    assert [one.transport for one in found("sip:ims.example", ZONE, families=("A",))[0]] == [
        *["tls"] * 2,
        *["tcp"] * 2,
        *["udp"] * 3,
    ]
    assert {one.transport for one in found("sip:ims.example", ZONE, transports=("udp",))[0]} == {"udp"}


def test_addresses_of_both_families_are_found_in_the_order_of_ours() -> None:
    servers_found, _ = found("sip:a.ims.example:1", ZONE, families=("AAAA", "A"))

    assert [one.host for one in servers_found] == ["2001:db8::1", "192.0.2.1", "192.0.2.2"]


@pytest.mark.parametrize("uri", ["sip:192.0.2.1", "sip:[::1]:5060"])
def test_an_address_is_not_looked_up(uri: str) -> None:
    assert found(uri, {})[1] == []


def test_a_port_or_a_transport_makes_questions_needless() -> None:
    assert {one.kind for one in found("sip:x.example:5060", {})[1]} == {"A", "AAAA"}
    assert [one.kind for one in found("sip:x.example;transport=tcp", {})[1]] == ["SRV", "A", "AAAA"]


@pytest.mark.parametrize(
    ("weights", "chance", "first"),
    [
        ((1, 3), 0.0, 0),
        ((1, 3), 0.24, 0),
        ((1, 3), 0.26, 1),
        ((0, 0), 0.4, 0),
        ((0, 0), 0.6, 1),
        ((0, 5), 0.0, 1),
    ],
)
def test_servers_of_one_priority_share_the_load_by_weight(
    weights: tuple[int, int], chance: float, first: int
) -> None:
    zone: Zone = {
        ("SRV", "_sip._udp.x.example"): [
            Place(1, weight, 5060 + n, "a.ims.example") for n, weight in enumerate(weights)
        ],
        ("A", "a.ims.example"): ("192.0.2.1",),
    }
    servers_found, _ = found("sip:x.example;transport=udp", zone, chance=chance)

    assert [one.port - 5060 for one in servers_found] == [first, 1 - first]


PLACES = st.builds(Place, st.integers(0, 3), st.integers(0, 9), st.integers(1, 9), st.just("a.ims.example"))


@given(st.lists(PLACES), st.floats(0, 1))
def test_every_server_is_there_once_by_priority_and_no_more_than_we_keep(
    places: list[Place], chance: float
) -> None:
    zone: Zone = {("SRV", "_sip._udp.x.example"): places, ("A", "a.ims.example"): ("192.0.2.1",)}
    servers_found, _ = found("sip:x.example;transport=udp", zone, chance=chance)

    assert len(servers_found) == len(set(servers_found)) <= MOST_SERVERS
    if places and len(places) <= 32:
        ports = {one.port for one in places}
        assert {one.port for one in servers_found} == ports
        assert servers_found[0].port in {one.port for one in places if one.priority == min(places).priority}
