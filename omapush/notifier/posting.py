"""
POST to initiators, each exchange on a connection that it has for itself, and that is kept for the next one.

It goes to the address that was judged, and to no other; nothing is followed. Why not a client of a library:
docs/adr/0043-own-client-of-notifications.md.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, NamedTuple, cast

import httptools
import httpx

KEPT_S: Final = 5.0
"A connection without an exchange for so long is closed."
LARGEST_HEAD: Final = 65_536
"Bytes of an answer before its body."
_PORTS: Final = {"http": 80, "https": 443}


class Target(NamedTuple):
    """Where an URL leads, as a request names it."""

    is_secure: bool
    host: str
    "Name or address; a name in its form for the DNS."
    port: int
    authority: str
    "What the Host header says."
    path: str


class Posted(NamedTuple):
    """What came back."""

    status: int
    content_type: str
    body: bytes
    "As far as it was read: one byte more than wanted when there was more."


class Broken(Exception):
    """The other side does not speak HTTP, or ended it before its answer was whole."""


@lru_cache(maxsize=1024)  # initiators name the same few again and again
def target_of(url: str) -> Target:
    """
    Return where `url` leads.

    Raises:
        ValueError: it is no URL that something can be posted to.
    """
    try:
        read = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ValueError(str(error)) from error
    port = _PORTS.get(read.scheme, 0) if read.port is None or read.scheme not in _PORTS else read.port
    if not read.host or not 0 < port <= 65_535:
        raise ValueError("not http:// or https:// with a host and a port up to 65535")
    return Target(
        read.scheme == "https",
        read.raw_host.decode("ascii"),
        port,
        read.netloc.decode("ascii"),
        read.raw_path.decode("ascii"),
    )


class Poster:
    """The connections of one event loop."""

    def __init__(self, most_kept: int, largest: int) -> None:
        """Keep at most so many connections without an exchange; `largest`: bytes wanted of an answer."""
        self._most_kept = most_kept
        self._largest = largest
        self._kept: dict[tuple[Target, str], list[_Connection]] = {}
        self._number = 0
        self._tls: ssl.SSLContext | None = None

    async def post(self, target: Target, address: str, body: bytes, headers: Mapping[str, str]) -> Posted:
        """
        Return the answer of `target`, which is asked at `address`; empty: at whatever its host is found.

        Raises:
            OSError: no connection, or none that TLS trusts.
            Broken: an answer that is none, or not whole.
            ValueError: a header that cannot be sent.
        """
        request = _request(target, body, headers)
        place = target._replace(path=""), address
        connection = self._taken(place) or await self._opened(target, address)
        try:
            posted = await connection.exchange(request)
        except BaseException:
            connection.close()
            raise
        self._keep(place, connection)
        return posted

    def close(self) -> None:
        """Close what is kept."""
        for connections in self._kept.values():
            for connection in connections:
                connection.close()
        self._kept.clear()
        self._number = 0

    def _taken(self, place: tuple[Target, str]) -> _Connection | None:
        """The connection that was kept last."""
        kept = self._kept.get(place)
        while kept:
            connection = kept.pop()
            self._number -= 1
            if not kept:
                del self._kept[place]
            if connection.is_usable:
                connection.idle.cancel()
                return connection
        return None

    def _keep(self, place: tuple[Target, str], connection: _Connection) -> None:
        if not connection.is_usable or self._number >= self._most_kept:
            connection.close()
            return
        connection.idle = asyncio.get_running_loop().call_later(KEPT_S, self._forget, place, connection)
        self._kept.setdefault(place, []).append(connection)
        self._number += 1

    def _forget(self, place: tuple[Target, str], connection: _Connection) -> None:
        connection.close()
        kept = self._kept.get(place, [])
        if connection in kept:
            kept.remove(connection)
            self._number -= 1
            if not kept:
                del self._kept[place]

    async def _opened(self, target: Target, address: str) -> _Connection:
        if target.is_secure and self._tls is None:
            self._tls = httpx.create_ssl_context(trust_env=False)
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: _Connection(self._largest),
            address or target.host,
            target.port,
            ssl=self._tls if target.is_secure else None,
            server_hostname=target.host if target.is_secure else None,
        )
        return connection


class _Connection(asyncio.Protocol):
    """One connection, with one exchange at a time."""

    idle: asyncio.TimerHandle
    "Closes it; there is one while it is kept."

    def __init__(self, largest: int) -> None:
        self._largest = largest
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[Posted] | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._begin()

    def _begin(self) -> None:
        self._head_bytes = 0
        self._status = 0
        self._content_type = ""
        self._body = bytearray()
        self._has_end = self._keeps_alive = False

    @property
    def is_usable(self) -> bool:
        """Whether another exchange may follow the one that is over."""
        return self._transport is not None and not self._transport.is_closing() and self._keeps_alive

    async def exchange(self, request: bytes) -> Posted:
        """Return the answer to `request`."""
        if self._transport is None or self._transport.is_closing():
            raise Broken("the connection was closed")
        self._begin()
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        """End it, whatever is under way."""
        if self._transport is not None:
            self._transport.abort()

    # What the event loop tells ---------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # that of uvloop is none by its type

    def data_received(self, data: bytes) -> None:
        if self._answer is None or self._answer.done():
            self.close()  # it speaks without having been asked
            return
        if not self._status:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(f"no HTTP: {type(error).__name__} {error}")
        if not self._status and self._head_bytes > LARGEST_HEAD:
            self._fail(f"the head of its answer is longer than {LARGEST_HEAD} bytes")

    def connection_lost(self, error: Exception | None) -> None:
        self._keeps_alive = False
        if self._status and not self._has_end and error is None:
            self._finish()
        else:
            self._fail(f"it closed the connection before its answer was whole{f': {error}' if error else ''}")

    # What the parser tells -------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._answer is None or self._answer.done():
            self.close()  # a second answer behind the first

    def on_header(self, name: bytes, value: bytes) -> None:
        lowered = name.lower()
        if lowered == b"content-type":
            self._content_type = value.decode("latin-1")
        elif lowered in (b"content-length", b"transfer-encoding"):
            self._has_end = True

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status >= 200:  # others announce that the answer is still to come
            self._status = status
            self._keeps_alive = self._parser.should_keep_alive()

    def on_body(self, data: bytes) -> None:
        self._body += data
        if len(self._body) > self._largest:
            self._keeps_alive = False
            self._finish()

    def on_message_complete(self) -> None:
        if self._status:
            self._finish()
        else:
            self._begin()

    def _finish(self) -> None:
        if self._answer is not None and not self._answer.done():
            body = bytes(self._body[: self._largest + 1])
            self._answer.set_result(Posted(self._status, self._content_type, body))

    def _fail(self, why: str) -> None:
        self.close()
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(Broken(why))


def _request(target: Target, body: bytes, headers: Mapping[str, str]) -> bytes:
    fields = {"Host": target.authority, "User-Agent": "omapush", "Accept": "*/*", **headers}
    fields["Content-Length"] = str(len(body))
    lines = [f"{name}: {value}" for name, value in fields.items()]
    if any("\r" in line or "\n" in line or "\0" in line for line in lines):
        raise ValueError("a header would hold a line break")
    return "\r\n".join([f"POST {target.path} HTTP/1.1", *lines, "", ""]).encode("latin-1") + body
