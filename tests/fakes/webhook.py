"""A content provider's HTTP server for signed results, which checks them as docs/json.md says."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.fakes.http_server import HttpServer, body_of

REPLAY_S = 300


def is_from_omapush(headers: Mapping[str, str], body: bytes, secret: str, now_s: float) -> bool:
    """Whether a request is signed with the secret and new; written from the documentation alone."""
    sent_s = headers["Omapush-Timestamp"]
    right = hmac.new(secret.encode(), f"{sent_s}.".encode() + body, hashlib.sha256).hexdigest()
    shown = [one.strip() for one in headers["Omapush-Signature"].split(",")]
    is_new = abs(now_s - int(sent_s)) <= REPLAY_S
    return is_new and any(hmac.compare_digest(f"v1={right}".encode(), one.encode()) for one in shown)


@dataclass(frozen=True, slots=True)
class Posted:
    """One request as it came."""

    headers: dict[str, str]
    body: bytes
    answered: int

    @property
    def told(self) -> Any:
        return json.loads(self.body)


class WebhookSink(HttpServer):
    """Takes what is posted, on a free loopback port; answers 204, or what `fail_next` lists first."""

    def __init__(self) -> None:
        self._received: list[Posted] = []
        self._failures: list[int] = []
        self._changed = threading.Condition()
        super().__init__(self._take, "hook")

    def fail_next(self, *statuses: int) -> None:
        """Answer the next requests so, one each."""
        with self._changed:
            self._failures.extend(statuses)

    def wait_for(self, count: int, deadline_s: float = 10.0) -> list[Posted]:
        """Return all that came once there are so many; TimeoutError when not in time."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._received) >= count, deadline_s):
                raise TimeoutError(f"not {count} within {deadline_s} s: {self._received}")
            return list(self._received)

    def _take(self, request: BaseHTTPRequestHandler) -> None:
        request.send_response(self._noted(dict(request.headers.items()), body_of(request)))
        request.send_header("Content-Length", "0")
        request.end_headers()

    def _noted(self, headers: dict[str, str], body: bytes) -> int:
        with self._changed:
            status = self._failures.pop(0) if self._failures else 204
            self._received.append(Posted(headers, body, status))
            self._changed.notify_all()
        return status
