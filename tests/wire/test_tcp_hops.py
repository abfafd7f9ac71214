"""Next hops that are reached over TCP or TLS, and are as far away or as busy as real ones."""

import socket
from pathlib import Path

from tests.conftest import MakeStack
from tests.fakes.sip_text import reply
from tests.harness.authority import TestCa
from tests.harness.ports import free_ports
from tests.harness.sip_stream import SipStream
from tests.harness.stack import Stack
from tests.harness.tcp_peer import TcpPeer
from tests.harness.tls_peer import TlsPeer
from tests.harness.wait import wait_until
from tests.wire.test_tls import SCSCF, speaking_tls

PARTS = ("redis", "sip", "notifier")
USERS = [f"sip:far{i}@home1.example" for i in range(150)]
CONTENT = b"x" * 400
"More than 64 KB in all, with their headers."


def all_have_left(stack: Stack, ref: str) -> None:
    def sent() -> int:
        return sum(event.name == "sent" for event in stack.known(ref).events)

    wait_until(lambda: sent() == len(USERS), 10, lambda: f"all sent, but {sent()}")


def all_arrive_at_once(stack: Stack, ref: str) -> None:
    results = stack.finished(ref, deadline_s=20).results
    assert {(result.state, result.attempts) for result in results} == {("delivered", 1)}


def test_pushes_that_come_while_a_connection_is_opened_go_over_it(make_stack: MakeStack) -> None:
    """That takes as long as a packet there and back; on one machine it takes no time."""
    with TcpPeer(accepts=False) as far:
        core = {"next_hop": f"sip:127.0.0.1:{far.port};transport=tcp;lr"}
        stack = make_stack({"core": core, "sip": {"window": len(USERS)}}, PARTS)
        ref = stack.submit(USERS, CONTENT)
        all_have_left(stack, ref)
        assert far.received == []
        far.accept()

        all_arrive_at_once(stack, ref)
        assert len(far.received) == len(USERS)


def test_pushes_that_come_during_a_tls_handshake_go_over_its_connection(
    make_stack: MakeStack, tmp_path: Path
) -> None:
    ca = TestCa(tmp_path / "ca")
    udp_port, tls_port = free_ports(2)
    with TlsPeer(ca.issue(SCSCF), ca.certificate) as far:
        far.greets.clear()
        settings = speaking_tls(
            ca.issue("psa.home1.example"), ca.certificate, udp_port, tls_port, far.address[1]
        )
        sip = {**settings["sip"], "window": len(USERS)}
        stack = Stack(tmp_path / "secured", {**settings, "sip": sip}, PARTS)
        stack.sip = ("127.0.0.1", udp_port)
        with stack:
            ref = stack.submit(USERS, CONTENT)
            all_have_left(stack, ref)
            assert far.received == []
            far.greets.set()

            all_arrive_at_once(stack, ref)
            assert len(far.received) == len(USERS)


def test_what_was_on_a_connection_that_breaks_is_sent_again_when_its_transaction_has_ended(
    make_stack: MakeStack,
) -> None:
    def serve(connection: socket.socket) -> None:
        message = SipStream(connection).next()
        if message is None or not message.is_request:
            return
        far.received.append(message)
        if len(far.received) > 1:
            connection.sendall(reply(message, 200, "OK", (), "peer"))
            SipStream(connection).next()
        connection.close()

    with TcpPeer(serve=serve) as far:
        core = {"next_hop": f"sip:127.0.0.1:{far.port};transport=tcp;lr"}
        again = {"retry": {"attempts": 5, "first_s": 0.05, "longest_s": 0.1}}
        settings = {"core": core, "delivery": {"transaction_s": 9}, 'application."mms.ua"': again}
        stack = make_stack(settings, PARTS)
        result = stack.result(stack.submit("sip:broken@home1.example"), deadline_s=20)

        assert (result.state, result.attempts, len(far.received)) == ("delivered", 2, 2)


def test_an_answer_that_comes_over_another_connection_than_the_request_counts(make_stack: MakeStack) -> None:
    """
    RFC 3261 18.2.2: who has to answer and finds the connection closed opens one.

    So a connection that is over does not mean that its requests have failed, and none is sent again for that.
    """

    def serve(connection: socket.socket) -> None:
        message = SipStream(connection).next()
        if message is None or not message.is_request:
            return
        far.received.append(message)
        connection.close()
        with socket.create_connection(stack.sip) as back:
            back.sendall(reply(message, 200, "OK", (), "peer"))
            SipStream(back).next()

    with TcpPeer(serve=serve) as far:
        core = {"next_hop": f"sip:127.0.0.1:{far.port};transport=tcp;lr"}
        stack = make_stack({"core": core}, PARTS)
        result = stack.result(stack.submit("sip:elsewhere@home1.example"))

        assert (result.state, result.attempts, len(far.received)) == ("delivered", 1, 1)
