"""Several processes store REGISTERs: each user's by one of them, and in their order."""

import secrets
import socket
from collections.abc import Iterator

import pytest

from tests.harness.sip_peer import SipPeer
from tests.harness.stack import Stack
from tests.wire.requests import register

pytestmark = pytest.mark.req("PSA-REG-1")

AORS = [f"sip:ordered{number}@home1.example" for number in range(16)]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    settings = {"sip": {"capturers": 3}}
    with Stack(tmp_path_factory.mktemp("capturers"), settings, ("redis", "sip")) as running:
        yield running


def test_all_registers_of_a_user_are_stored_in_their_order(stack: Stack, core: SipPeer) -> None:
    """They come in one connection, which has one order, and none waits for the answer to the one before."""
    requests = [
        register(
            aor, core, expires=expires, Via=f"SIP/2.0/TCP 127.0.0.1;branch=z9hG4bK{secrets.token_hex(8)}"
        )
        for expires in ("600", "0", "700", "0", "800")
        for aor in AORS
    ]
    with socket.create_connection(stack.sip, timeout=10) as connection:
        connection.sendall(b"".join(requests))
        answers = b""
        while answers.count(b"SIP/2.0 ") < len(requests) or not answers.endswith(b"\r\n\r\n"):
            answers += connection.recv(65_536)

    assert answers.count(b"SIP/2.0 200 OK") == len(requests)
    for aor in AORS:
        record = stack.registration(aor)
        assert record is not None
        assert (record.expires_ms - record.at_ms, record.said_gone_ms) == (800_000, 0)


def test_no_user_is_left_to_a_process_that_is_not_there(stack: Stack, core: SipPeer) -> None:
    """With a Route of ours Python queues a REGISTER, without one Kamailio: both know the same queues."""
    own_route = [("Route", f"<sip:127.0.0.1:{stack.sip[1]};lr>")]
    for headers in ([], own_route):
        requests = [register(aor, core, headers=headers) for aor in AORS]
        assert {core.ask(each, stack.sip).status for each in requests} == {200}
