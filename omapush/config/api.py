"""The table of the configuration file about the HTTP front, see sections.py."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from omapush.config.keys import restart
from omapush.config.sections import Bytes, Section


class Api(Section, frozen=True):
    """The HTTP front for push initiators."""

    listen: Annotated[str, restart("api")] = "127.0.0.1:8080"
    """Address and port for PAP, JSON, health and metrics."""
    certificate: Annotated[str, restart("api")] = ""
    """
    PEM file with our certificate and the certificates between it and its CA. If set, the api speaks TLS
    1.2 or later, and nothing else. A new file is used within 10 s, without a restart.
    """
    private_key: Annotated[str, restart("api")] = ""
    """PEM file with its private key, without a password."""
    trusted_certificates: Annotated[str, restart("api")] = ""
    """
    PEM file with the CAs that issue the certificates of initiators; use private CAs, never public ones. A
    client with a certificate of another CA fails in the handshake; a client without a certificate needs a
    password or a token.
    """
    crl: Annotated[str, restart("api")] = ""
    """
    PEM file with the certificate revocation lists of those CAs, one for each CA. A client with a revoked
    certificate fails in the handshake. New lists are used within 10 s. When a list is past its next
    update, no client certificate of that CA is accepted. Empty: revocation is not checked.
    """
    connections_per_address: Annotated[int, Meta(ge=1, le=100_000), restart("api")] = 256
    """
    Connections that one address may have open. A further one is answered 429 and closed. Connections from
    `trusted_proxies` are not counted.
    """
    request_s: Annotated[float, Meta(ge=1, le=3_600), restart("api")] = 30.0
    """
    A request that is not complete this long after its beginning gets 408. Each 64 KiB of its body add a
    second. When nothing of an answer is taken for twice as long, its connection is closed.
    """
    trusted_proxies: Annotated[tuple[str, ...], restart("api")] = ("127.0.0.1", "::1")
    """Addresses or networks of proxies whose `X-Forwarded-For` is believed."""
    monitors: tuple[str, ...] = (
        *("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"),
        *("::1/128", "fc00::/7", "fe80::/10"),
    )
    """
    Addresses or networks that may read `/metrics` and see the reasons that `/readyz` gives, since both
    contain internal details. The address of `listen` may, too. Others get 403, and from `/readyz` only
    the status.
    """
    max_body_bytes: Annotated[Bytes, restart("api")] = 100_663_296
    """Largest HTTP request body, in bytes; larger ones get 413. Content in JSON needs a third more room."""
    large_bodies_bytes: Bytes = 268_435_456
    """
    Bytes that bodies above 1 MB may take together; further ones wait 5 s and then get 503. Bodies of 64
    KB to 1 MB have a quarter of that for themselves. The process needs up to three times all of this in
    memory.
    """
    max_addresses: Annotated[int, Meta(ge=1, le=100_000)] = 10_000
    """Recipients of one push. The PAP control entity may have 192 bytes for each, and at least 65,536."""
    max_lists: Annotated[int, Meta(ge=0, le=100_000)] = 1_000
    """Number of distribution lists that one initiator may have."""
    max_members: Annotated[int, Meta(ge=1, le=1_000_000)] = 100_000
    """Members of one distribution list. A push to lists with more than `max_addresses` members is refused."""
    max_waiting: Annotated[int, Meta(ge=1, le=100_000_000)] = 2_000_000
    """
    Deliveries that may wait in the outbox for all users together, including those for a later time. When
    there are more, a push is answered 503 with Retry-After.
    """
