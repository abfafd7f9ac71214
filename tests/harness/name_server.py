"""A DNS server of a test's own, and Kamailio that asks it: in a mount namespace with another resolv.conf."""

import os
import secrets
import socket
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

from tests.harness.processes import Process
from tests.harness.stack import Settings, Stack

PORT: Final = 53


def is_possible() -> bool:
    """Tell whether this user may give a process another resolv.conf."""
    if os.geteuid() != 0:
        return False
    try:
        return subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


class NameServer:
    """
    A context manager that answers with what is in `names`, to be kept for `ttl_s`.

    `names`: an address, or lines such as `SRV 10 0 5060 a.example.`, by name. It may be changed at any time.
    """

    def __init__(self, names: Mapping[str, str | Sequence[str]], *, ttl_s: int) -> None:
        self.names = dict(names)
        self.asked: Counter[str] = Counter()
        "How often each name was asked for."
        self.silent: Callable[[str], bool] = lambda _name: False
        "About which names nothing is said."
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
            if (answer := self._answer(question)) is not None:
                self._socket.sendto(answer, source)

    def _answer(self, raw: bytes) -> bytes | None:
        query = dns.message.from_wire(raw)
        (question,) = query.question
        name = question.name.to_text(omit_final_dot=True).lower()
        self.asked[name] += 1
        if self.silent(name):
            return None
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.AA
        if name not in self.names:
            answer.set_rcode(dns.rcode.NXDOMAIN)
            return answer.to_wire()
        known = self.names[name]
        lines = [line.partition(" ") for line in ([f"A {known}"] if isinstance(known, str) else known)]
        kind = dns.rdatatype.to_text(question.rdtype)
        if records := [data for one, _, data in lines if one == kind]:
            answer.answer.append(dns.rrset.from_text(question.name, self._ttl_s, "IN", kind, *records))
        return answer.to_wire()


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
