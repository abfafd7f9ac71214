"""Thousands of broken messages, one by one: nobody dies, OPTIONS stays answered, memory stays flat."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.fakes.sip_mutations import CATEGORIES, MARK, Mutant, mutants
from tests.fakes.sip_text import write
from tests.harness.sip_peer import SipPeer
from tests.harness.stack import Settings, Stack
from tests.harness.wait import wait_until
from tests.wire.requests import isc_route, register, request, ue_register
from tests.wire.shedding import HARDLY_ANY, door_shut

AOR: Final = "sip:mutant@home1.example"
BY_UDP, BY_TCP, REFUSED = 4_000, 800, 2_000
SEED: Final = 20_261_126
_LARGEST_DATAGRAM: Final = 60_000
_BETWEEN: Final = 40
"Messages from one OPTIONS to the next, so that the socket's buffer does not swallow any."
_MORE_KB: Final = 6_000
"Private memory that a process may have gained from the second quarter of the messages to the last."


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A server that trusts who sends all this, and has something for each method."""
    settings: Settings = {
        'hosted."hosted.ua"': {"backend": "http://127.0.0.1:9/"},
        "registration": {"watch": True},
        "sessions": {"enabled": True},
    }
    with Stack(tmp_path_factory.mktemp("mutants"), settings, ("redis", "sip")) as running:
        yield running


def whole_messages(stack: Stack, core: SipPeer) -> list[bytes]:
    """One right message of each kind that we take, with a mark where each copy has something of its own."""
    mark = MARK.decode()
    own = {
        "Via": f"SIP/2.0/UDP 127.0.0.1:{core.port};branch=z9hG4bK{mark}",
        "From": f"<{AOR}>;tag={mark}",
        "Call_ID": f"{mark}@127.0.0.1",
    }
    of_register = {name: value for name, value in own.items() if name != "From"}
    contact = ("Contact", f"<sip:mutant@127.0.0.1:{core.port}>")
    asserted = ("P-Asserted-Identity", f"<{AOR}>")
    document = (
        b'<?xml version="1.0"?><reginfo xmlns="urn:ietf:params:xml:ns:reginfo" version="0" state="full"/>'
    )
    offer = (
        b"v=0\r\no=a 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
        b"m=message 2855 TCP/MSRP *\r\n"
        b"a=accept-types:*\r\na=path:msrp://127.0.0.1:2855/a;tcp\r\na=setup:active\r\n"
    )
    inside = ue_register(AOR, f"sip:mutant@127.0.0.1:{core.port}")
    psa = "sip:psa@home1.example"
    route = ("Route", isc_route(stack.sip, core))
    hosted = [
        asserted,
        route,
        ("Accept-Contact", '*;+g.oma.pusheventapp="hosted.ua"'),
        ("Content-Type", "a/b"),
    ]
    subscribe = [contact, asserted, ("Event", "ua-profile;profile-type=oma-app"), ("Expires", "600")]
    subscribe += [("Accept-Contact", '*;+g.oma.pusheventapp="mms.ua"'), ("Accept", "*/*")]
    notify = [contact, ("Event", "reg"), ("Subscription-State", "active;expires=60")]
    answer = [
        ("Via", own["Via"]),
        ("From", own["From"]),
        ("To", f"<{psa}>;tag=1"),
        ("Call-ID", own["Call_ID"]),
    ]
    return [
        register(AOR, core, headers=[("Content-Type", "message/sip")], body=inside, **of_register),
        request("MESSAGE", AOR, core.address, hosted, b"\x89PNG", **own),
        request("SUBSCRIBE", psa, core.address, subscribe, b"", **own),
        request(
            "NOTIFY",
            psa,
            core.address,
            [*notify, ("Content-Type", "application/reginfo+xml")],
            document,
            **own,
        ),
        request("INVITE", psa, core.address, [contact, ("Content-Type", "application/sdp")], offer, **own),
        request("BYE", psa, core.address, [], b"", To=f"<{psa}>;tag=x", **own),
        request("OPTIONS", psa, core.address, [("Accept", "application/sdp")], b"", **own),
        write("SIP/2.0 200 OK", [*answer, ("CSeq", "10 MESSAGE"), contact]),
    ]


def processes(stack: Stack) -> dict[int, int]:
    """Each process of Kamailio, with its private memory in KB."""
    pid = int((stack.control.parent / "kamailio.pid").read_text())
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return {one: _private_kb(one) for one in (pid, *map(int, children))}


def _private_kb(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


def answers(stack: Stack, core: SipPeer) -> None:
    """OPTIONS is answered; so what came before on this socket has been read."""
    raw = request("OPTIONS", "sip:psa@home1.example", core.address)
    assert core.ask(raw, stack.sip, deadline_s=10).status == 200


def serves(stack: Stack, core: SipPeer) -> None:
    """A REGISTER is stored, once those of the test of overload are over, and a push delivered."""
    wait_until(lambda: core.ask(register(AOR, core), stack.sip).status == 200, 20, "a REGISTER that is taken")
    assert stack.result(stack.submit("sip:whole@home1.example"), 20).state == "delivered"


def told_in_log(stack: Stack) -> str:
    log = stack.parts["sip"].log_text()
    return log[max(0, log.find("Traceback") - 200) :][:3_000] if "Traceback" in log else ""


@pytest.mark.timeout(120)
def test_by_udp_thousands_of_broken_messages_end_no_process_and_leave_no_memory_behind(target: Stack) -> None:
    with SipPeer(target.core_port) as core:
        serves(target, core)
        before, grown = processes(target), dict[int, int]()
        sent: Counter[str] = Counter()
        for number, one in enumerate(mutants(SEED, BY_UDP, whole_messages(target, core))):
            core.send(one.raw[:_LARGEST_DATAGRAM], target.sip)
            sent[one.category] += 1
            if number % _BETWEEN == 0:
                answers(target, core)
            if number == BY_UDP // 4:
                grown = processes(target)
        answers(target, core)
        after = processes(target)

        assert set(sent) == set(CATEGORIES)
        assert set(after) == set(before), "a process of Kamailio ended"
        more = {pid: after[pid] - grown[pid] for pid in after}
        assert max(more.values()) < _MORE_KB, more
        serves(target, core)
    assert not told_in_log(target)


@pytest.mark.timeout(120)
def test_under_overload_they_end_no_process_either(target: Stack) -> None:
    """What is refused then is looked at by other code, before Kamailio has looked at the message itself."""
    with SipPeer(target.core_port) as core, door_shut(target, HARDLY_ANY):
        messages = [
            one for one in whole_messages(target, core) if one.startswith((b"REGISTER", b"SUBSCRIBE"))
        ]
        response = messages[0].replace(messages[0].split(b"\r\n")[0], b"SIP/2.0 200 OK")
        before = processes(target)
        for number, one in enumerate(mutants(SEED + 2, REFUSED, [*messages, response])):
            core.send(one.raw[:_LARGEST_DATAGRAM], target.sip)
            if number % _BETWEEN == 0:
                answers(target, core)
        answers(target, core)

        assert set(processes(target)) == set(before), "a process of Kamailio ended"
        assert sum(one.status == 503 for one in core.responses) > REFUSED // 4
    assert not told_in_log(target)


@pytest.mark.timeout(120)
def test_by_tcp_a_broken_message_ends_its_connection_at_most(target: Stack) -> None:
    with SipPeer(target.core_port) as core:
        before = processes(target)
        messages = [one.replace(b"SIP/2.0/UDP", b"SIP/2.0/TCP") for one in whole_messages(target, core)]
        for number, one in enumerate(mutants(SEED + 1, BY_TCP, messages)):
            _send_by_tcp(target, one)
            if number % _BETWEEN == 0:
                answers(target, core)
        answers(target, core)

        assert set(processes(target)) == set(before), "a process of Kamailio ended"
        serves(target, core)
    assert not told_in_log(target)


def _send_by_tcp(stack: Stack, mutant: Mutant) -> None:
    with socket.create_connection(stack.sip, timeout=5) as connection:
        try:
            connection.sendall(mutant.raw)
            connection.shutdown(socket.SHUT_WR)
        except OSError:
            return  # closed on what came first, which is its right


def test_the_same_seed_gives_the_same_messages_and_another_one_others() -> None:
    messages = [request("OPTIONS", "sip:a@home1.example", ("127.0.0.1", 5060))]

    assert list(mutants(1, 200, messages)) == list(mutants(1, 200, messages))
    assert list(mutants(1, 200, messages)) != list(mutants(2, 200, messages))
    assert {one.category for one in mutants(1, 200, messages)} == set(CATEGORIES)
