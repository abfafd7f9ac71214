"""Our ends of MSRP sessions, the connections that they use, and which of them belong together."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from omapush.certificates import Fingerprints, is_expected
from omapush.config import Msrp
from omapush.msrp_agent import tls
from omapush.msrp_agent.connection import MsrpConnection
from omapush.protocol.msrp import REPORT, SEND, Request, Response, response_to, write_response
from omapush.protocol.msrp_sending import MsrpSending
from omapush.protocol.msrp_uri import MsrpUri, UriKey

_MOST_PARKED: Final = 1_000
_SPARE_CONNECTIONS: Final = 100
"Number of connections beyond the number of streams; further ones are closed."


class CannotConnect(Exception):
    """No connection to the device; the text says why."""


@dataclass(eq=False)
class SessionEnd:
    """Our end of one MSRP session."""

    uri: MsrpUri
    sending: MsrpSending
    now: Callable[[], float]
    connection: MsrpConnection | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    "Something happened that the sender should look at."
    written: int = 0
    "Octets of the connection up to the end of what was last written here."
    fingerprints: Fingerprints = ()
    "Certificates that the device has named; when it connects it has to show one of them; empty: none."
    refusal: str = ""
    "Why a connection was refused for it; empty: none came."

    @property
    def is_writable(self) -> bool:
        """It has a connection that accepts more."""
        return self.connection is not None and self.connection.is_writable

    def write(self, *pieces: bytes | bytearray) -> None:
        """Write to its connection, if there is one."""
        if self.connection is not None and any(pieces):
            self.connection.write(*pieces)
            self.written = self.connection.written

    @property
    def gone(self) -> int:
        """How many of those the network has taken; more as long as what was written here is on its way."""
        return min(self.written, self.connection.gone) if self.connection is not None else 0


class Hub:
    """All connections of a worker; only `connect` waits."""

    def __init__(self, settings: Msrp) -> None:
        self._settings = settings
        self._contexts: dict[bool, ssl.SSLContext] = {}
        "For connecting, by whether the device has named its certificate."
        self._ends: dict[UriKey, SessionEnd] = {}
        self._users: dict[MsrpConnection, set[SessionEnd]] = {}
        self._made: dict[object, MsrpConnection] = {}
        "Connections that we have made, by where they lead."
        self._making: dict[object, asyncio.Lock] = {}
        self._parked: dict[UriKey, tuple[MsrpConnection, Request]] = {}

    def take(self, settings: Msrp) -> None:
        """Use these settings from the next connection on."""
        self._settings = settings

    @property
    def connections(self) -> int:
        """Number of open connections."""
        return len(self._users)

    # Ends -----------------------------------------------------------------------------------------

    def add(self, end: SessionEnd) -> None:
        """Add a session; a device that has connected for it already is bound to it."""
        self._ends[end.uri.key] = end
        parked = self._parked.pop(end.uri.key, None)
        if parked is not None and parked[0].is_open:
            self._bind(end, *parked)

    def remove(self, end: SessionEnd) -> None:
        """Remove a session; its connection is closed if no other session uses it."""
        if self._ends.get(end.uri.key) is end:
            del self._ends[end.uri.key]
        connection = end.connection
        if connection is not None:
            users = self._users.get(connection, set())
            users.discard(end)
            if not users:
                connection.close()

    async def connect(self, end: SessionEnd, hop: MsrpUri, fingerprints: Fingerprints) -> None:
        """
        Give `end` a connection to `hop`: one that is there, or a new one.

        Raises:
            CannotConnect: nobody there, not in time, or not with the certificate that the device named.
        """
        where = (hop.secure, hop.host.lower(), hop.port, tuple(map(tuple, fingerprints)))
        lock = self._making.setdefault(where, asyncio.Lock())
        try:
            async with lock:
                connection = self._made.get(where)
                if connection is None or not connection.is_open:
                    connection = await self._new_connection(hop, fingerprints)
                    self._made[where] = connection
                self._use(end, connection)
        finally:
            if not lock.locked():
                self._making.pop(where, None)

    async def _new_connection(self, hop: MsrpUri, fingerprints: Fingerprints) -> MsrpConnection:
        host, port = hop.host.strip("[]"), hop.port or 0
        context = self.client_context(is_named=bool(fingerprints)) if hop.secure else None
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._settings.connect_s):
                _, connection = await loop.create_connection(
                    lambda: MsrpConnection(self),
                    host,
                    port,
                    ssl=context,
                    server_hostname=host if context else None,
                )
        except TimeoutError as error:
            raise CannotConnect(f"{host}:{port} does not answer") from error
        except (OSError, ssl.SSLError) as error:
            raise CannotConnect(f"{host}:{port}: {error}") from error
        if context is not None and not is_expected(connection.certificate, fingerprints):
            connection.abort()
            raise CannotConnect(f"{host}:{port}: the certificate is not the one that the answer named")
        return connection

    def client_context(self, *, is_named: bool) -> ssl.SSLContext:
        """
        Return the context for connecting, the same each time: its certificate is the one that offers name.

        Raises:
            BadConfiguration: a file of the configuration cannot be used.
        """
        if is_named not in self._contexts:
            self._contexts[is_named] = tls.client_context(self._settings, is_named=is_named)
        return self._contexts[is_named]

    def close(self) -> None:
        """Close all connections once everything was sent."""
        for connection in tuple(self._users):
            connection.close()

    # What happens on connections --------------------------------------------------------------------

    def opened(self, connection: MsrpConnection) -> None:
        """Wait until it is used; it is closed if nobody does."""
        if len(self._users) >= self._settings.streams + _SPARE_CONNECTIONS:
            connection.abort()
            return
        self._users[connection] = set()
        loop = asyncio.get_running_loop()
        loop.call_later(2 * self._settings.connect_s, self._close_unused, connection)

    def closed(self, connection: MsrpConnection) -> None:
        """All sessions on it have failed with it (RFC 4975 5.4)."""
        for end in self._users.pop(connection, set()):
            end.changed.set()
        for where, made in tuple(self._made.items()):
            if made is connection:
                del self._made[where]

    def writable(self, connection: MsrpConnection) -> None:
        """Wake all its sessions."""
        for end in self._users.get(connection, ()):
            end.changed.set()

    def answered(self, connection: MsrpConnection, response: Response) -> None:
        """Pass an answer to the session that it names, or to the one that waits for it."""
        end = self._ends.get(response.to_path[0].key)
        known = () if end is None else (end,)
        for one in known or self._users.get(connection, ()):
            if one.connection is connection and one.sending.on_response(response, one.now()):
                one.changed.set()
                return

    def asked(self, connection: MsrpConnection, request: Request) -> None:
        """Handle a request of a device: it binds a session, is a report, or is refused."""
        end = self._ends.get(request.to_path[0].key) if len(request.to_path) == 1 else None
        if request.method == REPORT:
            if end is not None and end.connection is connection and not request.problem:
                end.sending.on_report(request, end.now())
                end.changed.set()
            return
        if request.problem:
            self._answer(connection, request, 400, request.problem)
        elif request.method != SEND:
            self._answer(connection, request, 501)
        elif len(request.to_path) > 1:
            self._answer(connection, request, 481)
        elif end is None:
            self._park(connection, request)
        else:
            self._bind(end, connection, request)

    def _bind(self, end: SessionEnd, connection: MsrpConnection, request: Request) -> None:
        if end.connection is not None and end.connection is not connection and end.connection.is_open:
            self._answer(connection, request, 506)
            return
        if end.connection is not connection:
            if not is_expected(connection.certificate, end.fingerprints):
                end.refusal = "a device connected without the certificate that the answer named"
                end.changed.set()
                self._answer(connection, request, 403, "Not The Certificate Of The Answer")
                self._close_unused(connection)
                return
            self._use(end, connection)
        if request.content_type is None:  # it binds the session, or keeps it alive
            self._answer(connection, request, 200)
        else:
            self._answer(connection, request, 403, "We Only Send")

    def _use(self, end: SessionEnd, connection: MsrpConnection) -> None:
        end.connection = connection
        self._users.setdefault(connection, set()).add(end)
        end.changed.set()

    def _park(self, connection: MsrpConnection, request: Request) -> None:
        """Keep the first request for a session that may become known: the INVITE's answer is on its way."""
        key = request.to_path[0].key
        if key in self._parked or len(self._parked) >= _MOST_PARKED:
            self._answer(connection, request, 481)
            return
        self._parked[key] = (connection, request)
        asyncio.get_running_loop().call_later(self._settings.connect_s, self._give_up, key, request)

    def _give_up(self, key: UriKey, request: Request) -> None:
        parked = self._parked.get(key)
        if parked is not None and parked[1] is request:
            del self._parked[key]
            self._answer(parked[0], request, 481)

    def _close_unused(self, connection: MsrpConnection) -> None:
        if not self._users.get(connection, True):
            connection.close()

    def _answer(self, connection: MsrpConnection, request: Request, code: int, comment: str = "") -> None:
        response = response_to(request, code, comment)
        if response is not None:
            connection.write(write_response(response))
