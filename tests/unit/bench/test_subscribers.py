"""The bench's subscribers count each dialog once, however often a message is repeated."""

import socket
import threading
from collections.abc import Iterator

import pytest

from bench.subscribers import KINDS, Subscribers
from tests.harness.ports import free_ports

NUMBER = 3


class Server:
    """Answers SUBSCRIBEs, and notifies as told."""

    def __init__(self, port: int) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", port))
        self.socket.settimeout(5)
        self.asked: list[bytes] = []
        self.answers: list[bytes] = []
        self.peer = ("", 0)

    def accept(self) -> None:
        """Take one SUBSCRIBE of each dialog; the NOTIFY overtakes the 200, and comes twice."""
        for number in range(NUMBER):
            request, self.peer = self.socket.recvfrom(65_535)
            self.asked.append(request)
            self.notify(number, 1)
            self.notify(number, 1)
            self.socket.sendto(b"SIP/2.0 200 OK\r\nCall-ID: %d@subscribers\r\n\r\n" % number, self.peer)

    def notify(self, number: int, cseq: int) -> None:
        """Send a NOTIFY and keep the answer."""
        self.socket.sendto(
            b"NOTIFY sip:a SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=%d\r\nFrom: b\r\nTo: c\r\n"
            b"Call-ID: %d@subscribers\r\nCSeq: %d NOTIFY\r\nContent-Length: 0\r\n\r\n" % (cseq, number, cseq),
            self.peer,
        )
        while not (message := self.socket.recv(65_535)).startswith(b"SIP/2.0 200"):
            self.asked.append(message)
        self.answers.append(message)


@pytest.fixture
def server() -> Iterator[Server]:
    ports = free_ports(2)
    made = Server(ports[0])
    with made.socket:
        yield made


def test_dialogs_stand_when_answer_and_notify_are_there_and_are_told_once_each(server: Server) -> None:
    [own] = free_ports(1)
    subscribers = Subscribers(KINDS["application"], server.socket.getsockname()[1], own, NUMBER)
    running = threading.Thread(target=subscribers.subscribe)
    running.start()
    server.accept()
    running.join(5)
    assert not running.is_alive()

    told: list[tuple[float, float]] = []
    listening = threading.Thread(target=lambda: told.append(subscribers.listen()))
    listening.start()
    server.notify(0, 1)
    for _ in range(NUMBER):
        server.notify(0, 2)
    server.notify(1, 2)
    assert told == []
    server.notify(2, 2)
    listening.join(5)

    [(first, last)] = told
    assert first <= last
    assert b"CSeq: 2 NOTIFY" in server.answers[-1]
