"""Requests of ours above 1,300 bytes leave by TCP (RFC 3261 18.1.1)."""

from __future__ import annotations

import socket
import threading

from tests.fakes.sip_text import SipText, reply
from tests.harness.sip_peer import SipPeer
from tests.harness.stack import Stack
from tests.harness.subscriber import Subscriber, wants


class TcpSide(threading.Thread):
    """Answers the one request that comes to the next hop's port; others only look whether it listens."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._listener = socket.create_server(("127.0.0.1", port))
        self._listener.settimeout(10)
        self.request: SipText | None = None

    def run(self) -> None:
        with self._listener:
            while self.request is None:
                connection, _ = self._listener.accept()
                with connection:
                    connection.settimeout(10)
                    self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        raw = b""
        while (request := _whole(raw)) is None:
            if not (more := connection.recv(65_536)):
                return
            raw += more
        self.request = request
        connection.sendall(reply(request, 200, "OK", (), "peer"))


def _whole(raw: bytes) -> SipText | None:
    _, end, body = raw.partition(b"\r\n\r\n")
    if not end:
        return None
    request = SipText.parse(raw)
    return request if len(body) >= int(request.header("Content-Length")) else None


def test_a_large_notify_goes_by_tcp_and_a_small_one_as_its_contact_says(stack: Stack, core: SipPeer) -> None:
    device = Subscriber(stack, core)
    device.begin(**wants("mms.ua"))
    device.notifies(1)
    device.settle()
    tcp = TcpSide(core.port)
    tcp.start()

    small = stack.result(stack.submit(device.aor, b"s" * 300))
    large = stack.result(stack.submit(device.aor, b"l" * 5_000))

    assert (small.state, large.state, large.method) == ("delivered", "delivered", "NOTIFY")
    assert tcp.request is not None
    assert tcp.request.body == b"l" * 5_000
    assert tcp.request.header("Via").startswith("SIP/2.0/TCP")
    assert [one.body for one in device.notifies(2)] == [b"", b"s" * 300]
