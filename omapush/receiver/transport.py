"""Bytes to and from the network: UDP, TCP and TLS (RFC 3261 18, RFC 3581)."""

from __future__ import annotations

import asyncio
import socket
import ssl
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, cast

from omapush import log
from omapush.errors import MalformedSip, TryLater
from omapush.protocol.sip_wire import StreamReader

Address = tuple[str, int]

_CONNECT_S: Final = 10.0
_RECEIVE_BUFFER: Final = 4_194_304
_PONG_S: Final = 10.0
"A keep-alive that is answered by nothing for so long means that the connection is dead (RFC 5626 4.4.1)."
PING: Final = b"\r\n\r\n"
_LONGEST_BACKLOG: Final = 1_048_576
"Bytes waiting for a slow peer of one connection; above, the connection is given up."


class TransportFailed(TryLater):
    """The message could not be handed to the network; like a 503 from there (RFC 3261 8.1.3.1)."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a message came from, and the way back."""

    address: Address
    answer: Callable[[bytes, Address | None], None]
    "Sends to the given address over UDP; else over the same connection, or one to there when that is closed."
    reliable: bool = False
    "It came over a connection."


Receive = Callable[[bytes, Source], None]


class Transport(ABC):
    """One way to the network, shared by all devices of an endpoint."""

    name: str
    "As in Via."
    reliable: bool

    def __init__(self, host: str, port: int, receive: Receive) -> None:
        self.local: Address = (host, port)
        "What Via and Contact show; complete after `start`."
        self._receive = receive
        self.lost: Callable[[], None] = lambda: None
        "Called when a connection of ours broke that requests to us would have come over."
        self.broken: Callable[[Transport, Address], None] = lambda _transport, _peer: None
        "Called when a connection that we opened to a peer is over, whoever ended it."

    @abstractmethod
    async def start(self, first_hop: Address) -> None:
        """Open what is listened on; raises TransportFailed when that is not possible."""

    @abstractmethod
    async def send(self, data: bytes, to: Address) -> None:
        """Hand over a request; raises TransportFailed."""

    async def ready(self, first_hop: Address) -> None:
        """Make `local` what peers can reach now; raises TransportFailed."""
        return

    @abstractmethod
    async def keep_alive(self, first_hop: Address) -> None:
        """Keep the way back to us open; where that can be seen to be gone, `lost` is called."""

    @abstractmethod
    async def close(self) -> None:
        """Close everything."""


class UdpTransport(Transport, asyncio.DatagramProtocol):
    """One UDP socket."""

    name = "UDP"
    reliable = False

    async def start(self, first_hop: Address) -> None:
        loop = asyncio.get_running_loop()
        try:
            opened, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=self.local)
        except OSError as error:
            raise TransportFailed(f"udp {self.local[0]}:{self.local[1]}: {error.strerror}") from error
        self._socket = opened
        opened.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        self.local = opened.get_extra_info("sockname")[:2]

    async def send(self, data: bytes, to: Address) -> None:
        self._send(data, to)

    async def keep_alive(self, first_hop: Address) -> None:
        self._send(PING, first_hop)

    async def close(self) -> None:
        self._socket.close()

    def _send(self, data: bytes, to: Address | None) -> None:
        if not self._socket.is_closing():
            self._socket.sendto(data, to)

    def datagram_received(self, data: bytes, addr: Address) -> None:
        if data.strip(b"\r\n\0"):  # else a keep-alive (RFC 5626 4.4, RFC 3261 7.5)
            self._receive(data, Source(addr[:2], self._send))

    def error_received(self, exc: Exception) -> None:
        log.get().debug("udp_error", error=str(exc))  # the request's own timer decides


class _Connection(asyncio.Protocol):
    """One TCP or TLS connection, of either side."""

    def __init__(self, owner: StreamTransport, peer: Address | None = None) -> None:
        self._owner = owner
        self._reader = StreamReader()
        self.peer = peer
        "Set on connections that we opened: what they lead to."
        self.is_heard = False
        "Something came since this was last set to False."

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        address = transport.get_extra_info("peername")[:2]
        self.source = Source(address, self._answer, reliable=True)
        self._owner.opened(self)

    def data_received(self, data: bytes) -> None:
        self.is_heard = True
        pings = self._reader.pings
        try:
            for message in self._reader.feed(data):
                self._owner.received(message, self.source)
        except MalformedSip as error:
            log.get().warning("stream_given_up", peer=str(self.source.address), reason=str(error))
            self.transport.close()
        for _ in range(min(self._reader.pings - pings, 8)):
            self.write(b"\r\n")

    def connection_lost(self, exc: Exception | None) -> None:
        self._owner.closed(self)

    def _answer(self, data: bytes, to: Address | None) -> None:
        """Over a new connection where this one is closed, unless nobody but its peer could open one."""
        if self.transport.is_closing() and self.peer is None and to is not None:
            self._owner.answer_anew(data, to)
        else:
            self.write(data)

    def write(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        if self.transport.get_write_buffer_size() > _LONGEST_BACKLOG:
            log.get().warning("stream_given_up", peer=str(self.source.address), reason="peer does not read")
            self.transport.abort()
            return
        self.transport.write(data)


class StreamTransport(Transport):
    """Connections over TCP, or TLS when there is a client context; opened once and used by all requests."""

    reliable = True

    def __init__(
        self,
        host: str,
        port: int,
        receive: Receive,
        *,
        client: ssl.SSLContext | None = None,
        server: ssl.SSLContext | None = None,
        server_name: str = "",
        listens: bool = True,
        is_flow: bool = False,
    ) -> None:
        """`is_flow`: requests to us come over the connection that we open to the proxy, and no other way."""
        super().__init__(host, port, receive)
        self.name = "TLS" if client else "TCP"
        self._client = client
        self._server_context = server
        self._server_name = server_name
        self._listens = listens
        self._is_flow = is_flow
        self._server: asyncio.Server | None = None
        self._connections: set[_Connection] = set()
        self._by_peer: dict[Address, _Connection] = {}
        self._answering: set[asyncio.Task[None]] = set()
        self._opening: dict[Address, asyncio.Task[_Connection]] = {}
        self._closing = False

    async def start(self, first_hop: Address) -> None:
        if not self._listens:
            await self.ready(first_hop)
            return
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(
                lambda: _Connection(self), *self.local, ssl=self._server_context
            )
        except OSError as error:
            place = f"{self.name.lower()} {self.local[0]}:{self.local[1]}"
            raise TransportFailed(f"{place}: {error.strerror}") from error
        self.local = self._server.sockets[0].getsockname()[:2]

    async def ready(self, first_hop: Address) -> None:
        if self._is_flow:
            connection = await self._connection(first_hop)
            self.local = connection.transport.get_extra_info("sockname")[:2]

    async def send(self, data: bytes, to: Address) -> None:
        (await self._connection(to)).write(data)

    def drop(self, peer: Address) -> None:
        """Have the next request to a peer go over a new connection."""
        if (connection := self._by_peer.pop(peer, None)) is not None:
            connection.transport.abort()

    def answer_anew(self, data: bytes, to: Address) -> None:
        """Send a response whose request came over a connection that is closed now (RFC 3261 18.2.2)."""

        async def answered() -> None:
            try:
                await self.send(data, to)
            except TransportFailed as error:
                log.get().info("answer_not_sent", peer=f"{to[0]}:{to[1]}", reason=str(error))

        if not self._closing:
            task = asyncio.get_running_loop().create_task(answered())
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)

    async def keep_alive(self, first_hop: Address) -> None:
        connection = self._by_peer.get(first_hop)
        if connection is None:
            return
        connection.is_heard = False
        connection.write(PING)
        await asyncio.sleep(_PONG_S)
        if not connection.is_heard:
            log.get().warning("stream_given_up", peer=str(first_hop), reason="keep-alive without answer")
            connection.transport.abort()

    async def close(self) -> None:
        self._closing = True
        for task in (*self._answering, *self._opening.values()):
            task.cancel()
        if self._server:
            self._server.close()
        for connection in tuple(self._connections):
            connection.transport.close()
        if self._server:
            await self._server.wait_closed()

    async def _connection(self, to: Address) -> _Connection:
        """The one that is there, or one that is opened for all who wait for it; nobody waits for others."""
        known = self._by_peer.get(to)
        if known and not known.transport.is_closing():
            return known
        opening = self._opening.get(to)
        if opening is None:
            opening = self._opening[to] = asyncio.get_running_loop().create_task(self._opened(to))
            opening.add_done_callback(lambda task: self._no_longer_opening(to, task))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            if opening.cancelled():
                raise TransportFailed(f"{self.name} to {to[0]}:{to[1]}: closed meanwhile") from None
            raise

    async def _opened(self, to: Address) -> _Connection:
        loop = asyncio.get_running_loop()
        name = (self._server_name or to[0]) if self._client else None
        try:
            async with asyncio.timeout(_CONNECT_S):
                _, connection = await loop.create_connection(
                    lambda: _Connection(self, to),
                    *to,
                    ssl=self._client,
                    server_hostname=name,
                    local_addr=(self.local[0], 0),
                )
        except (OSError, TimeoutError, ssl.SSLError) as error:
            raise TransportFailed(f"{self.name} to {to[0]}:{to[1]}: {error or 'timed out'}") from error
        return connection

    def _no_longer_opening(self, to: Address, task: asyncio.Task[_Connection]) -> None:
        del self._opening[to]
        if not task.cancelled():
            task.exception()  # those who wait have it; there may be none any more

    def opened(self, connection: _Connection) -> None:
        """Keep a connection, of whichever side, until it is closed."""
        self._connections.add(connection)
        if connection.peer:
            self._by_peer[connection.peer] = connection

    def closed(self, connection: _Connection) -> None:
        """Forget a connection; when requests to us came over it, the devices have to register again."""
        self._connections.discard(connection)
        if connection.peer and self._by_peer.get(connection.peer) is connection:
            del self._by_peer[connection.peer]
            self.broken(self, connection.peer)
            if not self._closing and self._is_flow:
                self.lost()

    def received(self, message: bytes, source: Source) -> None:
        """Pass on one message."""
        self._receive(message, source)
