"""Next hops that are known by name, and what DNS says about them."""

import socket
from pathlib import Path

import pytest

from tests.fakes.sip_text import SipText
from tests.harness.name_server import NameServer, StackThatAsks, is_possible
from tests.harness.sip_peer import OK, SipPeer
from tests.harness.stack import Settings, Stack
from tests.harness.subscriber import Subscriber, wants
from tests.harness.tcp_peer import TcpPeer
from tests.harness.wait import wait_until
from tests.wire.requests import register

NAME = "scscf.home1.example"
USERS = [f"sip:named{i}@home1.example" for i in range(200)]

pytestmark = pytest.mark.skipif(not is_possible(), reason="only root may give Kamailio another resolv.conf")


def test_a_name_that_dns_lets_nobody_keep_is_not_looked_up_for_each_push(tmp_path: Path) -> None:
    """A sender sends nothing while it looks a name up, and some registries of services say 0."""
    with SipPeer() as core, NameServer({NAME: "127.0.0.1"}, ttl_s=0) as server:
        settings = {"core": {"next_hop": f"sip:{NAME}:{core.port};lr"}}
        with StackThatAsks(tmp_path / "stack", settings, ("redis", "sip"), server) as stack:
            results = stack.finished(stack.submit(USERS), deadline_s=30).results

            assert {result.state for result in results} == {"delivered"}
            assert 0 < server.asked[NAME] < len(USERS) / 4


def test_a_dead_zone_holds_up_no_push_to_others_and_its_pushes_wait_without_a_try(tmp_path: Path) -> None:
    """DNS that says nothing is asked by a process that sends nothing."""
    dead = [f"dead{n}.example" for n in range(20)]
    with SipPeer() as core, NameServer({NAME: "127.0.0.1"}, ttl_s=60) as server:
        server.silent = lambda name: name.endswith(".example") and not name.endswith("home1.example")
        settings = {"core": {"next_hop": f"sip:{NAME}:{core.port};lr"}}
        with StackThatAsks(tmp_path / "stack", settings, ("redis", "sip"), server) as stack:
            for name in dead:
                registers_at(stack, core, f"sip:at.{name}@home1.example", f"{name}:{core.port}")
            waits = [stack.submit(f"sip:at.{name}@home1.example") for name in dead]
            wait_until(lambda: all(server.asked[name] for name in dead), 10, "all names are looked up")
            passes = stack.submit("sip:passes@home1.example")
            result = stack.result(passes, deadline_s=5)
            assert result.state == "delivered"
            accepted, done = (stack.known(passes).events[at].at_ms for at in (0, -1))
            assert done - accepted < 1_000  # DNS is silent for longer, by far

            log = stack.parts["sip"].log_text
            wait_until(
                lambda: log().count("event=dns_silent") == len(dead), 20, "all look-ups without answer"
            )
            server.names |= dict.fromkeys(dead, "127.0.0.1")
            server.silent = lambda _: False
            results = [stack.result(ref, deadline_s=30) for ref in waits]
            assert {(result.state, result.attempts) for result in results} == {("delivered", 1)}
            assert log().count("event=next_hop_found") == len(dead)


def test_a_subscriber_is_told_when_dns_knows_the_name_of_its_s_cscf(tmp_path: Path) -> None:
    """Its NOTIFY could not be sent, and was forgotten; so was the one that told the end of a subscription."""
    late = "late.example"
    with SipPeer() as core, NameServer({NAME: "127.0.0.1"}, ttl_s=60) as server:
        server.silent = lambda name: name.endswith(late)
        settings = {"core": {"next_hop": f"sip:{NAME}:{core.port};lr"}}
        with StackThatAsks(tmp_path / "stack", settings, ("redis", "sip"), server) as stack:
            stays, goes = Subscriber(stack, core), Subscriber(stack, core)
            for device in (stays, goes):
                device.begin(**wants("mms.ua"), **{"Record-Route": f"<sip:{late}:{core.port};lr>"})
            assert goes.ask(**wants("mms.ua"), expires="0").status == 200
            sip = stack.parts["sip"]
            wait_until(lambda: "event=dns_silent" in sip.log_text(), 20, "a look-up without answer")
            server.names[late] = "127.0.0.1"
            server.silent = lambda _: False

            for device, state in ((stays, "active"), (goes, "terminated")):
                [told] = device.notifies(1, deadline_s=30)
                assert told.header("Subscription-State").startswith(state)
                assert told.header("CSeq") == "1 NOTIFY"


def test_an_address_is_used_on_while_dns_is_silent(tmp_path: Path) -> None:
    with SipPeer() as core, NameServer({NAME: "127.0.0.1"}, ttl_s=0) as server:
        settings = {"core": {"next_hop": f"sip:{NAME}:{core.port};lr"}}
        with StackThatAsks(tmp_path / "stack", settings, ("redis", "sip"), server) as stack:
            assert stack.result(stack.submit("sip:before@home1.example")).state == "delivered"
            server.silent = lambda _: True
            sip = stack.parts["sip"]
            wait_until(lambda: "event=dns_silent" in sip.log_text(), 20, "a look-up without answer")

            assert stack.result(stack.submit("sip:after@home1.example")).attempts == 1


def test_servers_are_taken_as_srv_records_say_and_the_transport_as_naptr_says(tmp_path: Path) -> None:
    with SipPeer() as udp, TcpPeer() as first, TcpPeer() as second:
        names = {
            "core.example": ['NAPTR 10 10 s SIP+D2T "" _sip._tcp.core.example.', "A 127.0.0.9"],
            "_sip._tcp.core.example": [
                f"SRV 20 0 {second.port} b.core.example.",
                f"SRV 10 0 {first.port} a.core.example.",
            ],
            "_sip._udp.core.example": [f"SRV 10 0 {udp.port} a.core.example."],
            "a.core.example": "127.0.0.1",
            "b.core.example": "127.0.0.1",
        }
        with NameServer(names, ttl_s=60) as server:
            settings = {"core": {"next_hop": "sip:core.example;lr"}}
            with StackThatAsks(tmp_path / "stack", settings, ("redis", "sip"), server) as stack:
                results = stack.finished(stack.submit(USERS), deadline_s=30).results

    assert {(result.state, result.attempts) for result in results} == {("delivered", 1)}
    assert (len(udp.requests), len(first.received), len(second.received)) == (0, len(USERS), 0)
    assert {message.header("Route") for message in first.received} == {"<sip:core.example;lr>"}


def test_a_server_that_refuses_tcp_connections_is_passed_over_within_the_same_try(tmp_path: Path) -> None:
    with TcpPeer() as works, socket.create_server(("127.0.0.2", works.port)) as closed:
        closed.close()
        with NameServer({NAME: ["A 127.0.0.2", "A 127.0.0.1"]}, ttl_s=60) as server:
            settings = {"core": {"next_hop": f"sip:{NAME}:{works.port};transport=tcp;lr"}}
            with StackThatAsks(tmp_path / "stack", settings, ("redis", "sip"), server) as stack:
                results = stack.finished(stack.submit(USERS), deadline_s=30).results

    assert {(result.state, result.attempts) for result in results} == {("delivered", 1)}


@pytest.mark.timeout(120)
def test_a_server_that_is_silent_is_left_alone_until_it_answers_again(tmp_path: Path) -> None:
    """It is asked by OPTIONS, not by pushes, and no push is sent elsewhere before its time is over."""
    with SipPeer() as works, SipPeer(works.port, host="127.0.0.2", policy=lambda _: None) as silent:
        names = {
            f"_sip._udp.{NAME}": [f"SRV {n} 0 {works.port} {host}.{NAME}." for n, host in enumerate("ab")],
            f"a.{NAME}": "127.0.0.2",
            f"b.{NAME}": "127.0.0.1",
        }
        with NameServer(names, ttl_s=3_600) as server:
            settings: Settings = {
                'application."mms.ua"': {"retry": {"attempts": 5, "first_s": 0.05, "longest_s": 0.1}},
                "delivery": {"transaction_s": 14},
                "core": {"next_hop": f"sip:{NAME};lr"},
            }
            with StackThatAsks(tmp_path / "stack", settings, ("redis", "sip"), server) as stack:
                first = [stack.submit(user) for user in USERS[:32]]
                wait_until(
                    lambda: len(messages(silent)) == len(first), 10, "all are sent to the first server"
                )
                # Nobody answers there for some seconds: what comes then goes to the other one at once.
                wait_until(
                    lambda: stack.result(stack.submit(USERS[50])).sip_code == 200 and bool(messages(works)),
                    10,
                    "the other server is taken",
                )
                assert {stack.result(ref, deadline_s=30).attempts for ref in first} == {2}
                assert len(messages(silent)) <= len(first) + 2
                wait_until(lambda: bool(asked(silent)), 20, "it is asked whether it is back")
                known = len(messages(silent))
                results = stack.finished(stack.submit(USERS), deadline_s=20).results
                assert {(result.state, result.attempts) for result in results} == {("delivered", 1)}
                assert len(messages(silent)) == known

                silent.policy = lambda _: OK
                wait_until(
                    lambda: (
                        stack.result(stack.submit(USERS[51])).sip_code == 200
                        and len(messages(silent)) > known
                    ),
                    20,
                    "the first server is taken again",
                )


def messages(peer: SipPeer) -> list[SipText]:
    return [one for one in peer.requests if one.method == "MESSAGE"]


def asked(peer: SipPeer) -> list[SipText]:
    return [one for one in peer.requests if one.method == "OPTIONS"]


def registers_at(stack: Stack, core: SipPeer, aor: str, place: str) -> None:
    at_core = f"Contact: <sip:127.0.0.1:{core.port}>".encode()
    there = register(aor, core).replace(at_core, f"Contact: <sip:{place}>".encode())
    assert core.ask(there, stack.sip).status == 200
