"""One SIP message as it crossed the network: from where to where, by what, when."""

from __future__ import annotations

import ipaddress
import re
from typing import Final, Literal, NamedTuple

from omapush.errors import MalformedSip

Transport = Literal["udp", "tcp", "tls"]

_UNKNOWN: Final = "0.0.0.0"  # noqa: S104 - stands for an address that is not known; nothing is bound to it
# udp:192.0.2.1:5070, tcp:2001:db8::1:5070, tls:[2001:db8::1]:5061
_WRITTEN: Final = re.compile(r"(udp|tcp|tls|ws|wss|sctp):(.{0,64}):([0-9]{1,5})")


class Endpoint(NamedTuple):
    """One side of an exchange."""

    host: str
    "An IP address; IPv6 without brackets."
    port: int

    @property
    def is_ipv6(self) -> bool:
        """Tell whether it is an IPv6 address."""
        return ":" in self.host

    @property
    def packed(self) -> bytes:
        """The address as 4 or 16 octets."""
        return ipaddress.ip_address(self.host).packed

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if self.is_ipv6 else f"{self.host}:{self.port}"


class Packet(NamedTuple):
    """What was sent once, or received once."""

    at_us: int
    "Microseconds since 1970."
    transport: Transport
    source: Endpoint
    destination: Endpoint
    payload: bytes


def endpoint(text: str) -> tuple[Transport, Endpoint]:
    """
    Read an address as Kamailio writes it, `udp:192.0.2.1:5070`.

    A host that is a name is not known: it becomes 0.0.0.0.

    Raises:
        MalformedSip: it is none.
    """
    found = _WRITTEN.fullmatch(text)
    if found is None or int(found[3]) > 65_535:
        raise MalformedSip("address", "not transport, address and port")
    transport: Transport = "udp" if found[1] == "udp" else "tls" if found[1] in ("tls", "wss") else "tcp"
    host = found[2].removeprefix("[").removesuffix("]")
    try:
        host = str(ipaddress.ip_address(host.partition("%")[0]))
    except ValueError:
        host = _UNKNOWN
    return transport, Endpoint(host, int(found[3]))
