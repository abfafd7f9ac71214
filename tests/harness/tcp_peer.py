"""A next hop that speaks SIP over TCP: it answers 200, and is as slow or as broken as a test wants it."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from tests.fakes.sip_text import SipText, reply
from tests.harness.sip_stream import SipStream

Serve = Callable[[socket.socket], None]
"What becomes of one connection."


class TcpPeer:
    """A context manager; with `accepts=False` connections to it take until `accept` is called."""

    def __init__(self, *, accepts: bool = True, serve: Serve | None = None) -> None:
        self.received: list[SipText] = []
        self.connections = 0
        "How many said something."
        self._serve = serve or self.answer
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(128 if accepts else 0)
        self.port: int = self._listener.getsockname()[1]
        self._in_line = [] if accepts else [socket.create_connection(("127.0.0.1", self.port))]
        "Who takes the only place of those that wait to be accepted: the kernel drops the next SYN."
        self._open: list[socket.socket] = []
        self._ended = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._accepts = accepts

    def __enter__(self) -> Self:
        if self._accepts:
            self.accept()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ended = True
        for one in [self._listener, *self._in_line, *self._open]:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        if self._thread.is_alive():
            self._thread.join()

    def accept(self) -> None:
        """Accept connections from now on."""
        self._thread.start()

    def answer(self, connection: socket.socket) -> None:
        """Answer 200 to every request of a connection."""
        stream = SipStream(connection)
        if (message := stream.next()) is not None:
            self.connections += 1
        while message is not None:
            if message.is_request:
                self.received.append(message)
                connection.sendall(reply(message, 200, "OK", (), "peer"))
            message = stream.next()

    def _run(self) -> None:
        while not self._ended:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(connection)
            threading.Thread(target=self._serve_one, args=(connection,), daemon=True).start()

    def _serve_one(self, connection: socket.socket) -> None:
        with suppress(OSError):
            self._serve(connection)
