"""The receiver over TCP and TLS, many devices behind one socket, and the transactions under it."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from omapush.receiver import Endpoint, Listen, Push, Receiver, RegistrationFailed
from omapush.receiver.transactions import MOST_SERVER_TRANSACTIONS
from tests.fakes.sip_text import SipText
from tests.harness.certificates import certificate
from tests.harness.sip_peer import SipPeer
from tests.harness.wait import wait_until
from tests.unit.receiver.core import ALICE, FAST, grant, registered, request, requests
from tests.unit.receiver.stream_core import StreamCore, core, message, until


async def pushed_over(made: StreamCore, proxy: str, transport: str, **settings: Any) -> list[Push]:
    """Register, get a push over the device's own connection in two pieces, and leave."""
    pushes: list[Push] = []
    async with Receiver(ALICE, proxy, {"mms.ua": pushes.append}, timers=FAST, expires_s=600, **settings):
        first = made.requests[0]
        assert first.header("Via").startswith(f"SIP/2.0/{transport} ")
        assert f";transport={transport.lower()}>" in first.header("Contact")
        raw = message(1, transport)
        for piece in (raw[:50], raw[50:]):
            made.writers[0].write(piece)
            await made.writers[0].drain()
        async with asyncio.timeout(5):
            assert (await made.responses.get()).status == 200
    assert made.requests[-1].header("Expires") == "0"
    return pushes


def test_a_device_registers_and_takes_pushes_over_tcp() -> None:
    async def scenario() -> list[Push]:
        async with core() as (made, port):
            return await pushed_over(made, f"sip:127.0.0.1:{port};transport=tcp", "TCP")

    assert [push.content for push in asyncio.run(scenario())] == [b"hello"]


def test_a_device_over_tcp_also_takes_connections() -> None:
    async def scenario() -> SipText:
        async with core() as (_, port):
            pushes: list[Push] = []
            proxy = f"sip:127.0.0.1:{port};transport=tcp"
            async with Receiver(ALICE, proxy, {"mms.ua": pushes.append}, timers=FAST) as device:
                reader, writer = await asyncio.open_connection(*device.address)
                writer.write(b"\r\n\r\n" + message(1, "TCP"))
                assert await reader.readexactly(2) == b"\r\n"
                answer = SipText.parse(await reader.readuntil(b"\r\n\r\n"))
                writer.write(b"no end and no length\r\n\r\n")
                assert await reader.read() == b""  # given up, and only this connection
                writer.close()
                assert len(pushes) == 1
                return answer

    assert asyncio.run(scenario()).status == 200


def test_a_device_registers_and_takes_pushes_over_tls(tmp_path: Path) -> None:
    server, client = certificate(tmp_path)

    async def scenario() -> list[Push]:
        async with core(server) as (made, port):
            proxy = f"sip:127.0.0.1:{port};transport=tls"
            return await pushed_over(made, proxy, "TLS", listen=Listen(tls=client))

    assert [push.content for push in asyncio.run(scenario())] == [b"hello"]


def test_a_device_over_tls_registers_again_when_its_connection_breaks(tmp_path: Path) -> None:
    server, client = certificate(tmp_path)

    async def scenario() -> list[str]:
        async with core(server) as (made, port):
            proxy = f"sip:127.0.0.1:{port};transport=tls"
            async with Receiver(ALICE, proxy, {}, timers=FAST, listen=Listen(tls=client)):
                made.writers[0].close()
                await until(lambda: len(made.requests) == 2)
                return [one.header("Contact") for one in made.requests]

    before, after = asyncio.run(scenario())
    assert before.partition(">")[0] != after.partition(">")[0]


def test_a_server_that_is_not_trusted_is_not_spoken_to(tmp_path: Path) -> None:
    server, _ = certificate(tmp_path)

    async def scenario() -> None:
        async with core(server) as (made, port):
            with pytest.raises(Exception, match=r"CERTIFICATE_VERIFY_FAILED|certificate verify"):
                async with Receiver(ALICE, f"sip:127.0.0.1:{port};transport=tls", {}, timers=FAST):
                    pass
            assert made.requests == []

    asyncio.run(scenario())


def test_nobody_behind_the_proxy_address_is_told() -> None:
    async def scenario() -> None:
        with pytest.raises(RegistrationFailed, match=r"refused|Connect call failed"):
            async with Receiver(ALICE, "sip:127.0.0.1:9;transport=tcp", {}, timers=FAST):
                pass

    asyncio.run(scenario())


def test_devices_that_share_a_socket_get_their_own_pushes() -> None:
    got: dict[str, list[Push]] = {"sip:a@home1.example": [], "sip:b@home1.example": []}

    async def scenario(peer: SipPeer) -> None:
        proxy = f"sip:127.0.0.1:{peer.port}"
        endpoint = Endpoint(proxy, Listen(), timers=FAST)
        await endpoint.start()
        devices = [
            Receiver(uri, proxy, {"mms.ua": pushes.append}, endpoint=endpoint, timers=FAST)
            for uri, pushes in got.items()
        ]
        # a second device of the same user gets a contact of its own
        second = Receiver("sip:a@home1.example", proxy, {"mms.ua": print}, endpoint=endpoint, timers=FAST)
        for device in (*devices, second):
            await device.start()
        assert second.agent.contact_user.startswith("a.")
        address = endpoint.local
        for user, status in (("a", 200), ("b", 200), ("nobody", 404)):
            raw = request(peer, "MESSAGE", body=user.encode(), line=f"MESSAGE sip:{user}@1.2.3.4 SIP/2.0")
            answer = await asyncio.to_thread(peer.ask, raw, address)
            assert answer.status == status
        for device in (*devices, second):
            await device.stop()
        await endpoint.close()

    with SipPeer(policy=grant) as peer:
        asyncio.run(scenario(peer))
    assert [[push.content for push in pushes] for pushes in got.values()] == [[b"a"], [b"b"]]


def test_a_request_without_answer_is_sent_again_in_growing_intervals() -> None:
    with SipPeer(policy=lambda _: None) as peer:

        async def scenario() -> None:
            with pytest.raises(RegistrationFailed):
                async with Receiver(ALICE, f"sip:127.0.0.1:{peer.port}", {}, timers=FAST):
                    pass

        asyncio.run(scenario())
        # T1 = 50 ms: 0, 50, 150, 350, then every T2 = 200 ms until 3,200 ms
        assert 14 <= peer.arrived <= 19
        assert len(requests(peer, "REGISTER")) == 1


def test_too_many_requests_within_the_transaction_time_get_503() -> None:
    with registered() as (peer, device):
        server = device.receiver.endpoint.server
        device.do(lambda: setattr(server, "_most", len(server._known)))
        answer = peer.ask(request(peer, "MESSAGE", body=b"x"), device.receiver.address)
        assert answer.status == 503
        assert answer.header("Retry-After")
        device.do(lambda: setattr(server, "_most", MOST_SERVER_TRANSACTIONS))
        assert peer.ask(request(peer, "MESSAGE", body=b"x"), device.receiver.address).status == 200


def test_a_response_goes_where_via_says_or_to_the_port_it_came_from() -> None:
    with registered() as (peer, device), SipPeer() as other:
        via = f"SIP/2.0/UDP 127.0.0.1:{other.port};branch=z9hG4bKvia1"
        peer.send(request(peer, "OPTIONS", {"Via": via}), device.receiver.address)
        wait_until(lambda: len(other.responses) == 1, 5, "the response at the Via port")
        rport = {"Via": f"SIP/2.0/UDP 127.0.0.1:{other.port};rport;branch=z9hG4bKvia2"}
        assert peer.ask(request(peer, "OPTIONS", rport), device.receiver.address).status == 200
        assert len(other.responses) == 1
