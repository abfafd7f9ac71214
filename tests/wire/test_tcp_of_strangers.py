"""Who is outside the trust domain cannot send a byte by TCP: some bytes would end Kamailio."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import httpx
import pytest
from typer.testing import CliRunner

from omapush.cli.main import app
from tests.harness.sip_peer import SipPeer
from tests.harness.stack import Stack
from tests.harness.wait import wait_until
from tests.wire.requests import register, request
from tests.wire.test_mutations import answers, processes

STRANGER = "127.0.0.2"
NO_TRANSACTION_ID = b"MSRP abcdefghi\r\nXXXXXXXXX: y\r\n-------abcdefghijk$\r\n"
"What Kamailio takes for an MSRP message: it looks for the space after the id, and finds none."


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("strangers"), parts=("redis", "sip")) as running:
        yield running


def connecting(stack: Stack, address: str) -> socket.socket:
    """A socket that has begun to connect from an address."""
    one = socket.socket()
    one.bind((address, 0))
    one.setblocking(False)
    one.connect_ex(stack.sip)
    return one


def is_connected(one: socket.socket) -> bool:
    try:
        one.getpeername()
    except OSError:
        return False
    return True


def options_by_tcp(stack: Stack, address: str) -> bytes:
    """The answer to OPTIONS by a connection from an address."""
    with socket.create_connection(stack.sip, 10, source_address=(address, 0)) as connection:
        raw = request("OPTIONS", "sip:psa@home1.example", connection.getsockname())
        connection.sendall(raw.replace(b"SIP/2.0/UDP", b"SIP/2.0/TCP"))
        return connection.recv(65_536)


def test_a_stranger_does_not_get_a_connection_and_a_trusted_peer_does(stack: Stack) -> None:
    before = processes(stack)
    with connecting(stack, STRANGER) as stranger, SipPeer(stack.core_port) as core:
        assert options_by_tcp(stack, "127.0.0.1").startswith(b"SIP/2.0 200")
        if is_connected(stranger):
            stranger.sendall(NO_TRANSACTION_ID)
        answers(stack, core)
        assert set(processes(stack)) == set(before), "a process of Kamailio ended"
        assert not is_connected(stranger)


def test_by_udp_a_stranger_is_refused_as_before(stack: Stack) -> None:
    with SipPeer(host=STRANGER) as stranger:
        assert stranger.ask(register("sip:a@home1.example", stranger), stack.sip).status == 403


def test_who_is_trusted_since_a_reload_gets_a_connection_and_who_is_no_more_gets_none(stack: Stack) -> None:
    text = stack.config_file.read_text()
    networks = json.dumps([f"{STRANGER}/32"])
    stack.config_file.write_text(
        text.replace('trusted_peers = ["127.0.0.1/32"]', f"trusted_peers = {networks}")
    )
    assert CliRunner().invoke(app, ["--config", str(stack.config_file), "reload"]).exit_code == 0

    def answered() -> bool:
        with connecting(stack, STRANGER) as one:
            return is_connected(one)

    wait_until(answered, 10, "a connection")
    assert options_by_tcp(stack, STRANGER).startswith(b"SIP/2.0 200")
    with connecting(stack, "127.0.0.3") as other:
        assert options_by_tcp(stack, STRANGER).startswith(b"SIP/2.0 200")
        assert not is_connected(other)
    with httpx.Client(transport=httpx.HTTPTransport(local_address=STRANGER)) as trusted:
        url = f"http://{stack.sip[0]}:{stack.sip[1]}"
        assert trusted.get(f"{url}/metrics").status_code == 200
        assert trusted.get(f"{url}/processes").status_code == 404  # for this machine alone
