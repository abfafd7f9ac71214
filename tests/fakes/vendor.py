"""A device vendor's web server: UAProf documents, good and bad."""

import gzip
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self

DOCUMENT = (Path(__file__).parents[1] / "corpora/valid/uaprof/bags.rdf").read_bytes()


class Vendor:
    """A vendor's web server on the loopback, with good and bad documents."""

    def __init__(self) -> None:
        vendor = self
        self.asked: list[str] = []
        self.hosts: list[str] = []
        self.ended = threading.Event()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                vendor.asked.append(self.path)
                vendor.hosts.append(self.headers["Host"])
                vendor.answer(self)

            def log_message(self, format: str, *args: object) -> None:
                """Stay quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> None:
        self.ended.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=10)

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        """Where the document `path` is."""
        return f"http://{host}:{self._server.server_address[1]}/{path}"

    def answer(self, to: BaseHTTPRequestHandler) -> None:
        """Answer one request, by its path."""
        path = to.path.strip("/")
        if path.startswith("to-"):
            to.send_response(302)
            to.send_header("Location", "http://10.0.0.1/x" if path == "to-private" else f"/{path[3:]}")
            to.end_headers()
            return
        body = {
            "good": DOCUMENT,
            "big": b"<rdf>" + b"x" * 300_000,
            "bomb": gzip.compress(b"x" * 10_000_000),
            "html": b"<html/>",
            "lol": b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
        }.get(path)
        to.send_response(200 if body is not None or path == "slow" else 404)
        if path == "bomb":
            to.send_header("Content-Encoding", "gzip")
        to.end_headers()
        if path == "slow":
            while not self.ended.wait(0.05):
                to.wfile.write(b"x")
        to.wfile.write(body or b"")
