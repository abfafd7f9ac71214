"""A Redis behind a line that notes what travels in one trip, for tests of how many trips something takes."""

from __future__ import annotations

import selectors
import shutil
import socket
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.harness.ports import free_ports
from tests.harness.processes import Process
from tests.harness.wait import wait_until

_LARGEST: Final = 1_000_000


class FarRedis:
    """A context manager; clients come by `url`, and everything that they send is noted."""

    def __init__(self, folder: Path) -> None:
        (own,) = free_ports(1)
        self._server = ("127.0.0.1", own)
        command: list[str | Path] = [shutil.which("redis-server") or "redis-server", "--port", str(own)]
        command += ["--bind", "127.0.0.1", "--save", "", "--dir", folder]
        self._redis = Process(command, log=folder / "far-redis.log")
        self._door = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._door.getsockname()[1]}/0"
        self._selector = selectors.DefaultSelector()
        self._sent: list[bytes] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._redis.start()
        wait_until(lambda: "Ready to accept" in self._redis.log_text(), 10, "Redis")
        self._selector.register(self._door, selectors.EVENT_READ, None)
        self._thread.start()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()
        self._redis.stop()

    def trips(self, word: str) -> int:
        """
        Return in how many trips this word was sent, a function's name say.

        One trip may count as some, if it is large.
        """
        return sum(word.encode() in sent for sent in list(self._sent))

    def forget(self) -> None:
        """Begin to count anew."""
        self._sent.clear()

    # The line ------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._ended.is_set():
            for key, _ in self._selector.select(0.1):
                if key.data is None:
                    self._connect()
                else:
                    assert isinstance(key.fileobj, socket.socket)
                    self._pass_on(key.fileobj, *key.data)

    def _connect(self) -> None:
        client, _ = self._door.accept()
        server = socket.create_connection(self._server)
        self._selector.register(client, selectors.EVENT_READ, (server, True))
        self._selector.register(server, selectors.EVENT_READ, (client, False))

    def _pass_on(self, source: socket.socket, to: socket.socket, is_of_client: bool) -> None:
        if source.fileno() < 0:  # closed together with the other end
            return
        read = b""
        with suppress(OSError):
            read = source.recv(_LARGEST)
            if is_of_client:
                self._sent.append(read)
            to.sendall(read)
        if not read:
            for end in (source, to):
                self._selector.unregister(end)
                end.close()
