"""A DNS server of a test's own, and Kamailio that asks it: in a mount namespace with another resolv.conf."""

import os
import secrets
import socket
import struct
import subprocess
import threading
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.harness.processes import Process
from tests.harness.stack import Settings, Stack

PORT: Final = 53
_A: Final = 1
_RESPONSE: Final = 0x8400
_NO_SUCH_NAME: Final = 3
_HEADER: Final = 12


def is_possible() -> bool:
    """Tell whether this user may give a process another resolv.conf."""
    if os.geteuid() != 0:
        return False
    try:
        return subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


class NameServer:
    """A context manager that answers with the addresses of `names`, to be kept for `ttl_s`."""

    def __init__(self, names: Mapping[str, str], *, ttl_s: int) -> None:
        self.names = dict(names)
        self.asked: Counter[str] = Counter()
        "How often each name was asked for."
        self._ttl_s = ttl_s
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        # One of its own, so that runs beside each other do not meet.
        self.host = f"127.53.{secrets.randbelow(256)}.{1 + secrets.randbelow(254)}"
        self._socket.bind((self.host, PORT))
        self._socket.settimeout(0.1)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()
        self._socket.close()

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                question, source = self._socket.recvfrom(4_096)
            except TimeoutError:
                continue
            self._socket.sendto(self._answer(question), source)

    def _answer(self, question: bytes) -> bytes:
        """RFC 1035 4.1: the question again, and one address behind it."""
        labels, at = [], _HEADER
        while length := question[at]:
            labels.append(question[at + 1 : at + 1 + length].decode())
            at += 1 + length
        (kind,) = struct.unpack_from(">H", question, at + 1)
        name = ".".join(labels).lower()
        self.asked[name] += 1
        address = self.names.get(name) if kind == _A else None
        flags = _RESPONSE | (0 if name in self.names else _NO_SUCH_NAME)
        record = b""
        if address is not None:
            record = struct.pack(">HHHIH", 0xC00C, _A, 1, self._ttl_s, 4) + socket.inet_aton(address)
        head = question[:2] + struct.pack(">HHHHH", flags, 1, bool(record), 0, 0)
        return head + question[_HEADER : at + 5] + record


class StackThatAsks(Stack):
    """A stack whose Kamailio has a name server of its own."""

    def __init__(self, folder: Path, settings: Settings, parts: tuple[str, ...], server: NameServer) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._resolver = folder / "resolv.conf"
        self._resolver.write_text(f"nameserver {server.host}\n")
        super().__init__(folder, settings, parts)

    def _process(self, part: str) -> Process:
        process = super()._process(part)
        if part == "sip":
            mounted = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'
            process.argv[:0] = ["unshare", "-m", "sh", "-c", mounted, str(self._resolver)]
        return process
