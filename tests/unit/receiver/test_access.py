"""TCP beside UDP (RFC 3261 18.1.1), and devices behind a NAT, reached by their own connection."""

import asyncio
import socket
from dataclasses import replace
from typing import Any

import pytest

from omapush.protocol.sip_servers import Server
from omapush.protocol.sip_uri import SipUri
from omapush.receiver import (
    Endpoint,
    Listen,
    Push,
    Receiver,
    RegistrationFailed,
    Sessions,
    Timers,
    TransportFailed,
)
from omapush.receiver.transport import StreamTransport, UdpTransport
from tests.fakes.sip_text import SipText
from tests.harness.ports import free_port
from tests.harness.sip_peer import SipPeer
from tests.harness.wait import wait_until
from tests.unit.receiver.core import ALICE, FAST, PSA, grant, notify, registered, request, requests, wait_for
from tests.unit.receiver.session_bench import bench
from tests.unit.receiver.stream_core import StreamCore, core, message, until

MANY = {f"application{number}.ua": print for number in range(60)}
"So many that a REGISTER is above 1,300 octets."
NAT = Listen(behind_nat=True)
NO_SESSIONS = Sessions(enabled=False)


async def with_both(peer: SipPeer, applications: Any, **settings: Any) -> tuple[StreamCore, SipText]:
    """Register and leave with a core that takes UDP and TCP; return the core and its first request."""
    async with core(port=peer.port) as (made, _):
        proxy = f"sip:127.0.0.1:{peer.port}"
        async with Receiver(ALICE, proxy, applications, timers=FAST, expires_s=600, **settings) as device:
            await device.refresh()
        return made, (made.requests + peer.requests)[0]


def test_a_request_above_1300_octets_goes_by_tcp_and_the_next_one_over_the_same_connection() -> None:
    with SipPeer(free_port(), policy=grant) as peer:
        made, first = asyncio.run(with_both(peer, MANY))

        assert [one.header("Expires") for one in made.requests] == ["600", "600", "0"]
        assert requests(peer, "REGISTER") == []
        assert len(made.writers) == 1
        assert len(first.raw) > 1_300
        host = first.header("Contact").partition("@")[2].partition(">")[0]
        assert ";" not in host  # by UDP, or by TCP at the same port
        assert first.header("Via").startswith(f"SIP/2.0/TCP {host};branch=")


def test_a_request_that_fits_into_a_datagram_goes_by_udp() -> None:
    with SipPeer(free_port(), policy=grant) as peer:
        made, first = asyncio.run(with_both(peer, {"mms.ua": print}))

        assert made.writers == []
        assert first.header("Via").startswith("SIP/2.0/UDP ")
        assert len(requests(peer, "REGISTER")) == 3


def test_a_large_request_goes_by_udp_where_nobody_takes_a_connection() -> None:
    with registered(apps=tuple(MANY)) as (peer, device):
        first = requests(peer, "REGISTER")[0]
        assert len(first.raw) > 1_300
        assert first.header("Via").startswith("SIP/2.0/UDP ")
        with socket.create_server(("127.0.0.1", peer.port)) as late:
            late.setblocking(False)
            device.call(device.receiver.refresh())  # a peer that refused is not asked each time
            with pytest.raises(BlockingIOError):
                late.accept()


def test_a_device_may_keep_to_udp() -> None:
    with SipPeer(free_port(), policy=grant) as peer:
        made, first = asyncio.run(with_both(peer, MANY, listen=Listen(tcp=False)))
        assert made.writers == []
        assert len(first.raw) > 1_300
    with registered(listen=Listen(tcp=False)) as (_, device), pytest.raises(ConnectionRefusedError):
        socket.create_connection(device.receiver.address)


async def started(peer: SipPeer, listen: Listen) -> None:
    """Register and leave."""
    async with Receiver(ALICE, f"sip:127.0.0.1:{peer.port}", {}, timers=FAST, listen=listen):
        pass


def test_a_port_that_is_taken_on_tcp_is_told_or_another_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, SipPeer(policy=grant) as peer:
        taken = other.getsockname()[1]
        with pytest.raises(TransportFailed, match=f"tcp 127.0.0.1:{taken}: .*in use"):
            asyncio.run(started(peer, Listen(port=taken)))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
            again.bind(("127.0.0.1", taken))  # what was opened for nothing is closed

        tries = iter([taken, 0])
        monkeypatch.setattr(
            "omapush.receiver.access.UdpTransport",
            lambda host, _port, receive: UdpTransport(host, next(tries), receive),
        )
        with registered() as (_, device):
            assert device.receiver.address[1] != taken
            with socket.create_connection(device.receiver.address):
                pass


@pytest.mark.req("PRA-MSG-3")
def test_pushes_are_taken_over_both() -> None:
    large = bytes(range(256)) * 20
    with registered() as (peer, device):
        assert peer.ask(request(peer, "MESSAGE", body=b"small"), device.receiver.address).status == 200
        with socket.create_connection(device.receiver.address, timeout=5) as stream:
            stream.sendall(message(1, "TCP", large))
            answer = SipText.parse(stream.recv(65_536))
        assert (answer.status, answer.header("Via")) == (200, "SIP/2.0/TCP 127.0.0.1:9;branch=z9hG4bKs1")
        assert [push.content for push in device.pushes] == [b"small", large]


def test_a_refused_invite_is_answered_again_over_udp_but_not_over_a_connection() -> None:
    with registered(sessions=NO_SESSIONS) as (peer, device), socket.socket() as stream:
        stream.connect(device.receiver.address)
        stream.sendall(message(1, "TCP", b"", "INVITE"))
        assert b" 405 " in stream.recv(65_536)
        assert peer.ask(request(peer, "INVITE"), device.receiver.address).status == 405
        wait_until(lambda: len(peer.responses) >= 3, 5, "two repetitions")
        stream.setblocking(False)
        with pytest.raises(BlockingIOError):
            stream.recv(65_536)


def test_a_route_by_tcp_is_followed_from_a_device_registered_by_udp() -> None:
    async def scenario(peer: SipPeer) -> SipText:
        async with core(port=peer.port) as (made, _):
            settings = {"subscribe_to": (("mms.ua", PSA),), "subscription_s": 2}
            proxy = f"sip:127.0.0.1:{peer.port}"
            async with Receiver(ALICE, proxy, {"mms.ua": print}, timers=FAST, **settings) as device:  # type: ignore[arg-type]
                subscribe = await asyncio.to_thread(wait_for, peer, "SUBSCRIBE")
                route = {"Record-Route": f"<{proxy};transport=tcp;lr>"}
                raw = notify(peer, subscribe, "active;expires=1", headers=route)
                assert (await asyncio.to_thread(peer.ask, raw, device.address)).status == 200
                await until(lambda: bool(made.requests))
            return made.requests[0]

    with SipPeer(free_port(), policy=grant) as peer:
        refresh = asyncio.run(scenario(peer))
        assert refresh.method == "SUBSCRIBE"
        assert refresh.header("Via").startswith("SIP/2.0/TCP ")


def test_a_device_at_an_ipv6_address_is_reached_by_udp_and_tcp() -> None:
    async def scenario(registrar: socket.socket) -> list[Push]:
        pushes: list[Push] = []
        proxy = f"sip:[::1]:{registrar.getsockname()[1]}"
        async with Receiver(ALICE, proxy, {"mms.ua": pushes.append}, timers=FAST, register=False) as device:
            host, port = device.address
            assert device.agent.contact_uri == f"sip:alice@[::1]:{port}"
            raw = message(1, "UDP").replace(b"127.0.0.1:9;", b"[::1]:9;rport;")
            registrar.sendto(raw, (host, port))
            answer = SipText.parse(await asyncio.to_thread(registrar.recv, 65_536))
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(message(2, "TCP").replace(b"127.0.0.1:9;", b"[::1]:9;"))
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"SIP/2.0 200 OK")
            writer.close()
        rport = f";rport={registrar.getsockname()[1]};branch=z9hG4bKs1;received=::1"
        assert (answer.status, answer.header("Via")) == (200, f"SIP/2.0/UDP [::1]:9{rport}")
        return pushes

    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as registrar:
        registrar.settimeout(5)
        try:
            registrar.bind(("::1", 0))
        except OSError:
            pytest.skip("no IPv6 on this machine")
        assert len(asyncio.run(scenario(registrar))) == 2


# ---- behind a NAT ------------------------------------------------------------------------------------------


def test_a_device_behind_a_nat_gets_its_pushes_over_its_own_connection_and_opens_a_new_one() -> None:
    pushes: list[Push] = []

    async def scenario() -> list[SipText]:
        async with core() as (made, port):
            proxy = f"sip:127.0.0.1:{port};transport=tcp"
            async with Receiver(ALICE, proxy, {"mms.ua": pushes.append}, timers=FAST, listen=NAT) as device:
                peername = made.writers[0].get_extra_info("peername")
                assert device.address == peername  # nothing else is open
                made.writers[0].write(message(1, "TCP"))
                assert (await made.response()).status == 200
                made.writers[0].close()
                await until(lambda: len(made.requests) == 2)
                made.writers[1].write(message(2, "TCP", b"again"))
                assert (await made.response()).status == 200
            return made.requests

    first, second, last = asyncio.run(scenario())
    assert [push.content for push in pushes] == [b"hello", b"again"]
    assert (
        first.header("Contact").partition(";expires")[0] != second.header("Contact").partition(";expires")[0]
    )
    assert last.header("Expires") == "0"


def test_a_connection_on_which_a_keep_alive_gets_no_answer_is_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("omapush.receiver.transport._PONG_S", 0.05)
    listen = Listen(behind_nat=True, keep_alive_s=0.05)

    async def scenario() -> None:
        async with core() as (made, port):
            proxy = f"sip:127.0.0.1:{port};transport=tcp"
            async with Receiver(ALICE, proxy, {}, timers=FAST, listen=listen):
                await until(lambda: made.pings >= 3)
                assert len(made.writers) == len(made.requests) == 1
                made.answers_pings = False
                await until(lambda: len(made.requests) >= 2)
                made.answers_pings = True
                assert len(made.writers) >= 2

    asyncio.run(scenario())


def test_over_udp_the_nat_is_kept_open_from_the_port_that_requests_reach() -> None:
    async def scenario(proxy: socket.socket) -> None:
        uri = f"sip:127.0.0.1:{proxy.getsockname()[1]}"
        listen = Listen(behind_nat=True, keep_alive_s=0.05)
        async with Receiver(ALICE, uri, {}, timers=FAST, listen=listen, register=False) as device:
            data, source = await asyncio.to_thread(proxy.recvfrom, 100)
            assert (data, source) == (b"\r\n\r\n", device.address)
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection(*device.address)

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as proxy:
        proxy.bind(("127.0.0.1", 0))
        proxy.settimeout(5)
        asyncio.run(scenario(proxy))


def test_for_files_it_connects_itself() -> None:
    with bench(listen=NAT) as on:
        sender = on.sender()
        assert sender.invite(on.file(setup="actpass")).status == 200
        assert "setup:active" in sender.lines[0].attributes


# ---- a proxy with several addresses ------------------------------------------------------------------------


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("listen", [Listen(), NAT])
def test_the_next_address_of_the_proxy_is_used_when_one_does_not_answer(
    monkeypatch: pytest.MonkeyPatch, transport: str, listen: Listen
) -> None:
    async def scenario(peer: SipPeer) -> list[str]:
        async with core(port=peer.port) as (made, port):

            async def found(_proxy: SipUri) -> tuple[Server, ...]:
                return tuple(Server(host, port, transport) for host in ("::1", "127.0.0.9", "127.0.0.1"))

            monkeypatch.setattr("omapush.receiver.access._servers", found)
            proxy = f"sip:pcscf.home1.example:{port};transport={transport}"
            place = replace(listen, host="127.0.0.1")
            timers = Timers(t1_s=0.01)
            async with Receiver(ALICE, proxy, {"mms.ua": print}, timers=timers, listen=place) as device:
                await device.refresh()
            return [one.header("Expires") for one in (*made.requests, *requests(peer, "REGISTER"))]

    with SipPeer(free_port(), policy=grant) as peer:
        assert asyncio.run(scenario(peer)) == ["600000", "600000", "0"]


# ---- connections that are opened ---------------------------------------------------------------------------


def test_a_connection_is_opened_once_for_all_who_wait_and_nobody_waits_for_another() -> None:
    async def scenario() -> None:
        transport = StreamTransport("127.0.0.1", 0, lambda _data, _source: None, listens=False)
        with socket.socket() as full:  # its queue holds one connection, which is there; others hang
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            with socket.create_connection(full.getsockname()):
                hanging = [asyncio.create_task(transport.send(b"x", full.getsockname())) for _ in range(5)]
                async with core() as (made, port):
                    to = ("127.0.0.1", port)
                    await asyncio.gather(*(transport.send(message(n, "TCP"), to) for n in range(3)))
                    await until(lambda: len(made.requests) == 3)
                    assert len(made.writers) == 1
                assert not any(one.done() for one in hanging)
                await transport.close()
                ends = await asyncio.gather(*hanging, return_exceptions=True)
                assert [str(end) for end in ends] == [str(ends[0])] * 5
                assert isinstance(ends[0], TransportFailed)

    asyncio.run(scenario())


# ---- connections that break --------------------------------------------------------------------------------


def test_a_request_whose_connection_breaks_has_failed_at_once() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    async def scenario() -> None:
        server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
        proxy = f"sip:127.0.0.1:{server.sockets[0].getsockname()[1]};transport=tcp"
        with pytest.raises(RegistrationFailed, match="connection closed"):
            async with asyncio.timeout(20), Receiver(ALICE, proxy, {}):  # 64*T1 are 32 s
                pass
        server.close()

    asyncio.run(scenario())


def test_a_large_request_without_answer_has_the_next_one_open_a_new_connection() -> None:
    async def scenario(peer: SipPeer) -> int:
        opened: list[asyncio.StreamWriter] = []
        timers = Timers(t1_s=0.005)

        async def keep_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            opened.append(writer)
            while await reader.read(65_536):
                pass
            writer.close()

        server = await asyncio.start_server(keep_silent, "127.0.0.1", peer.port)
        proxy = f"sip:127.0.0.1:{peer.port}"
        endpoint = Endpoint(proxy, Listen(), timers=timers)
        await endpoint.start()
        for _ in range(2):
            with pytest.raises(RegistrationFailed, match="no answer"):
                await Receiver(ALICE, proxy, MANY, endpoint=endpoint, timers=timers).start()
        await endpoint.close()
        server.close()
        return len(opened)

    with SipPeer(free_port(), policy=grant) as peer:
        assert asyncio.run(scenario(peer)) == 2


def test_an_answer_whose_connection_is_closed_goes_over_a_new_one_to_the_port_of_via() -> None:
    async def slowly(_push: Push) -> None:
        await asyncio.sleep(0.3)

    async def scenario(peer: SipPeer) -> bytes:
        answers: asyncio.Queue[bytes] = asyncio.Queue()

        async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await answers.put(await reader.readuntil(b"\r\n\r\n"))
            writer.close()

        server = await asyncio.start_server(take, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with Receiver(ALICE, f"sip:127.0.0.1:{peer.port}", {"mms.ua": slowly}, timers=FAST) as device:
            _, writer = await asyncio.open_connection(*device.address)
            writer.write(message(1, "TCP").replace(b"127.0.0.1:9;", f"127.0.0.1:{port};rport;".encode()))
            await until(lambda: bool(device.endpoint.server._known))
            writer.close()
            async with asyncio.timeout(5):
                answer = await answers.get()
        server.close()
        return answer

    with SipPeer(policy=grant) as peer:
        assert asyncio.run(scenario(peer)).startswith(b"SIP/2.0 200 OK\r\n")


def test_answers_say_where_the_request_came_from() -> None:
    with registered() as (peer, device):
        far = "SIP/2.0/UDP far.example;branch=z9hG4bKfar"
        via = f"SIP/2.0/UDP pcscf.home1.example;rport;branch=z9hG4bKfrom1, {far}"
        answer = peer.ask(request(peer, "OPTIONS", {"Via": via}), device.receiver.address)
        assert answer.header("Via") == (
            f"SIP/2.0/UDP pcscf.home1.example;rport={peer.port};branch=z9hG4bKfrom1;received=127.0.0.1, {far}"
        )
