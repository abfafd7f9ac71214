"""A web server with one content, told how to misbehave; it shares nothing with our content server."""

import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


@dataclass
class Play:
    """How one request is answered; the defaults are how a good server does."""

    status: int = 0
    "Refuse with this; 0: no."
    retry_after: str = ""
    break_at: int = -1
    "Close the connection after so many bytes of the answer's body; -1: no."
    ignores_range: bool = False
    shift: int = 0
    "Content-Range that is wrong by so much."
    location: str = ""
    with_length: bool = True
    stays: bool = False
    "Leave the connection open for another request."


@dataclass
class ContentHost:
    """A context manager; `plays` are for the requests in turn, the last for all that follow."""

    content: bytes
    etag: str = '"one"'
    plays: list[Play] = field(default_factory=lambda: [Play()])

    def __post_init__(self) -> None:
        self.asked: list[dict[str, str]] = []
        self.ended = 0
        "Connections that are over."
        host = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                host.asked.append({name.lower(): value for name, value in self.headers.items()})
                play = host.plays.pop(0) if len(host.plays) > 1 else host.plays[0]
                host.answer(self, play)

            def finish(self) -> None:
                super().finish()
                host.ended += 1

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/c"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, handler: BaseHTTPRequestHandler, play: Play) -> None:
        """Answer one request."""
        handler.close_connection = not play.stays
        if play.status:
            handler.send_response(play.status)
            for name, value in (("Retry-After", play.retry_after), ("Location", play.location)):
                if value:
                    handler.send_header(name, value)
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        start = 0
        wanted = handler.headers.get("Range", "")
        current = handler.headers.get("If-Range", self.etag) == self.etag
        if wanted and current and not play.ignores_range:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
        body = self.content[start:]
        handler.send_response(206 if start else 200)
        handler.send_header("ETag", self.etag)
        if play.with_length:
            handler.send_header("Content-Length", str(len(body)))
        if start:
            first = start + play.shift
            handler.send_header("Content-Range", f"bytes {first}-{len(self.content) - 1}/{len(self.content)}")
        handler.end_headers()
        handler.wfile.write(body if play.break_at < 0 else body[: play.break_at])
