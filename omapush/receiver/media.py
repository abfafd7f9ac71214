"""Where MSRP comes in: listeners, connections, and the sessions that are bound to them (RFC 4975 5.4)."""

from __future__ import annotations

import asyncio
import secrets
import ssl
from collections.abc import Callable
from typing import Final, cast

from omapush import log
from omapush.certificates import Fingerprints, is_expected
from omapush.errors import MalformedMsrp
from omapush.protocol.msrp import (
    REPORT,
    Body,
    End,
    Request,
    response_to,
    write_response,
)
from omapush.protocol.msrp_reader import MsrpReader
from omapush.protocol.msrp_uri import MsrpUri, UriKey
from omapush.receiver.incoming import Chunk, Incoming, bind
from omapush.receiver.media_tls import MediaTls
from omapush.receiver.settings import Sessions
from omapush.receiver.transport import TransportFailed

_CONNECT_S: Final = 10.0
_MOST_CONNECTIONS: Final = 1_024
_UNBOUND_S: Final = 20.0
"How long a connection may be open and no session be bound to it."
_PORT_OF_ACTIVE: Final = 9
_ANOTHER: Final = "the certificate is not the one that the offer named"


class Bound:
    """A session that may come over a connection; `lost` is called when that breaks."""

    def __init__(self, incoming: Incoming, lost: Callable[[], None], fingerprints: Fingerprints) -> None:
        self.incoming = incoming
        self.lost = lost
        self.fingerprints = fingerprints
        "Certificates that its offer has named, of which the sender has to show one; empty: none."
        self.connection: MsrpConnection | None = None


_BUFFER: Final = bytearray(262_144)
"""
What comes is read into this by all connections, one after the other: it is dealt with before the next read.
New memory for all that comes costs as much as reading it.
"""
_PLACE: Final = memoryview(_BUFFER)


class MsrpConnection(asyncio.BufferedProtocol):
    """One TCP or TLS connection, of either side."""

    def __init__(self, media: MediaEndpoint) -> None:
        self._media = media
        self._reader = MsrpReader()
        self._chunk: Chunk | None = None
        self._bound: set[UriKey] = set()
        self._unbound: asyncio.TimerHandle | None = None
        self.silent = False
        "What comes is read no further."
        self.has_served = False
        "A session has used it."

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        loop = asyncio.get_running_loop()
        self._unbound = loop.call_later(_UNBOUND_S, self.close_if_unused)
        self._media.opened(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        return _PLACE  # a view: with TLS a part of it is written to

    def buffer_updated(self, nbytes: int) -> None:
        try:
            for event in self._reader.feed(_BUFFER, nbytes):
                match event:
                    case Request():
                        self._chunk = self._begin(event)
                    case Body(octets) if self._chunk is not None:
                        self._chunk.take(octets)
                    case End(flag) if self._chunk is not None:
                        chunk, self._chunk = self._chunk, None
                        chunk.end(flag)
        except MalformedMsrp as error:
            log.get().warning("msrp_given_up", peer=self._peer(), reason=str(error))
            self.transport.abort()
        self._slow_down(nbytes)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._unbound is not None:
            self._unbound.cancel()
        self._media.closed(self, self._bound)

    @property
    def certificate(self) -> bytes | None:
        """The sender's, DER; None without TLS, or when it showed none."""
        ssl_object = self.transport.get_extra_info("ssl_object")
        found = None if ssl_object is None else ssl_object.getpeercert(binary_form=True)
        return found if isinstance(found, bytes) else None

    def write(self, data: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(data)

    def bind(self, key: UriKey, bound: Bound) -> None:
        """From now on the session is good on this connection only."""
        bound.connection = self
        bound.incoming.send = self.write
        self._bound.add(key)
        self.has_served = True
        self._media.close_left()

    def release(self, key: UriKey) -> None:
        """Forget a session."""
        self._bound.discard(key)

    def close_if_unused(self) -> None:
        """Close, after what is still to be written, unless a session uses it (RFC 4975 5.4)."""
        if not self._bound:
            self.transport.close()

    def stop_reading(self) -> None:
        """Read nothing more, as a device that hangs."""
        self.silent = True
        self.transport.pause_reading()

    def _peer(self) -> str:
        return str(self.transport.get_extra_info("peername"))

    def _begin(self, request: Request) -> Chunk | None:
        """Return the chunk that begins; None: it is answered, and its body dropped (RFC 4975 7.3)."""
        if request.method == REPORT:
            return None
        key = request.to_path[0].key if len(request.to_path) == 1 else None
        bound = self._media.sessions.get(key) if key is not None else None
        if key is None or bound is None:
            self._refuse(request, 481)
            return None
        if bound.connection is None:
            if not is_expected(self.certificate, bound.fingerprints):
                log.get().warning("msrp_given_up", peer=self._peer(), reason=_ANOTHER)
                self._refuse(request, 403)
                self.close_if_unused()
                return None
            self.bind(key, bound)
        elif bound.connection is not self:
            self._refuse(request, 506)
            return None
        return bound.incoming.begin(request)

    def _refuse(self, request: Request, code: int) -> None:
        response = response_to(request, code)
        if response is not None:
            self.write(write_response(response))

    def _slow_down(self, octets: int) -> None:
        rate = self._media.octets_per_s
        if rate and not self.transport.is_closing():
            self.transport.pause_reading()
            asyncio.get_running_loop().call_later(octets / rate, self._go_on)

    def _go_on(self) -> None:
        if not self.silent and not self.transport.is_closing():
            self.transport.resume_reading()


class MediaEndpoint:
    """All MSRP of an endpoint. Listens from the first session on."""

    def __init__(self, settings: Sessions, host: str) -> None:
        self._settings = settings
        self.tls = MediaTls(settings)
        self.host = settings.host or host
        "Where sessions are reached."
        self._listeners: dict[bool, asyncio.Server] = {}
        self._opening = asyncio.Lock()
        self._connections: set[MsrpConnection] = set()
        self.sessions: dict[UriKey, Bound] = {}
        self.octets_per_s = settings.play.octets_per_s

    def move(self, host: str) -> None:
        """Have new sessions reach us at another address; connections that are there stay."""
        if self._settings.host:
            return
        self.host = host
        for listener in self._listeners.values():
            listener.close()
        self._listeners.clear()

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._connections)

    def listens_securely(self) -> bool:
        """Tell whether `msrps` can be taken by listening."""
        return self.tls.server is not None

    async def new_uri(self, *, secure: bool, connects: bool) -> MsrpUri:
        """
        Return the URI of a new session, which nobody can guess; begins to listen where that is needed.

        Raises:
            TransportFailed: no free port.
        """
        port = _PORT_OF_ACTIVE if connects else await self._listen(secure=secure)
        shown = f"[{self.host}]" if ":" in self.host else self.host
        return MsrpUri(secure, shown, port, secrets.token_urlsafe(18))

    def add(self, incoming: Incoming, lost: Callable[[], None], fingerprints: Fingerprints = ()) -> None:
        """Take what comes for this session from now on, from who shows a certificate that was named."""
        self.sessions[incoming.uri.key] = Bound(incoming, lost, fingerprints)

    def remove(self, incoming: Incoming) -> None:
        """Take nothing more for it; its connection goes when no other session uses it (PRA-MSRP-3)."""
        bound = self.sessions.pop(incoming.uri.key, None)
        if bound is not None and bound.connection is not None:
            bound.connection.release(incoming.uri.key)
        self.close_left()

    def close_left(self) -> None:
        """
        Close connections that all their sessions have left, unless a session has none yet.

        Its sender may be about to share one of them: what it sends would be lost with the connection.
        """
        if any(bound.connection is None for bound in self.sessions.values()):
            return
        for connection in tuple(self._connections):
            if connection.has_served:
                connection.close_if_unused()

    def is_bound(self, incoming: Incoming) -> bool:
        """Tell whether a connection carries this session."""
        bound = self.sessions.get(incoming.uri.key)
        return bound is not None and bound.connection is not None

    async def connect(self, incoming: Incoming) -> None:
        """
        Open the connection of a session, or share one, and bind it with a SEND without body.

        Raises:
            TransportFailed: nobody takes it.
        """
        bound = self.sessions.get(incoming.uri.key)
        if bound is None:
            return
        hop = incoming.remote[0]
        host, port = hop.host.strip("[]"), hop.port or 0
        tls = self.tls.client(is_named=bool(bound.fingerprints)) if hop.secure else None
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_CONNECT_S):
                _, connection = await loop.create_connection(
                    lambda: MsrpConnection(self), host, port, ssl=tls, server_hostname=host if tls else None
                )
        except (OSError, TimeoutError, ssl.SSLError) as error:
            raise TransportFailed(f"MSRP to {host}:{port}: {error or 'timed out'}") from error
        if tls is not None and not is_expected(connection.certificate, bound.fingerprints):
            connection.transport.abort()
            raise TransportFailed(f"MSRP to {host}:{port}: {_ANOTHER}")
        connection.bind(incoming.uri.key, bound)
        connection.write(bind(incoming.uri, incoming.remote))

    def stop_reading(self, incoming: Incoming) -> None:
        """Let the sender's data pile up."""
        bound = self.sessions.get(incoming.uri.key)
        if bound is not None and bound.connection is not None:
            bound.connection.stop_reading()

    def abort(self, incoming: Incoming) -> None:
        """Cut the connection of a session."""
        bound = self.sessions.get(incoming.uri.key)
        if bound is not None and bound.connection is not None:
            bound.connection.transport.abort()

    async def close(self) -> None:
        """Close everything."""
        for connection in tuple(self._connections):
            connection.transport.close()
        for listener in self._listeners.values():
            listener.close()
            await listener.wait_closed()
        self._listeners.clear()

    def opened(self, connection: MsrpConnection) -> None:
        """Keep a connection until it is closed."""
        if len(self._connections) >= _MOST_CONNECTIONS:
            connection.transport.abort()
            return
        self._connections.add(connection)

    def closed(self, connection: MsrpConnection, keys: set[UriKey]) -> None:
        """Forget a connection; its sessions have failed with it (RFC 4975 5.4)."""
        self._connections.discard(connection)
        for key in keys:
            bound = self.sessions.get(key)
            if bound is not None and bound.connection is connection:
                bound.incoming.send = lambda _: None
                bound.lost()

    async def _listen(self, *, secure: bool) -> int:
        async with self._opening:
            if secure not in self._listeners:
                loop = asyncio.get_running_loop()
                try:
                    self._listeners[secure] = await loop.create_server(
                        lambda: MsrpConnection(self),
                        self.host,
                        0 if secure and self._listeners else self._settings.port,
                        ssl=self.tls.server if secure else None,
                    )
                except OSError as error:
                    place = f"msrp {self.host}:{self._settings.port}"
                    raise TransportFailed(f"{place}: {error.strerror}") from error
            port: int = self._listeners[secure].sockets[0].getsockname()[1]
            return port
