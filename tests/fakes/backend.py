"""The back end of a hosted application: an HTTP server on a free loopback port that keeps what is posted."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler

from tests.fakes.http_server import HttpServer, body_of
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


class Backend(HttpServer):
    """A context manager; answers 204 to each push until `policy` says otherwise."""

    def __init__(self, port: int = 0) -> None:
        self.policy: Policy = lambda _: Status(204)
        self._posted: list[Posted] = []
        super().__init__(self._take, "push", port)

    def _take(self, request: BaseHTTPRequestHandler) -> None:
        posted = Posted({name.lower(): value for name, value in request.headers.items()}, body_of(request))
        self._posted.append(posted)
        said = self.policy(posted)
        request.send_response(said.code)
        if said.retry_after:
            request.send_header("Retry-After", said.retry_after)
        if said.code != 204:
            request.send_header("Content-Length", "0")
        request.end_headers()

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
