"""
The ways of one endpoint to its proxy and from it: UDP with TCP beside it, or TCP, or TLS.

Whoever takes UDP takes TCP on the same port, for what is too large for a datagram comes and goes that way
(RFC 3261 18.1.1, 18.2.1). Behind a NAT nobody can connect to the device: requests come over its own
connection, or to the port that it sends from, and that is kept open (RFC 5626 4.4).
"""

from __future__ import annotations

import asyncio
import ipaddress
import random
import socket
import ssl
from collections.abc import Callable
from typing import Final, NamedTuple

from omapush import resolving
from omapush.errors import BadConfiguration, MalformedSip, TryLater
from omapush.protocol.sip_servers import DEFAULT_PORT, Server
from omapush.protocol.sip_uri import SipUri
from omapush.receiver.settings import Listen
from omapush.receiver.transport import (
    Address,
    Receive,
    StreamTransport,
    Transport,
    TransportFailed,
    UdpTransport,
)

_PORT_TRIES: Final = 20
"For a port that is free for UDP and TCP alike."
_KEEP_ALIVE_S: Final = {"udp": 25.0, "tcp": 110.0, "tls": 110.0}
"RFC 5626 4.4.1, 4.4.2: so long a NAT remembers at least."


class Way(NamedTuple):
    """Where one request goes."""

    transport: Transport
    to: Address
    large: StreamTransport | None = None
    "Instead of `transport` for a request that is too large for a datagram; None: there is nothing else."


def scheme_of(uri: SipUri) -> str:
    """Return the transport that a SIP URI asks for: `udp`, `tcp`, `tls`, or another word."""
    return "tls" if uri.scheme == "sips" else (uri.param("transport") or "udp").lower()


class Access:
    """What is open towards one proxy from one local address."""

    def __init__(self, proxy: SipUri, listen: Listen, receive: Receive) -> None:
        self.scheme = scheme_of(proxy)
        "The transport; DNS may choose another one where the URI of the proxy names none."
        self._proxy = proxy
        self._listen = listen
        self._receive = receive
        self.hops: tuple[Address, ...] = ()
        "Of the proxy, once its name is resolved; the first one is used."
        self.transport: Transport
        self._stream: StreamTransport | None = None
        self._keeping: asyncio.Task[None] | None = None

    @property
    def local(self) -> Address:
        """Where requests reach us."""
        return self.transport.local

    async def start(self, host: str = "") -> None:
        """
        Resolve the proxy and open everything, at `host` or at the address that leads to the proxy.

        Raises:
            TransportFailed: no such host, no free port, or no connection.
            BadConfiguration: an address to listen on that nobody could be told.
        """
        found = await _servers(self._proxy)
        self.scheme = found[0].transport
        host = host or self._listen.host or _address_towards((found[0].host, found[0].port))
        self.hops = self._hops_among(found, host)
        if host in ("0.0.0.0", "::"):  # noqa: S104 - refused, for a Contact has to name a place
            raise BadConfiguration("listen", f"peers need an address to reach, not {host}")
        if self.scheme == "udp":
            await self._start_udp(host)
        else:
            self.transport = self._stream_at(host)
            await self._start_stream()
        if self._listen.behind_nat:
            self._keeping = asyncio.create_task(self._kept_alive())

    async def _start_stream(self) -> None:
        for left in reversed(range(len(self.hops))):
            try:
                await self.transport.start(self.first_hop)
            except TransportFailed:
                if not left:
                    raise
                self.use_next_hop()
            else:
                return

    async def _start_udp(self, host: str) -> None:
        for left in reversed(range(_PORT_TRIES)):
            self.transport = UdpTransport(host, self._listen.port, self._receive)
            await self.transport.start(self.first_hop)
            if not self._listen.tcp:
                return
            stream = StreamTransport(
                *self.transport.local, self._receive, listens=not self._listen.behind_nat, is_flow=False
            )
            try:
                await stream.start(self.first_hop)
            except TransportFailed:
                await self.transport.close()
                if self._listen.port or not left:
                    raise
            else:
                self._stream = stream
                return

    def _stream_at(self, host: str) -> StreamTransport:
        """A TLS listener needs a certificate, which few devices have."""
        listen = self._listen
        secure = self.scheme == "tls"
        listens = not listen.behind_nat and (not secure or listen.tls_server is not None)
        return StreamTransport(
            host,
            listen.port if listens else 0,
            self._receive,
            client=(listen.tls or ssl.create_default_context()) if secure else None,
            server=listen.tls_server if secure else None,
            server_name=self._proxy.host.strip("[]"),
            listens=listens,
            is_flow=not listens,
        )

    @property
    def first_hop(self) -> Address:
        """The address of the proxy that requests go to."""
        return self.hops[0]

    def use_next_hop(self) -> None:
        """Have requests go to the proxy's next address: the one before does not answer (RFC 3263 4.3)."""
        self.hops = (*self.hops[1:], self.hops[0])

    async def look_again(self) -> None:
        """Ask DNS once more where the proxy is, for none of its addresses answers; what it says counts."""
        try:
            found = await _servers(self._proxy)
        except TransportFailed:
            return
        self.hops = self._hops_among(found, self.local[0]) or self.hops

    def _hops_among(self, found: tuple[Server, ...], host: str) -> tuple[Address, ...]:
        """Those that are reached by our transport, and from our address if any is."""
        hops = tuple(dict.fromkeys((one.host, one.port) for one in found if one.transport == self.scheme))
        return tuple(one for one in hops if (":" in one[0]) == (":" in host)) or hops

    async def ready(self) -> None:
        """Have a way for requests to us before a Contact is written; raises TransportFailed."""
        await self.transport.ready(self.first_hop)

    def watch(self, lost: Callable[[], None], broken: Callable[[Transport, Address], None]) -> None:
        """
        Have `lost` called when the connection breaks that requests to us would have come over.

        `broken` is called for each connection of ours that is over, with what it led to.
        """
        self.transport.lost = lost
        for transport in (self.transport, self._stream):
            if transport is not None:
                transport.broken = broken

    async def close(self) -> None:
        """Close everything."""
        if self._keeping is not None:
            self._keeping.cancel()
        if self._stream is not None:
            await self._stream.close()
        await self.transport.close()

    def way(self, uri: str) -> Way:
        """
        Return where a request goes whose next hop is `uri`; to the proxy when that is empty.

        Names are the proxy's business to resolve, and so is what is not reached by a transport of ours.
        """
        if not uri:
            return self._to_proxy()
        try:
            parsed = SipUri.parse(uri, "Route")
            host = parsed.host.strip("[]")
            ipaddress.ip_address(host)
        except (ValueError, MalformedSip):
            return self._to_proxy()
        scheme = scheme_of(parsed)
        if scheme == self.scheme:
            return Way(self.transport, (host, parsed.port or DEFAULT_PORT[scheme]), self._stream)
        if scheme == "tcp" and self._stream is not None:
            return Way(self._stream, (host, parsed.port or DEFAULT_PORT[scheme]))
        return self._to_proxy()

    def _to_proxy(self) -> Way:
        return Way(self.transport, self.first_hop, self._stream)

    async def _kept_alive(self) -> None:
        """Say something before a NAT forgets the way back to us."""
        every_s = self._listen.keep_alive_s or _KEEP_ALIVE_S[self.scheme]
        while True:
            await asyncio.sleep(every_s * random.uniform(0.8, 1.0))
            await self.transport.keep_alive(self.first_hop)


async def _servers(proxy: SipUri) -> tuple[Server, ...]:
    """Where a proxy is (RFC 3263); addresses as the system knows them, by /etc/hosts as well."""
    try:
        return (await resolving.find(proxy, transports=tuple(DEFAULT_PORT), by_system=True)).servers
    except TryLater as error:
        raise TransportFailed(f"proxy {proxy.host}: {error}") from error


def _address_towards(peer: Address) -> str:
    """The own address from which packets to `peer` leave; nothing is sent."""
    family = socket.AF_INET6 if ":" in peer[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(peer)
        except OSError as error:
            raise TransportFailed(f"no way to {peer[0]}: {error.strerror}") from error
        return str(probe.getsockname()[0])
