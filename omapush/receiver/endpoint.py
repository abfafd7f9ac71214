"""
Where SIP enters and leaves: a transport with its transactions, shared by one or many devices.

What breaks a rule of RFC 3261 that every request has to keep is answered here; a device sees only requests
that can be read, each once.
"""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, Protocol, cast

from omapush import clock, log
from omapush.errors import MalformedSip, Overloaded, PushError, TryLater
from omapush.protocol import content_coding
from omapush.protocol.name_addr import split_quoted
from omapush.protocol.sip_core import Core, read_core
from omapush.protocol.sip_message import SipMessage
from omapush.protocol.sip_servers import DEFAULT_PORT
from omapush.protocol.sip_uri import SipUri
from omapush.protocol.sip_wire import answer_headers, read_datagram, salvage, with_source, write_response
from omapush.receiver.access import Access, scheme_of
from omapush.receiver.invite_transaction import InviteTransaction
from omapush.receiver.media import MediaEndpoint
from omapush.receiver.settings import Listen, Network, Sessions, Timers
from omapush.receiver.transactions import ClientTransactions, ServerTransaction, ServerTransactions
from omapush.receiver.transport import Address, Source

METHODS: Final = ("MESSAGE", "NOTIFY", "REFER", "SUBSCRIBE", "OPTIONS", "INVITE", "ACK", "BYE", "CANCEL")
"What Allow lists."
SUPPORTED: Final = ("pref", "path", "gruu", "norefersub")
"Option tags that a Require may name."
_LONGEST_SESSION_S: Final = 3_600.0
"So long an address that was left is kept for the sessions that were begun there."


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
    """All ways towards one proxy and from it."""

    def __init__(
        self, proxy: str, listen: Listen, *, timers: Timers | None = None, trusted: Sequence[Network] = ()
    ) -> None:
        """
        Raises:
            MalformedSip: the proxy is no SIP URI, or its transport is unknown.
        """
        uri = SipUri.parse(proxy, "proxy")
        if uri.scheme == "tel" or scheme_of(uri) not in DEFAULT_PORT:
            raise MalformedSip("proxy", f"a SIP URI over udp, tcp or tls is needed: {proxy}")
        self.proxy = proxy
        self._uri = uri
        self._listen = listen
        self._access = Access(uri, listen, self._received)
        self._former: dict[Access, asyncio.Task[None]] = {}
        "Those of addresses before this one, for what is still under way there."
        self._timers = timers or Timers()
        self._trusted = tuple(trusted)
        self._devices: dict[str, Device] = {}
        self._media: MediaEndpoint | None = None
        self.malformed = 0
        "Messages that could not be read."

    async def start(self) -> None:
        """
        Resolve the proxy and open everything.

        Raises:
            TransportFailed: no such host, no free port, or no connection.
            BadConfiguration: an address to listen on that nobody could be told.
        """
        await self._access.start()
        self.client = ClientTransactions(self._timers)
        self._access.watch(self._lost, self.client.broken)
        self.server = ServerTransactions(self._timers, self._transaction)

    async def close(self) -> None:
        """Close everything; requests still waiting for an answer end with their timer."""
        if self._media is not None:
            await self._media.close()
        for former, closing in tuple(self._former.items()):
            closing.cancel()
            await former.close()
        await self._access.close()

    async def move(self, host: str = "") -> None:
        """
        Go on from another local address: `host`, or the one that leads to the proxy now.

        What is under way at the old one is still taken and answered there for 64*T1, and as long as there are
        sessions; requests of ours that wait for an answer end with `Moved`.

        Raises:
            TransportFailed, BadConfiguration: nothing can be opened there; all stays as it was.
        """
        access = Access(self._uri, self._listen, self._received)
        await access.start(host)
        former, self._access = self._access, access
        former.watch(lambda: None, self.client.broken)
        access.watch(self._lost, self.client.broken)
        self._former[former] = asyncio.create_task(self._close_later(former))
        self.client.move()
        if self._media is not None:
            self._media.move(access.local[0])

    async def _close_later(self, access: Access) -> None:
        """Senders of sessions know the old address: what they send in these dialogs goes there."""
        end = clock.monotonic() + _LONGEST_SESSION_S
        await asyncio.sleep(self._timers.longest_s)
        while self._media is not None and self._media.sessions and clock.monotonic() < end:
            await asyncio.sleep(self._timers.longest_s)
        await access.close()
        del self._former[access]

    @property
    def local(self) -> Address:
        """Where requests reach us; complete after `start`."""
        return self._access.local

    def media(self, settings: Sessions) -> MediaEndpoint:
        """Return where MSRP comes in; of several devices the first one's settings count."""
        if self._media is None:
            self._media = MediaEndpoint(settings, self.local[0])
        return self._media

    @property
    def proxy_addresses(self) -> int:
        """How many addresses the proxy's name has."""
        return len(self._access.hops)

    def use_next_proxy(self) -> None:
        """Have requests to the proxy go to its next address."""
        self._access.use_next_hop()

    async def find_proxy_again(self) -> None:
        """Ask DNS once more where the proxy is."""
        await self._access.look_again()

    async def ready(self) -> None:
        """Have a way for requests to us before a Contact is written; raises TransportFailed."""
        await self._access.ready()

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
        host, port = self.local
        shown = f"[{host}]" if ":" in host else host
        scheme = self._access.scheme
        transport = "" if scheme == "udp" else f";transport={scheme}"  # udp: or TCP at the same port
        return f"sip:{user}@{shown}:{port}{transport}"

    async def request(
        self,
        method: str,
        uri: str,
        headers: Sequence[tuple[str, str]],
        body: bytes = b"",
        *,
        hop: str = "",
    ) -> SipMessage:
        """
        Send a request to the URI `hop` and return its final response.

        Without a hop it goes to the proxy, and so it does where that is a name, which is the proxy's
        business to resolve.

        Raises:
            NoAnswer, TransportFailed: there is none.
        """
        return await self.client.request(method, uri, headers, body, self._access.way(hop))

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

    def _transaction(self, method: str, answer: Callable[[bytes], None], reliable: bool) -> ServerTransaction:
        if method == "INVITE":
            return InviteTransaction(answer, self._timers, reliable=reliable)
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
            transaction = self.server.take(
                message, core, lambda data: source.answer(data, back), reliable=source.reliable
            )
        except Overloaded as error:
            headers = [*answer_headers(message, "overload"), ("Retry-After", str(error.retry_after_s))]
            source.answer(write_response(error.sip_status, error.sip_reason, headers), back)
            return
        if transaction is None:
            return
        trusted = self._is_trusted(source.address[0])
        marked = with_source(message, core.via, *source.address)
        request = Request(marked, core, source.address, trusted, transaction)
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
        """Where responses go over UDP, or over a new connection (RFC 3261 18.2.2, RFC 3581 4)."""
        if core.via.rport_asked and not source.reliable:
            return source.address
        return source.address[0], core.via.port or DEFAULT_PORT.get(core.via.transport.lower(), 5060)

    def _is_trusted(self, host: str) -> bool:
        if any(host == hop[0] for one in (self._access, *self._former) for hop in one.hops):
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
