"""Next hops that are reached over TCP or TLS, and are as far away or as busy as real ones."""

from pathlib import Path

from tests.conftest import MakeStack
from tests.harness.authority import TestCa
from tests.harness.ports import free_ports
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
