"""
Where SIP enters and leaves: a transport with its transactions, shared by one or many devices.

What breaks a rule of RFC 3261 that every request has to keep is answered here; a device sees only requests
that can be read, each once.
"""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, Protocol, cast

from omapush import log
from omapush.errors import BadConfiguration, MalformedSip, Overloaded, PushError, TryLater
from omapush.protocol import content_coding
from omapush.protocol.name_addr import split_quoted
from omapush.protocol.sip_core import Core, read_core
from omapush.protocol.sip_message import SipMessage
from omapush.protocol.sip_uri import SipUri
from omapush.protocol.sip_wire import answer_headers, read_datagram, salvage, write_response
from omapush.receiver.invite_transaction import InviteTransaction
from omapush.receiver.media import MediaEndpoint
from omapush.receiver.settings import Listen, Network, Sessions, Timers
from omapush.receiver.transactions import ClientTransactions, ServerTransaction, ServerTransactions
from omapush.receiver.transport import (
    Address,
    Source,
    StreamTransport,
    Transport,
    TransportFailed,
    UdpTransport,
)

METHODS: Final = ("MESSAGE", "NOTIFY", "REFER", "SUBSCRIBE", "OPTIONS", "INVITE", "ACK", "BYE", "CANCEL")
"What Allow lists."
SUPPORTED: Final = ("pref", "path", "gruu", "norefersub")
"Option tags that a Require may name."
_DEFAULT_PORT: Final = {"udp": 5060, "tcp": 5060, "tls": 5061}


class Request:
    """A request to a device, to be answered once."""

    def __init__(
        self, message: SipMessage, core: Core, peer: Address, trusted: bool, transaction: ServerTransaction
    ) -> None:
        self.message = message
        self.core = core
        self.method = core.cseq.method
        self.peer = peer
        self.trusted = trusted
        "It came from the proxy or another peer whose word counts."
        self.to_tag = transaction.to_tag = core.to.param("tag") or secrets.token_hex(6)
        self.transaction = transaction

    @property
    def is_answered(self) -> bool:
        """A final response went out."""
        return self.transaction.is_answered

    def answer(
        self, status: int, reason: str, headers: Sequence[tuple[str, str]] = (), body: bytes = b""
    ) -> None:
        """Send the final response."""
        copied = answer_headers(self.message, self.to_tag)
        self.transaction.respond(write_response(status, reason, [*copied, *headers], body), status)

    @property
    def invite(self) -> InviteTransaction:
        """The transaction of an INVITE; other requests have none that is one."""
        return cast(InviteTransaction, self.transaction)

    def provisional(self, status: int, reason: str, headers: Sequence[tuple[str, str]] = ()) -> None:
        """Send a 1xx to an INVITE."""
        copied = answer_headers(self.message, self.to_tag)
        self.invite.provisional(write_response(status, reason, [*copied, *headers]))

    def refuse(self, error: PushError) -> None:
        """Answer what an error says; whoever broke a rule is told which."""
        headers: list[tuple[str, str]] = []
        if isinstance(error, TryLater):
            headers.append(("Retry-After", str(error.retry_after_s)))
        if isinstance(error, content_coding.UnknownCoding):
            headers.append(("Accept-Encoding", ", ".join(content_coding.CODINGS)))
        headers.append(warning(str(error)))
        self.answer(error.sip_status, error.sip_reason, headers)


class Device(Protocol):
    """Who gets the requests for one user part of our Contact."""

    def take(self, request: Request) -> None:
        """Answer it, now or later."""

    def acknowledged(self, core: Core) -> None:
        """An ACK came that belongs to a 2xx."""

    def connection_lost(self) -> None:
        """Requests no longer find the way to us: register again."""


class Endpoint:
    """A transport towards one proxy."""

    def __init__(
        self, proxy: str, listen: Listen, *, timers: Timers | None = None, trusted: Sequence[Network] = ()
    ) -> None:
        """
        Raises:
            MalformedSip: the proxy is no SIP URI, or its transport is unknown.
        """
        uri = SipUri.parse(proxy, "proxy")
        self.scheme = "tls" if uri.scheme == "sips" else (uri.param("transport") or "udp").lower()
        if uri.scheme == "tel" or self.scheme not in _DEFAULT_PORT:
            raise MalformedSip("proxy", f"a SIP URI over udp, tcp or tls is needed: {proxy}")
        self.proxy = proxy
        self._uri = uri
        self._listen = listen
        self._timers = timers or Timers()
        self._trusted = tuple(trusted)
        self._devices: dict[str, Device] = {}
        self.first_hop: Address = ("", 0)
        self._media: MediaEndpoint | None = None
        self.malformed = 0
        "Messages that could not be read."

    async def start(self) -> None:
        """
        Resolve the proxy and open the transport.

        Raises:
            TransportFailed: no such host, no free port, or no connection.
            BadConfiguration: an address to listen on that nobody could be told.
        """
        port = self._uri.port or _DEFAULT_PORT[self.scheme]
        self.first_hop = await _resolved(self._uri.host.strip("[]"), port)
        host = self._listen.host or _address_towards(self.first_hop)
        if host in ("0.0.0.0", "::"):  # noqa: S104 - refused, for a Contact has to name a place
            raise BadConfiguration("listen", f"peers need an address to reach, not {host}")
        self.transport = self._transport(host)
        self.transport.lost = self._lost
        await self.transport.start(self.first_hop)
        self.client = ClientTransactions(self.transport, self._timers)
        self.server = ServerTransactions(self._timers, self._transaction)

    async def close(self) -> None:
        """Close the transport; requests still waiting for an answer end with their timer."""
        if self._media is not None:
            await self._media.close()
        await self.transport.close()

    def media(self, settings: Sessions) -> MediaEndpoint:
        """Return where MSRP comes in; of several devices the first one's settings count."""
        if self._media is None:
            self._media = MediaEndpoint(settings, self.transport.local[0])
        return self._media

    async def ready(self) -> None:
        """Have a way for requests to us before a Contact is written; raises TransportFailed."""
        await self.transport.ready(self.first_hop)

    def attach(self, user: str, device: Device) -> str:
        """Return the user part of the Contact under which requests reach `device`."""
        chosen = user
        while chosen in self._devices:
            chosen = f"{user}.{secrets.token_hex(3)}"
        self._devices[chosen] = device
        return chosen

    def detach(self, user: str) -> None:
        """Pass on no further requests."""
        self._devices.pop(user, None)

    def contact_uri(self, user: str) -> str:
        """Return the URI under which a device is reached here."""
        host, port = self.transport.local
        shown = f"[{host}]" if ":" in host else host
        transport = "" if self.scheme == "udp" else f";transport={self.scheme}"
        return f"sip:{user}@{shown}:{port}{transport}"

    async def request(
        self,
        method: str,
        uri: str,
        headers: Sequence[tuple[str, str]],
        body: bytes = b"",
        *,
        in_dialog: bool = False,
    ) -> SipMessage:
        """
        Send a request and return its final response.

        It goes to its first Route, in a dialog without route set to the remote target (RFC 3261 12.2.1.1),
        else to the proxy; also where those are names, which are the proxy's business to resolve.

        Raises:
            NoAnswer, TransportFailed: there is none.
        """
        route = next((value for name, value in headers if name.lower() == "route"), "")
        hop = route.partition("<")[2].partition(">")[0] or (uri if in_dialog else "")
        return await self.client.request(method, uri, headers, body, self._address_of(hop))

    def _address_of(self, uri: str) -> Address:
        if not uri:
            return self.first_hop
        try:
            parsed = SipUri.parse(uri, "Route")
            host = parsed.host.strip("[]")
            ipaddress.ip_address(host)
        except (ValueError, MalformedSip):
            return self.first_hop
        scheme = (parsed.param("transport") or "udp").lower()
        if scheme != self.scheme:
            return self.first_hop
        return host, parsed.port or _DEFAULT_PORT[self.scheme]

    def _transport(self, host: str) -> Transport:
        port = self._listen.port
        if self.scheme == "udp":
            return UdpTransport(host, port, self._received)
        if self.scheme == "tcp":
            return StreamTransport(host, port, self._received)
        return StreamTransport(
            host,
            port,
            self._received,
            client=self._listen.tls or ssl.create_default_context(),
            server=self._listen.tls_server,
            server_name=self._uri.host.strip("[]"),
        )

    def _lost(self) -> None:
        for device in tuple(self._devices.values()):
            device.connection_lost()

    # ---- what arrives -----------------------------------------------------------------------------------

    def _received(self, data: bytes, source: Source) -> None:
        """Never raises: whatever came, the process goes on."""
        try:
            self._take(data, source)
        except Exception:  # noqa: BLE001 - the last line before the socket
            log.get().exception("receiver_failed", peer=f"{source.address[0]}:{source.address[1]}")

    def _take(self, data: bytes, source: Source) -> None:
        try:
            message = read_datagram(data)
            core = read_core(message)
        except MalformedSip as error:
            self.malformed += 1
            self._answer_malformed(data, source, error)
            return
        if message.status is not None:
            self.client.response(message, core)
        elif core.cseq.method == "ACK":
            self._acknowledged(message, core)
        else:
            self._take_request(message, core, source)

    def _transaction(self, method: str, answer: Callable[[bytes], None]) -> ServerTransaction:
        if method == "INVITE":
            return InviteTransaction(answer, self._timers, reliable=self.transport.reliable)
        return ServerTransaction(answer)

    def _acknowledged(self, message: SipMessage, core: Core) -> None:
        known = self.server.of_ack(core)
        if isinstance(known, InviteTransaction):
            known.acknowledged()
            return
        with suppress(MalformedSip):  # an ACK is never answered
            device = self._device(SipUri.parse(message.request_uri).user)
            if device is not None:
                device.acknowledged(core)

    def _answer_malformed(self, data: bytes, source: Source, error: MalformedSip) -> None:
        left = salvage(data)
        if left is None:
            return
        reason = "Bad Request" if left.status == 400 else "Version Not Supported"
        headers = [*left.headers, warning(str(error))]
        source.answer(write_response(left.status, reason, headers), source.address)

    def _take_request(self, message: SipMessage, core: Core, source: Source) -> None:
        back = self._way_back(core, source)
        try:
            transaction = self.server.take(message, core, lambda data: source.answer(data, back))
        except Overloaded as error:
            headers = [*answer_headers(message, "overload"), ("Retry-After", str(error.retry_after_s))]
            source.answer(write_response(error.sip_status, error.sip_reason, headers), back)
            return
        if transaction is None:
            return
        trusted = self._is_trusted(source.address[0])
        request = Request(message, core, source.address, trusted, transaction)
        try:
            self._check_and_pass(request)
        except PushError as error:
            request.refuse(error)
        except Exception:  # noqa: BLE001 - every request gets an answer
            log.get().exception("receiver_failed", method=request.method)
            if not request.is_answered:
                request.answer(500, "Server Internal Error")

    def _check_and_pass(self, request: Request) -> None:
        if request.method == "CANCEL":
            self._cancel(request)
            return
        try:
            uri = SipUri.parse(request.message.request_uri)
        except MalformedSip:
            scheme = request.message.request_uri.partition(":")[0].lower()
            if scheme in ("sip", "sips", "tel"):
                raise
            request.answer(416, "Unsupported URI Scheme")
            return
        unsupported = _unsupported(request.message)
        if unsupported:
            request.answer(420, "Bad Extension", [("Unsupported", ", ".join(unsupported))])
        elif request.method not in METHODS:
            request.answer(405, "Method Not Allowed", [("Allow", ", ".join(METHODS))])
        elif (device := self._device(uri.user)) is None:
            request.answer(404, "Not Found")
        else:
            device.take(request)

    def _cancel(self, request: Request) -> None:
        """All but an INVITE is answered at once: nothing of it is left to cancel."""
        known = self.server.of_cancelled(request.core)
        if known is None:
            request.answer(481, "Call/Transaction Does Not Exist")
            return
        request.to_tag = known.to_tag
        request.answer(200, "OK")
        if isinstance(known, InviteTransaction):
            known.cancel()

    def _device(self, user: str) -> Device | None:
        """A lone device takes whatever is sent to its address; its GRUU has another user part."""
        if len(self._devices) == 1:
            return next(iter(self._devices.values()))
        return self._devices.get(user)

    def _way_back(self, core: Core, source: Source) -> Address:
        """Where responses go over UDP (RFC 3261 18.2.2, RFC 3581 4)."""
        if core.via.rport_asked:
            return source.address
        return source.address[0], core.via.port or _DEFAULT_PORT["udp"]

    def _is_trusted(self, host: str) -> bool:
        if host == self.first_hop[0]:
            return True
        address = ipaddress.ip_address(host.partition("%")[0])
        return any(address in network for network in self._trusted)


def warning(text: str) -> tuple[str, str]:
    """Return the Warning header (RFC 3261 20.43) that tells people why."""
    plain = "".join(char if char.isprintable() and char not in '"\\' else "'" for char in text)
    return "Warning", f'399 omapush "{plain[:200]}"'


def _unsupported(message: SipMessage) -> list[str]:
    """Option tags of Require that we do not have; Proxy-Require is for others."""
    wanted = [tag for value in message.all("require") for tag in split_quoted(value, ",", "Require") if tag]
    return [tag for tag in wanted if tag.lower() not in SUPPORTED]


async def _resolved(host: str, port: int) -> Address:
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise TransportFailed(f"proxy {host}: {error.strerror}") from error
    return str(found[0][4][0]), port


def _address_towards(peer: Address) -> str:
    """The own address from which packets to `peer` leave; nothing is sent."""
    family = socket.AF_INET6 if ":" in peer[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(peer)
        except OSError as error:
            raise TransportFailed(f"no way to {peer[0]}: {error.strerror}") from error
        return str(probe.getsockname()[0])
