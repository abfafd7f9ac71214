"""A device whose proxy is known by name (RFC 3263), and one that starts before there is a network."""

import asyncio
from collections.abc import Iterator
from typing import Any

import dns.asyncresolver
import pytest

from omapush import resolving
from omapush.protocol.sip_servers import Server
from omapush.protocol.sip_uri import SipUri
from omapush.receiver import Receiver, RegistrationFailed, TransportFailed
from omapush.receiver.registration import retry_in
from tests.harness.name_server import NameServer, is_possible
from tests.harness.ports import free_port
from tests.harness.sip_peer import Says, SipPeer
from tests.unit.receiver.core import ALICE, FAST, grant, requests
from tests.unit.receiver.stream_core import core, until

PROXY = "sip:pcscf.home1.example"
NOWHERE = resolving.DnsSilent("no answer from DNS")


class Dns:
    """What is said about the proxy, one after the other, the last for good."""

    def __init__(self, *says: Exception | tuple[Server, ...]) -> None:
        self.says = list(says)
        self.asked = 0

    async def find(self, _uri: SipUri, **_: Any) -> resolving.Found:
        self.asked += 1
        said = self.says.pop(0) if len(self.says) > 1 else self.says[0]
        if isinstance(said, Exception):
            raise said
        return resolving.Found(said, 60.0)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("omapush.receiver.registration._FIRST_RETRY_S", 0.02)


@pytest.fixture
def name_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServer]:
    if not is_possible():
        pytest.skip("only root may listen at the port of DNS")
    with NameServer({}, ttl_s=60) as server:
        ours = dns.asyncresolver.Resolver(configure=False)
        ours.nameservers = [server.host]
        monkeypatch.setattr(resolving, "_resolver", lambda: ours)
        yield server


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_the_proxy_is_found_by_naptr_and_srv_and_reached_as_they_say(
    name_server: NameServer, transport: str
) -> None:
    async def scenario(peer: SipPeer) -> tuple[int, str]:
        async with core(port=peer.port) as (made, _):
            async with Receiver(ALICE, PROXY, {"mms.ua": print}, timers=FAST) as device:
                contact = device.agent.contact_uri
            return len(made.requests), contact

    with SipPeer(free_port(), policy=grant) as peer:
        letter, service = transport[0].upper(), f"_sip._{transport}.home1.example"
        name_server.names |= {
            "pcscf.home1.example": [f'NAPTR 1 1 s SIP+D2{letter} "" {service}.'],
            service: [f"SRV 1 1 {peer.port} localhost."],
        }
        by_tcp, contact = asyncio.run(scenario(peer))
        by_udp = len(requests(peer, "REGISTER"))

    assert (by_udp, by_tcp) == ((2, 0) if transport == "udp" else (0, 2))
    assert contact.endswith(";transport=tcp") == (transport == "tcp")


def test_without_a_network_the_start_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolving, "find", Dns(NOWHERE).find)

    async def scenario() -> None:
        await Receiver(ALICE, PROXY, {"mms.ua": print}, timers=FAST).start()

    with pytest.raises(TransportFailed, match=r"pcscf\.home1\.example"):
        asyncio.run(scenario())


def test_a_device_that_starts_without_a_network_registers_when_there_is_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[str] = []

    async def scenario(port: int) -> None:
        dns_says = Dns(NOWHERE, NOWHERE, (Server("127.0.0.1", port, "udp"),))
        monkeypatch.setattr(resolving, "find", dns_says.find)
        waiting = Receiver(
            ALICE,
            PROXY,
            {"mms.ua": print},
            timers=FAST,
            wait_for_network=True,
            on_event=lambda name, _: told.append(name),
        )
        async with waiting as device:
            assert (device.is_registered, device.address) == (False, ("", 0))
            await until(lambda: device.is_registered)
            assert device.address[0] == "127.0.0.1"

    with SipPeer(policy=grant) as peer:
        asyncio.run(scenario(peer.port))
        assert [one.header("Expires") for one in requests(peer, "REGISTER")] == ["600000", "0"]
    assert told == ["registration_lost", "registration_lost", "registered"]


@pytest.mark.parametrize("step", ["refresh", "move", "join_push"])
def test_who_knows_that_the_network_is_there_has_it_tried_at_once(
    monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    monkeypatch.setattr("omapush.receiver.registration._FIRST_RETRY_S", 600.0)

    async def scenario(port: int) -> None:
        monkeypatch.setattr(resolving, "find", Dns(NOWHERE, (Server("127.0.0.1", port, "udp"),)).find)
        async with Receiver(ALICE, PROXY, {"mms.ua": print}, timers=FAST, wait_for_network=True) as device:
            await getattr(device, step)()
            await until(lambda: device.is_registered)

    with SipPeer(policy=grant) as peer:
        asyncio.run(scenario(peer.port))


def test_a_registrar_that_is_silent_is_waited_for_and_one_that_refuses_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(peer: SipPeer) -> None:
        monkeypatch.setattr(resolving, "find", Dns((Server("127.0.0.1", peer.port, "udp"),)).find)
        async with Receiver(ALICE, PROXY, {"mms.ua": print}, timers=FAST, wait_for_network=True) as device:
            assert not device.is_registered
            peer.policy = grant
            await until(lambda: device.is_registered)
        peer.policy = lambda _: Says(403, "No")
        with pytest.raises(RegistrationFailed, match="403"):
            await Receiver(ALICE, PROXY, {"mms.ua": print}, timers=FAST, wait_for_network=True).start()

    with SipPeer(policy=lambda _: None) as peer:
        asyncio.run(scenario(peer))


def test_a_device_that_waits_for_a_network_can_be_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolving, "find", Dns(NOWHERE).find)

    async def scenario() -> None:
        waiting = Receiver(ALICE, PROXY, {"mms.ua": print}, timers=FAST, wait_for_network=True)
        async with waiting as device, asyncio.timeout(5):
            await device.leave_push()

    asyncio.run(scenario())


def test_a_proxy_that_has_moved_in_dns_is_found_when_it_answers_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(before: int, after: int) -> None:
        places = [(Server("127.0.0.1", port, "udp"),) for port in (before, after)]
        monkeypatch.setattr(resolving, "find", Dns(*places).find)
        async with Receiver(ALICE, PROXY, {"mms.ua": print}, timers=FAST) as device:
            old.policy = lambda _: None
            with pytest.raises(RegistrationFailed):
                await device.refresh()
            await device.refresh()

    with SipPeer(policy=grant) as old, SipPeer(policy=grant) as new:
        asyncio.run(scenario(old.port, new.port))
        assert [one.header("Expires") for one in requests(new, "REGISTER")] == ["600000", "0"]


def test_the_wait_after_failures_doubles_and_is_spread_over_its_second_half(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("omapush.receiver.registration._FIRST_RETRY_S", 30.0)
    for failures, longest_s in ((1, 30.0), (2, 60.0), (7, 1_800.0), (100_000, 1_800.0)):
        waits = [retry_in(failures) for _ in range(200)]
        assert longest_s / 2 <= min(waits) < longest_s * 0.6
        assert longest_s * 0.9 < max(waits) <= longest_s
