"""
The trust domain (RFC 3324, RFC 3325, TS 24.229 4.4): which peers are in it, and where it ends.

Trust is a property of the link, never of what a message says: the socket's address, or the name in a
certificate that TLS has verified.
"""

from __future__ import annotations

import ipaddress
from typing import Final, NamedTuple

from omapush.errors import MalformedSip
from omapush.protocol.sip_uri import SipUri


class Domain(NamedTuple):
    """What configuration says belongs to it."""

    networks: tuple[str, ...]
    "Addresses and networks of peers."
    names: tuple[str, ...]
    "Host names in certificates, or `*.` and the end of some; none: certificates tell nothing."


class Certificate(NamedTuple):
    """What a verified certificate of a TLS peer says who it is (RFC 5922 7.1)."""

    uri: str
    "First URI of subjectAltName; empty when there is none."
    host: str
    "First dNSName of subjectAltName."
    common_name: str

    @property
    def name(self) -> str:
        """Return its SIP identity; the common name counts only where subjectAltName has none."""
        return (self.uri.removeprefix("sip:") or self.host or self.common_name).lower().rstrip(".")


NO_CERTIFICATE: Final = Certificate("", "", "")


def is_trusted(domain: Domain, address: str, certificate: Certificate | None) -> bool:
    """
    Tell whether who is at the other end of a link belongs to the domain.

    `certificate`: of a TLS peer; None: the link is none of TLS.
    """
    if certificate is not None and domain.names:
        return is_named(domain, certificate.name)
    source = ipaddress.ip_address(address)
    return any(source in ipaddress.ip_network(network) for network in domain.networks)


def is_named(domain: Domain, name: str) -> bool:
    """Tell whether a host name is one of the domain's."""
    return bool(name) and any(_fits(name, pattern.lower()) for pattern in domain.names)


def _fits(name: str, pattern: str) -> bool:
    if pattern.startswith("*."):
        return name.endswith(pattern[1:]) and len(name) > len(pattern) - 1
    return name == pattern


class Inside(NamedTuple):
    """What is inside, seen from here: the domain, and the next hops that configuration names."""

    domain: Domain
    hosts: frozenset[str]
    "Hosts in lower case, IPv6 addresses without brackets."


def leads_inside(inside: Inside, uri: str) -> bool:
    """
    Tell whether a next hop belongs to the domain.

    Addresses are looked up in the networks. Host names count as inside unless the domain names some: who
    resolves them is the operator's. What is no URI leads nowhere, and so not inside.
    """
    host = host_of(uri)
    if not host or host in inside.hosts:
        return bool(host)
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return not inside.domain.names or is_named(inside.domain, host)
    return any(address in ipaddress.ip_network(network) for network in inside.domain.networks)


def host_of(uri: str) -> str:
    """Return the host of a SIP URI as `Inside` has it; empty when it is none."""
    try:
        return SipUri.parse(uri).host.strip("[]").lower().rstrip(".")
    except MalformedSip:
        return ""
