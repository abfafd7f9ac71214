"""A capture server for HEP3, which shares nothing with our encoder: it reads chunk by chunk and keeps all."""

import ipaddress
import socket
import struct
import threading
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from tests.harness.wait import wait_until


@dataclass(frozen=True)
class HepPacket:
    """What one packet says."""

    source: tuple[str, int]
    destination: tuple[str, int]
    protocol: int
    "IP protocol number."
    at_us: int
    kind: int
    agent: int
    payload: bytes
    correlation: str
    key: str


def decode(data: bytes) -> HepPacket:
    """Read a packet; an AssertionError says what is wrong with it."""
    assert data[:4] == b"HEP3"
    assert int.from_bytes(data[4:6], "big") == len(data)
    chunks: dict[int, bytes] = {}
    at = 6
    while at < len(data):
        vendor, kind, length = struct.unpack_from(">HHH", data, at)
        assert vendor == 0
        assert 6 <= length <= len(data) - at
        assert kind not in chunks
        chunks[kind] = data[at + 6 : at + length]
        at += length
    addresses = {2: (3, 4), 10: (5, 6)}[chunks[1][0]]
    for chunk, size in ((1, 1), (2, 1), (7, 2), (8, 2), (9, 4), (10, 4), (11, 1), (12, 4)):
        assert len(chunks[chunk]) == size, chunk
    number = {chunk: int.from_bytes(value, "big") for chunk, value in chunks.items()}
    source, destination = (str(ipaddress.ip_address(chunks[chunk])) for chunk in addresses)
    return HepPacket(
        (source, number[7]),
        (destination, number[8]),
        number[2],
        number[9] * 1_000_000 + number[10],
        number[11],
        number[12],
        chunks[15],
        chunks[17].decode(),
        chunks.get(14, b"").decode(),
    )


class HepServer:
    """A context manager that listens on a free loopback port."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(0.1)
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._received: list[bytes] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()
        self._socket.close()

    @property
    def packets(self) -> list[HepPacket]:
        """All that came so far."""
        return [decode(data) for data in list(self._received)]

    def of(self, correlation: str) -> list[HepPacket]:
        """Those of one delivery."""
        return [packet for packet in self.packets if packet.correlation == correlation]

    def wait_for(self, correlation: str, number: int, deadline_s: float = 10.0) -> list[HepPacket]:
        """The same, once there are so many."""
        wait_until(
            lambda: len(self.of(correlation)) >= number,
            deadline_s,
            lambda: f"{number} HEP packets of {correlation}: {self.packets}",
        )
        return self.of(correlation)

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                self._received.append(self._socket.recv(65_535))
            except TimeoutError:
                continue
