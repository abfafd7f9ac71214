"""What DNS is asked, and what becomes of what it says or does not say."""

import asyncio
from collections.abc import Iterator

import dns.asyncresolver
import dns.resolver
import pytest

from omapush import resolving
from omapush.protocol.sip_servers import Server
from omapush.protocol.sip_uri import SipUri
from omapush.resolving import DnsSilent, Found, NameNotFound
from tests.harness.name_server import NameServer, is_possible

NAMES = {
    "ims.example": ['NAPTR 1 1 s SIP+D2T "" _sip._tcp.ims.example.'],
    "_sip._tcp.ims.example": ["SRV 1 0 6060 A.ims.example."],
    "a.ims.example": ["A 192.0.2.1", "AAAA 2001:db8::1"],
    "alias.example": ["CNAME a.ims.example."],
}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServer]:
    if not is_possible():
        pytest.skip("only root may listen at the port of DNS")
    with NameServer(NAMES, ttl_s=77) as made:
        ours = dns.asyncresolver.Resolver(configure=False)
        ours.nameservers = [made.host]
        monkeypatch.setattr(resolving, "_resolver", lambda: ours)
        yield made


def impatient(monkeypatch: pytest.MonkeyPatch, question_s: float) -> None:
    """Wait no longer for who is silent; a server that answers beside others may need as long."""
    monkeypatch.setattr(resolving, "_ONE_SERVER_S", question_s / 2)
    monkeypatch.setattr(resolving, "_QUESTION_S", question_s)


def found(uri: str, *, by_system: bool = False) -> Found:
    return asyncio.run(resolving.find(SipUri.parse(uri), transports=("udp", "tcp"), by_system=by_system))


def test_servers_are_found_with_the_time_for_which_they_hold(server: NameServer) -> None:
    servers = (Server("192.0.2.1", 6060, "tcp"), Server("2001:db8::1", 6060, "tcp"))

    assert found("sip:ims.example") == (servers, 77.0)


def test_a_name_that_is_not_there_is_told_from_silence(
    server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NameNotFound, match=r"nowhere\.example"):
        found("sip:nowhere.example")
    impatient(monkeypatch, 0.2)
    server.silent = lambda _: True
    with pytest.raises(DnsSilent, match=r"ims\.example"):
        found("sip:ims.example")


def test_one_answer_is_enough_where_others_are_missing(
    server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some servers say nothing to NAPTR."""
    impatient(monkeypatch, 1.0)
    server.silent = lambda name: name == "ims.example" or name.startswith("_sip._udp")

    assert len(found("sip:ims.example").servers) == 2


@pytest.mark.parametrize("host", ["x" * 64 + ".example", ".".join(["y" * 60] * 5) + ".example"])
def test_a_name_that_dns_cannot_have_is_not_there(server: NameServer, host: str) -> None:
    with pytest.raises(NameNotFound):
        found(f"sip:{host}:5060")
    assert not server.asked


def test_without_any_name_server_dns_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> dns.asyncresolver.Resolver:
        raise dns.resolver.NoResolverConfiguration

    monkeypatch.setattr(resolving, "_resolver", none)
    with pytest.raises(DnsSilent):
        found("sip:ims.example:5060")


def test_the_system_knows_more_than_dns(server: NameServer) -> None:
    with pytest.raises(NameNotFound):
        found("sip:localhost:5060")
    assert Server("127.0.0.1", 5060, "udp") in found("sip:localhost:5060", by_system=True).servers


def test_an_address_is_asked_of_nobody(server: NameServer) -> None:
    assert found("sip:192.0.2.9").servers == (Server("192.0.2.9", 5060, "udp"),)
    assert not server.asked
