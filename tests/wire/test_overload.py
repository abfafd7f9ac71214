"""More arrives than can be stored: what is shed is told so at once, what is urgent or health is answered."""

import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import TracebackType
from typing import Self

import httpx
import pytest
import redis

from omapush.store import subscriptions, totals
from tests.conftest import MakeStack
from tests.fakes.sip_text import SipText
from tests.harness.sip_peer import OK, Says, SipPeer
from tests.harness.sip_ping import answers_options
from tests.harness.stack import PASSWORD, Settings, Stack
from tests.harness.subscriber import Subscriber, wants
from tests.harness.wait import wait_until
from tests.wire.requests import register, request
from tests.wire.shedding import ALL_OF_LATE, EVERYTHING, HARDLY_ANY, door_shut, let_in_natively, tell_workers

ONE_WORKER: Settings = {"sip": {"workers": 1}}
"What is answered shows that what came before is over."
SOON: Settings = {"overload": {"queue_ms": 20, "http_queue_ms": 20}, "redis": {"timeout_ms": 2_000}}


BUSY = """
local began = redis.call('TIME')
repeat
  local now = redis.call('TIME')
until (now[1] - began[1]) * 1000000 + now[2] - began[2] > 100000
"""

LOAD_PER_S = 3_000
"Three times what two processes store of 256 in two trips to such a Redis, however busy the machine is."
AT_ONCE = 60


@contextmanager
def slow_redis(stack: Stack) -> Iterator[None]:
    """A Redis that serves everybody once in 0.1 s: what arrives faster than it stores then has to wait."""
    over = threading.Event()

    def keep_busy() -> None:
        with redis.Redis(unix_socket_path=stack.config.redis.url.removeprefix("unix://")) as db:
            while not over.is_set():
                db.eval(BUSY, 0)

    threads = [threading.Thread(target=keep_busy) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def registers(stack: Stack, peer: SipPeer, number: int, *headers: tuple[str, str]) -> str:
    """Send one REGISTER; returns its Call-ID."""
    raw = register(f"sip:load{number}@home1.example", peer, headers=list(headers))
    peer.send(raw, stack.sip)
    return SipText.parse(raw).header("Call-ID")


def subscribe(stack: Stack, peer: SipPeer, aor: str, priority: str = "") -> str:
    """Send the SUBSCRIBE of a new device; returns its Call-ID."""
    device = Subscriber(stack, peer, aor)
    raw = device.subscribe(expires="600", accept="*/*", Priority=priority, **wants("news.ua"))
    peer.send(raw, stack.sip)
    return SipText.parse(raw).header("Call-ID")


def is_up(stack: Stack) -> None:
    """OPTIONS is answered, and with one worker what came before has been looked at."""
    stack.parts["sip"].wait_until(lambda: answers_options(stack.sip), 10, "answer to OPTIONS")


def answers(peer: SipPeer) -> dict[str, SipText]:
    return {one.header("Call-ID"): one for one in peer.responses if one.status >= 200}


def statuses(peer: SipPeer, calls: list[str]) -> set[int]:
    found = answers(peer)
    return {found[call].status for call in calls if call in found}


def test_under_overload_registers_are_shed_with_503_and_emergencies_and_options_are_not(
    make_stack: MakeStack,
) -> None:
    stack = make_stack({**SOON, "sip": {"capturers": 2}}, ("redis", "sip"))
    with SipPeer() as peer:
        usual: list[str] = []
        urgent: list[str] = []
        with slow_redis(stack):
            began = time.monotonic()

            def loads() -> bool:
                number = len(usual)
                due = int((time.monotonic() - began) * LOAD_PER_S) - number
                if due < AT_ONCE:
                    return False
                usual.extend(registers(stack, peer, number + each) for each in range(min(due, 4 * AT_ONCE)))
                urgent.append(registers(stack, peer, 100_000 + number, ("Priority", "emergency")))
                urgent.append(registers(stack, peer, 200_000 + number, ("Resource-Priority", "ets.0")))
                is_up(stack)
                return 503 in statuses(peer, usual[-200:]) and len(usual) > 1_500

            wait_until(loads, 60, "something is shed")
        wait_until(lambda: len(answers(peer)) >= len(usual) + len(urgent), 15, "everybody is answered")

        assert statuses(peer, usual) == {200, 503}
        assert statuses(peer, urgent) == {200}
        shed = [one for one in answers(peer).values() if one.status == 503]
        assert all(1 < int(one.header("Retry-After")) < 10 for one in shed)

        def over() -> bool:
            return peer.ask(register("sip:late@home1.example", peer), stack.sip).status == 200

        wait_until(lambda: all(over() for _ in range(20)), 10, "nothing is shed any more")
    assert "overload_began" in stack.parts["sip"].log_tail(500)


def test_under_overload_new_subscribes_are_shed_with_503_and_leave_nothing(make_stack: MakeStack) -> None:
    stack = make_stack(SOON, ("redis", "sip"))
    with SipPeer() as peer:
        usual: dict[str, str] = {}
        urgent: list[str] = []
        with slow_redis(stack):

            def loads() -> bool:
                for number in range(len(usual), len(usual) + 20):
                    aor = f"sip:sub{number}@home1.example"
                    usual[subscribe(stack, peer, aor)] = aor
                aor = f"sip:urgent{len(urgent)}@home1.example"
                urgent.append(subscribe(stack, peer, aor, "emergency"))
                is_up(stack)
                return 503 in statuses(peer, list(usual)[-200:]) and len(usual) > 1_000

            wait_until(loads, 60, "something is shed")
        wait_until(lambda: len(answers(peer)) >= len(usual) + len(urgent), 15, "everybody is answered")

        assert statuses(peer, list(usual)) == {200, 503}
        assert statuses(peer, urgent) == {200}
        shed = [one for one in answers(peer).values() if one.status == 503]
        assert all(1 < int(one.header("Retry-After")) < 10 for one in shed)
        for one in shed[:: max(len(shed) // 20, 1)]:
            assert not subscriptions.of_user(stack.store, usual[one.header("Call-ID")])
        taken = {call for call, one in answers(peer).items() if one.status == 200}

        def told() -> set[str]:
            return {one.header("Call-ID") for one in peer.requests if one.method == "NOTIFY"}

        wait_until(lambda: taken <= told(), 20, "who was taken is told")

        def over() -> bool:
            late = Subscriber(stack, peer)
            return late.ask(accept="*/*", **wants("news.ua")).status == 200

        wait_until(lambda: all(over() for _ in range(10)), 10, "nothing is shed any more")


def test_what_kamailio_has_let_in_is_not_shed_by_python_as_well(make_stack: MakeStack) -> None:
    """Else half of the half that may come in would be let in, and refusing the rest would cost most."""
    stack = make_stack(SOON, ("redis", "sip"))
    with SipPeer() as peer:

        def statuses_of(number: int) -> Counter[int]:
            devices = (Subscriber(stack, peer, f"sip:drawn{n}@home1.example") for n in range(number))
            return Counter(device.ask(accept="*/*", **wants("news.ua")).status for device in devices)

        tell_workers(stack, "sets", "subscribes", "0.0400 4000000000.000")
        wait_until(lambda: set(statuses_of(20)) == {200, 503}, 10, "Python sheds what it alone decides on")
        with let_in_natively(stack, "subscribes", EVERYTHING):
            assert statuses_of(40) == {200: 40}
        before = shed(stack, "subscribes")
        with let_in_natively(stack, "subscribes", EVERYTHING // 2):
            some = statuses_of(40)
        assert set(some) == {200, 503}
        with let_in_natively(stack, "subscribes", ALL_OF_LATE):
            assert statuses_of(10) == {503: 10}
        refused = before + some[503] + 10
        wait_until(lambda: shed(stack, "subscribes") == refused, 5, "what was refused natively is counted")


def test_what_was_taken_is_not_shed_when_it_is_repeated_but_answered_again(make_stack: MakeStack) -> None:
    """RFC 3261 17.2.2: a repetition gets the answer of its transaction, whatever is let in by then."""
    stack = make_stack(SOON, ("redis", "sip"))
    with SipPeer() as peer:
        assert peer.ask(register("sip:known@home1.example", peer), stack.sip).status == 200
        taken = [register(f"sip:taken{n}@home1.example", peer) for n in range(5)]
        device = Subscriber(stack, peer, "sip:taken-device@home1.example")
        taken.append(device.subscribe(expires="600", accept="*/*", **wants("news.ua")))
        assert [peer.ask(raw, stack.sip).status for raw in taken] == [200] * len(taken)
        with door_shut(stack):
            for raw in taken:
                again = [peer.ask(raw, stack.sip) for _ in range(3)]
                assert {(one.status, one.header("To")) for one in again} == {(200, again[0].header("To"))}
            late = Subscriber(stack, peer, "sip:late-device@home1.example")
            assert late.ask(accept="*/*", **wants("news.ua")).status == 503
            assert peer.ask(register("sip:late@home1.example", peer), stack.sip).status == 503


def test_what_waits_to_be_stored_is_not_shed_when_it_is_repeated(make_stack: MakeStack) -> None:
    stack = make_stack({**SOON, **ONE_WORKER}, ("redis", "sip"))
    with SipPeer() as peer:
        assert peer.ask(register("sip:known@home1.example", peer), stack.sip).status == 200
        waiting = [register(f"sip:waiting{n}@home1.example", peer) for n in range(5)]
        calls = {SipText.parse(raw).header("Call-ID") for raw in waiting}
        stack.db.client_pause(1_000)
        for raw in waiting:
            peer.send(raw, stack.sip)
        is_up(stack)  # what came before has been looked at
        with door_shut(stack):
            for raw in waiting * 3:
                peer.send(raw, stack.sip)
            wait_until(lambda: calls <= set(answers(peer)), 10, "all are answered")
        said = [one.status for one in peer.responses if one.header("Call-ID") in calls and one.status >= 200]
        assert set(said) == {200}


@pytest.mark.parametrize("method", ["REGISTER", "SUBSCRIBE"])
def test_what_cannot_be_answered_ends_no_worker_that_sheds(make_stack: MakeStack, method: str) -> None:
    """Kamailio 5.6.3 crashes when it has to answer a request without a Via."""
    stack = make_stack({**SOON, **ONE_WORKER}, ("redis", "sip"))
    with SipPeer() as peer, door_shut(stack, HARDLY_ANY):
        whole = _to_be_shed(stack, peer, method)
        assert peer.ask(whole, stack.sip).status == 503
        lines = whole.split(b"\r\n")
        for name in (b"Via", b"From", b"To", b"Call-ID", b"CSeq"):
            peer.send(b"\r\n".join(one for one in lines if not one.startswith(name + b":")), stack.sip)
            is_up(stack)
        peer.send(b"\r\n".join([lines[0], b"", b""]), stack.sip)
        is_up(stack)


@pytest.mark.parametrize("method", ["REGISTER", "SUBSCRIBE"])
def test_a_response_is_not_shed_for_nobody_answers_one(make_stack: MakeStack, method: str) -> None:
    stack = make_stack({**SOON, **ONE_WORKER}, ("redis", "sip"))
    with door_shut(stack, HARDLY_ANY), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours:
        ours.bind(("127.0.0.1", 0))
        ours.settimeout(5)
        headers = [("Event", "ua-profile"), ("Expires", "60")]
        asked = request(method, "sip:127.0.0.1", ours.getsockname(), headers)
        ours.sendto(asked.replace(asked.split(b"\r\n")[0], b"SIP/2.0 200 OK", 1), stack.sip)
        ours.sendto(request("OPTIONS", "sip:127.0.0.1", ours.getsockname()), stack.sip)
        assert ours.recv(65_535).startswith(b"SIP/2.0 200 ")


def _to_be_shed(stack: Stack, peer: SipPeer, method: str) -> bytes:
    if method == "REGISTER":
        return register("sip:late@home1.example", peer)
    return Subscriber(stack, peer, "sip:late-device@home1.example").subscribe(
        expires="600", accept="*/*", **wants("news.ua")
    )


def shed(stack: Stack, queue: str) -> int:
    """What Kamailio says it has refused."""
    text = httpx.get(f"http://127.0.0.1:{stack.sip[1]}/metrics", timeout=20, trust_env=False).text
    found = re.search(
        rf'^omapush_sip_requests_shed_total *\{{queue="{queue}"\}} ([0-9]+)', text, re.MULTILINE
    )
    return int(found[1]) if found else 0


def test_requests_of_others_are_not_shed(make_stack: MakeStack) -> None:
    """They go on without us storing anything: no trouble of ours may reach them."""
    stack = make_stack(SOON, ("redis", "sip"))
    with SipPeer() as peer, SipPeer() as onward, slow_redis(stack):
        route = f"<sip:127.0.0.1:{stack.sip[1]};lr>, <sip:127.0.0.1:{onward.port};lr>"
        for n in range(300):
            registers(stack, peer, n)
            if n % 10 == 0:
                raw = request("MESSAGE", f"sip:other{n}@home1.example", peer.address, [("Route", route)])
                assert peer.ask(raw, stack.sip).status == 200


def test_a_flood_from_an_untrusted_address_is_not_answered_and_trusted_peers_are(
    make_stack: MakeStack,
) -> None:
    stack = make_stack({"overload": {"flood_per_s": 5}}, ("redis", "sip"))
    with SipPeer(host="127.0.0.2") as stranger, SipPeer() as peer:
        assert stranger.ask(register("sip:x@home1.example", stranger), stack.sip).status == 403
        for n in range(200):
            registers(stack, stranger, n)
            if n % 20 == 0:
                aor = f"sip:trusted{n}@home1.example"
                assert peer.ask(register(aor, peer), stack.sip).status == 200
        refused = len(stranger.responses)
        assert refused < 100
        for n in range(100):
            assert peer.ask(register(f"sip:many{n}@home1.example", peer), stack.sip).status == 200
        is_up(stack)


@pytest.mark.parametrize("interface", ["pap", "json"])
def test_pushes_are_shed_with_503_while_those_before_them_wait_and_urgent_ones_are_not(
    make_stack: MakeStack, interface: str
) -> None:
    stack = make_stack(SOON)
    with SipPeer(stack.core_port), slow_redis(stack), Providers(stack, interface) as providers:
        found: list[httpx.Response] = []

        def loads() -> bool:
            found.extend(providers.submit(range(len(found), len(found) + 200), "low"))
            return any(one.status_code == 503 for one in found)

        wait_until(loads, 30, "something is shed")
        urgent = providers.submit(range(100_000, 100_010), "high")
        assert httpx.get(f"{stack.http}/healthz", timeout=20, trust_env=False).status_code == 200
        assert {one.status_code for one in found} <= {201, 202, 503}
        assert 503 not in {one.status_code for one in urgent}
        shed = [one for one in found if one.status_code == 503]
        assert all(1 < int(one.headers["Retry-After"]) < 10 for one in shed)
        assert {one.headers["Cache-Control"] for one in shed} == {"no-store"}
        kind = {"pap": "text/plain; charset=utf-8", "json": "application/problem+json"}[interface]
        assert {one.headers["Content-Type"] for one in shed} == {kind}
    counted = httpx.get(f"{stack.http}/metrics", timeout=20, trust_env=False).text
    assert f"{REFUSED[interface]} {len(shed)}.0\n" in counted


def test_while_more_come_than_leave_pushes_are_shed_and_what_was_taken_is_delivered(
    make_stack: MakeStack,
) -> None:
    stack = make_stack({"sip": {"window": 20}})
    slowly = threading.Event()

    def answer(_: SipText) -> Says:
        slowly.wait(0.02)
        return OK

    with SipPeer(stack.core_port, policy=answer), Providers(stack, "json") as providers:
        found: list[httpx.Response] = []

        def loads() -> bool:
            found.extend(providers.submit(range(len(found), len(found) + 60), "low"))
            return any(one.status_code == 503 for one in found)

        wait_until(loads, 30, "something is shed")
        [urgent] = providers.submit(range(100_000, 100_001), "high")
        assert urgent.status_code == 201
        slowly.set()
        taken = 1 + sum(one.status_code == 201 for one in found)
        wait_until(lambda: totals.read(stack.store).ended.get("delivered") == taken, 30, "all are delivered")

        def over() -> bool:
            numbers = range(len(found), len(found) + 20)
            found.extend(providers.submit(numbers, "low"))
            return all(one.status_code == 201 for one in found[-20:])

        wait_until(over, 10, "nothing is shed any more")
        stack.parts["api"].wait_for_line("overload_over")


REFUSED = {
    "pap": 'omapush_http_refused_total{status="503"}',
    "json": 'omapush_json_requests_total{operation="push_submit",status="503"}',
}


class Providers:
    """Many that submit at the same time, each by a connection of its own."""

    def __init__(self, stack: Stack, interface: str) -> None:
        self._interface = interface
        self._clients = [
            httpx.Client(base_url=stack.http, auth=("trusted", PASSWORD), timeout=20, trust_env=False)
            for _ in range(60)
        ]
        self._threads = ThreadPoolExecutor(len(self._clients))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> None:
        self._threads.shutdown()
        for client in self._clients:
            client.close()

    def submit(self, numbers: Sequence[int], priority: str) -> list[httpx.Response]:
        """Submit one push each, shared out among all; returns what was answered."""

        def of_one(at: int) -> list[httpx.Response]:
            mine = numbers[at :: len(self._clients)]
            return [_submit(self._clients[at], self._interface, number, priority) for number in mine]

        return [one for found in self._threads.map(of_one, range(len(self._clients))) for one in found]


def _submit(client: httpx.Client, interface: str, number: int, priority: str) -> httpx.Response:
    if interface == "json":
        body = {
            "to": [f"sip:load{number}@home1.example"],
            "application": "mms.ua",
            "content_type": "text/plain",
            "content": "x",
            "priority": priority,
        }
        return client.post("/v1/pushes", json=body)
    control = (
        f'<pap><push-message push-id="o{number}@pi"><address address-value="sip:load{number}@home1.example"/>'
        f'<quality-of-service priority="{priority}"/></push-message></pap>'
    )
    parts = (
        f"--b\r\nContent-Type: application/xml\r\n\r\n{control}\r\n--b\r\nContent-Type: text/plain\r\n\r\nx"
    )
    headers = {"Content-Type": 'multipart/related; boundary=b; type="application/xml"'}
    return client.post("/pap", content=f"{parts}\r\n--b--\r\n".encode(), headers=headers)
