"""Sockets that accept connections let in who belongs to the trust domain."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
import structlog
from tcp_door import keep_out, listening_at, refuse_waiting

from tests.harness.wait import wait_until

OWN, STRANGER = "127.0.0.1", "127.0.0.2"


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server((OWN, 0)) as one:
        yield one


def port_of(one: socket.socket) -> int:
    return int(one.getsockname()[1])


def begun(listening: socket.socket, address: str) -> socket.socket:
    one = socket.socket()
    one.bind((address, 0))
    one.setblocking(False)
    one.connect_ex(listening.getsockname())
    return one


def accepted(listening: socket.socket) -> set[str]:
    """From where connections wait, once one from this machine itself does."""
    with begun(listening, OWN):
        found: set[str] = set()
        while OWN not in found:
            connection, (address, _) = listening.accept()
            connection.close()
            found.add(address)
        return found


def test_who_is_outside_gets_no_connection(listening: socket.socket) -> None:
    assert keep_out(listening, ("192.0.2.0/24",))

    with begun(listening, STRANGER):
        assert accepted(listening) == {OWN}


def test_who_is_inside_gets_one_also_after_a_change(listening: socket.socket) -> None:
    assert keep_out(listening, ("192.0.2.0/24",))
    assert keep_out(listening, ("192.0.2.0/24", f"{STRANGER}/32"))

    with begun(listening, STRANGER), begun(listening, "127.0.0.3"):
        assert accepted(listening) == {STRANGER, OWN}


def test_who_connected_before_is_refused(listening: socket.socket) -> None:
    with begun(listening, STRANGER) as early:
        assert keep_out(listening, ())
        refuse_waiting(listening)

        def is_refused() -> bool:
            try:
                return early.recv(1) == b""
            except BlockingIOError:
                return False
            except OSError:
                return True

        wait_until(is_refused, 5, "end of the connection")
        listening.setblocking(True)
        assert accepted(listening) == {OWN}


def test_sockets_are_found_by_port_and_those_of_tls_are_left_alone(listening: socket.socket) -> None:
    with socket.create_server((OWN, 0)) as of_tls, socket.create_connection(listening.getsockname()):
        found = listening_at(frozenset({port_of(listening)}))

        assert [one.getsockname() for one in found] == [listening.getsockname()]
        assert port_of(of_tls) != port_of(listening)
        for one in found:
            one.close()


def test_a_filter_that_the_kernel_does_not_take_is_told_in_the_log(listening: socket.socket) -> None:
    networks = tuple(f"2001:db8:{n:x}::/128" for n in range(1_000))
    with structlog.testing.capture_logs() as lines:
        assert not keep_out(listening, networks)

    assert [line["event"] for line in lines] == ["tcp_not_guarded"]
