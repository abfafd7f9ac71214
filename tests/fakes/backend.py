"""The back end of a hosted application: an HTTP server on a free loopback port that keeps what is posted."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

from tests.harness.wait import wait_until


@dataclass(frozen=True, slots=True)
class Posted:
    """One POST; header names in lower case."""

    headers: Mapping[str, str]
    body: bytes

    def of(self, name: str) -> str:
        """A header, empty when it is not there."""
        return self.headers.get(name.lower(), "")


@dataclass(frozen=True, slots=True)
class Status:
    """What it answers."""

    code: int
    retry_after: str = ""


Policy = Callable[[Posted], Status]


class Backend:
    """A context manager; answers 204 to each push until `policy` says otherwise."""

    def __init__(self, port: int = 0) -> None:
        self.policy: Policy = lambda _: Status(204)
        self._posted: list[Posted] = []
        backend = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                posted = Posted({name.lower(): value for name, value in self.headers.items()}, body)
                backend._posted.append(posted)
                said = backend.policy(posted)
                self.send_response(said.code)
                if said.retry_after:
                    self.send_header("Retry-After", said.retry_after)
                if said.code != 204:
                    self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Stay quiet: what came is in `posted`."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=10)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/push"

    def posted(self, recipient: str) -> list[Posted]:
        """What came for one recipient, in order of arrival."""
        return [one for one in list(self._posted) if one.of("X-Push-Recipient") == recipient]

    def wait_for(self, recipient: str, count: int = 1, deadline_s: float = 10.0) -> list[Posted]:
        """The same, once there are so many."""
        wait_until(
            lambda: len(self.posted(recipient)) >= count,
            deadline_s,
            lambda: f"{count} POSTs for {recipient}, there are {self.posted(recipient)}",
        )
        return self.posted(recipient)
