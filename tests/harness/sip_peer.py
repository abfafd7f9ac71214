"""One UDP socket that plays S-CSCF and handset: it keeps all that comes and answers requests as told."""

import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from tests.fakes.sip_text import NotSip, SipText, reply
from tests.harness.wait import wait_until

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Says:
    """A final answer."""

    code: int
    phrase: str = "Said"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    to_tag: str = "peer"


OK = Says(200, "OK")
_SO_FAR = b"read so far"
"A datagram to oneself: those before it have been read when it is."
Policy = Callable[[SipText], Says | None]
"What to answer to a request; None: nothing."


class SipPeer:
    """A context manager; answers 200 to every request until `policy` says otherwise."""

    def __init__(self, port: int = 0, *, host: str = "127.0.0.1", policy: Policy = lambda _: OK) -> None:
        self.policy = policy
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_000_000)
        self._socket.bind((host, port))
        self._socket.settimeout(0.1)
        self.address: Address = self._socket.getsockname()[:2]
        self._received: list[SipText] = []
        self._forgotten: set[tuple[str, str]] = set()
        self._caught_up = threading.Semaphore(0)
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
    def port(self) -> int:
        return self.address[1]

    @property
    def requests(self) -> list[SipText]:
        """Requests so far, each transaction once, in order of arrival."""
        first: dict[tuple[str, str], SipText] = {}
        for message in list(self._received):
            if message.is_request:
                first.setdefault((message.branch, message.method), message)
        return [message for key, message in first.items() if key not in self._forgotten]

    def repeated(self, method: str, aor: str) -> int:
        """How many requests of a method came with `aor` in To, repetitions included."""
        came = [one for one in list(self._received) if one.is_request and one.method == method]
        return sum(aor in one.header("To") for one in came)

    def forget(self) -> None:
        """Begin anew: neither what came so far is shown any more, nor what is repeated of it from now on."""
        came = list(self._received)
        self._forgotten |= {(message.branch, message.method) for message in came if message.is_request}
        del self._received[: len(came)]

    @property
    def arrived(self) -> int:
        """How many messages came so far, repetitions included; cheap enough to ask under load."""
        return len(self._received)

    @property
    def responses(self) -> list[SipText]:
        """Responses so far."""
        return [message for message in list(self._received) if not message.is_request]

    def pushes(self, aor: str) -> list[SipText]:
        """Requests for one public identity."""
        return [request for request in self.requests if request.start_line.split()[1] == aor]

    def wait_for_push(self, aor: str, count: int = 1, deadline_s: float = 10.0) -> list[SipText]:
        """The same, once there are so many."""
        wait_until(lambda: len(self.pushes(aor)) >= count, deadline_s, lambda: f"{count} requests to {aor}")
        return self.pushes(aor)

    def ask(self, raw: bytes, to: Address, deadline_s: float = 5.0) -> SipText:
        """Send a request and return its final response."""
        call_id = SipText.parse(raw).header("Call-ID")
        known = len(self.responses)
        self.send(raw, to)

        def final() -> list[SipText]:
            return [
                one
                for one in self.responses[known:]
                if one.status >= 200 and one.header("Call-ID") == call_id
            ]

        wait_until(lambda: bool(final()), deadline_s, lambda: f"final response to {raw!r}")
        return final()[0]

    def catch_up(self, deadline_s: float = 10.0) -> None:
        """Return when all that had come is read, as it may not be when who sent it is dead."""
        self._socket.sendto(_SO_FAR, self.address)
        if not self._caught_up.acquire(timeout=deadline_s):
            raise TimeoutError(f"after {deadline_s} s still not read what had come")

    def send(self, raw: bytes, to: Address) -> None:
        """Send any bytes."""
        self._socket.sendto(raw, to)

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                raw, source = self._socket.recvfrom(65_535)
                if raw == _SO_FAR:
                    self._caught_up.release()
                    continue
                message = SipText.parse(raw)
            except (TimeoutError, NotSip):
                continue
            self._received.append(message)
            says = self.policy(message) if message.is_request and message.method != "ACK" else None
            if says is not None:
                answer = reply(message, says.code, says.phrase, says.headers.items(), says.to_tag, says.body)
                self._socket.sendto(answer, source)
