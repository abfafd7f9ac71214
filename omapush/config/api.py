"""The table of the configuration file about the HTTP front, see sections.py."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from omapush.config.keys import restart
from omapush.config.sections import Bytes, Section


class Api(Section, frozen=True):
    """The HTTP front for push initiators."""

    listen: Annotated[str, restart("api")] = "127.0.0.1:8080"
    """Address and port of PAP, JSON, health and metrics."""
    certificate: Annotated[str, restart("api")] = ""
    """
    PEM file with our certificate, and with those that lead from it to the CA: then the api speaks TLS 1.2 or
    later, and nothing else. A new one is used within 10 s, without a restart.
    """
    private_key: Annotated[str, restart("api")] = ""
    """PEM file with its private key, without a password."""
    trusted_certificates: Annotated[str, restart("api")] = ""
    """
    PEM file with the CAs that certificates of initiators come from: private ones, no public ones. Who shows
    one of another CA does not get through the handshake; who shows none needs a password or a token.
    """
    crl: Annotated[str, restart("api")] = ""
    """
    PEM file with certificate revocation lists of those CAs, one for each of them: certificates on them do not
    get through the handshake. New lists are used within 10 s; once one of them is past its next update, no
    client certificate of that CA is taken. Empty: nothing is looked up.
    """
    connections_per_address: Annotated[int, Meta(ge=1, le=100_000), restart("api")] = 256
    """
    Connections that one address may have open; one more is answered 429 and closed. Those of
    `trusted_proxies` are not counted.
    """
    request_s: Annotated[float, Meta(ge=1, le=3_600), restart("api")] = 30.0
    """
    A request that has not come to its end so long after its beginning gets 408; each 64 KiB of its body give
    it a second more.
    """
    trusted_proxies: Annotated[tuple[str, ...], restart("api")] = ("127.0.0.1", "::1")
    """Addresses or networks of proxies whose `X-Forwarded-For` says where a request comes from."""
    monitors: tuple[str, ...] = (
        *("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"),
        *("::1/128", "fc00::/7", "fe80::/10"),
    )
    """
    Addresses or networks that get `/metrics`, and the reasons that `/readyz` gives: both name what is nobody
    else's business. So does the address of `listen`. Others get 403, and from `/readyz` the status alone.
    """
    max_body_bytes: Annotated[Bytes, restart("api")] = 100_663_296
    """Largest HTTP request body; above it the answer is 413. Content in JSON takes a third more room."""
    large_bodies_bytes: Bytes = 268_435_456
    """
    Bodies above 1 MB that are taken at one time, in bytes together; more wait 5 s, then get 503. Those of
    64 KB to 1 MB have a quarter as much beside them. The process needs up to three times all that.
    """
    max_addresses: Annotated[int, Meta(ge=1, le=100_000)] = 10_000
    """Recipients of one push; a PAP control entity may have 192 bytes for each, 65,536 at least."""
    max_lists: Annotated[int, Meta(ge=0, le=100_000)] = 1_000
    """Distribution lists of one initiator."""
    max_members: Annotated[int, Meta(ge=1, le=1_000_000)] = 100_000
    """Members of one distribution list; a push to more than `max_addresses` of them is refused."""
    max_waiting: Annotated[int, Meta(ge=1, le=100_000_000)] = 2_000_000
    """
    Deliveries that may wait in the outbox of all users, those for a later time among them; beyond it a push
    is answered 503 with Retry-After.
    """
