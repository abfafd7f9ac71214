"""What the HTTP servers of the tests have in common: a free loopback port, a thread, and quiet."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Stay quiet when a client that was killed does not take its answer; other errors are shown."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class HttpServer:
    """A context manager: entering starts it, leaving stops it. `take` answers each GET and POST."""

    def __init__(self, take: Callable[[BaseHTTPRequestHandler], None], path: str, port: int = 0) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                take(self)

            do_GET = do_POST

            def log_message(self, format: str, *args: object) -> None:
                """Stay quiet: the test asks for what came."""

        self._server = _Server(("127.0.0.1", port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/{path}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=10)


def body_of(request: BaseHTTPRequestHandler) -> bytes:
    """Read the body of a request by its Content-Length."""
    return request.rfile.read(int(request.headers.get("Content-Length", 0)))
