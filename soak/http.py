"""HTTP/1.1 as far as a content provider needs it: kept connections, bodies with a length; both sides."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, NamedTuple

_MOST_HEAD: Final = 65_536
_ANSWER_S: Final = 30.0
Failed: Final = (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError)
"What an exchange may fail by; the connection is closed then, and the next exchange opens another."


class Message(NamedTuple):
    """A request or an answer."""

    start: str
    headers: Mapping[str, str]
    "By name in lower case."
    body: bytes

    @property
    def status(self) -> int:
        """Status of an answer; ValueError when it has none."""
        return int(self.start.split(" ", 2)[1])


class Connection:
    """A client's connection, opened when it is needed."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, path: str, headers: Mapping[str, str], body: bytes) -> Message:
        """Return the answer; raises one of `Failed`."""
        try:
            if self._streams is None:
                self._streams = await asyncio.open_connection(self._host, self._port, limit=_MOST_HEAD)
            reader, writer = self._streams
            writer.write(_written(f"POST {path} HTTP/1.1", {"Host": self._host, **headers}, body))
            answer = await asyncio.wait_for(_read(reader), _ANSWER_S)
        except Failed:
            self.close()
            raise
        if answer.headers.get("connection", "").lower() == "close":
            self.close()
        return answer

    def close(self) -> None:
        """Close it; the next request opens it again."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


Handler = Callable[[Message], Awaitable[tuple[int, Mapping[str, str], bytes]]]
"Returns status, header fields and body."


class Server:
    """Answers each request by `handler`, on a free port."""

    def __init__(self, handler: Handler, host: str = "127.0.0.1") -> None:
        self._handler, self._host = handler, host
        self._connections: set[asyncio.Task[None]] = set()
        self.url = ""
        "Of its root, without a slash at the end."

    async def start(self) -> None:
        """Open the port."""
        self._server = await asyncio.start_server(self._connected, self._host, 0, limit=_MOST_HEAD)
        self.url = f"http://{self._host}:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        """Close the port and all connections."""
        self._server.close()
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._answer(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while not reader.at_eof():
                status, headers, body = await self._handler(await _read(reader))
                writer.write(_written(f"HTTP/1.1 {status} Done", headers, body))
                await writer.drain()
        except Failed:
            pass  # the client went away
        finally:
            writer.close()


async def _read(reader: asyncio.StreamReader) -> Message:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    start, *lines = head.split("\r\n")[:-2]
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    return Message(start, headers, await reader.readexactly(int(headers.get("content-length", "0"))))


def _written(start: str, headers: Mapping[str, str], body: bytes) -> bytes:
    named = {**headers, "Content-Length": str(len(body))}
    lines = "".join(f"{name}: {value}\r\n" for name, value in named.items())
    return f"{start}\r\n{lines}\r\n".encode("latin-1") + body
