"""The tables of the configuration file about large content, see sections.py."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from omapush.config.keys import restart
from omapush.config.sections import Section


class Content(Section, frozen=True):
    """Links to large content (`INDIRECT` in `methods`), and the server behind them."""

    url: str = ""
    """What links begin with, such as `https://content.home1.example/content/`; empty: from the address."""
    listen: Annotated[str, restart("api")] = ""
    """Address and port of a server of its own, in the api process; empty: `api.listen` serves links."""
    certificate: Annotated[str, restart("api")] = ""
    """File with the certificate of `listen` (PEM); empty: no TLS."""
    private_key: Annotated[str, restart("api")] = ""
    """File with its key (PEM)."""
    lifetime_s: Annotated[int, Meta(ge=1, le=31_536_000)] = 86_400
    """How long a link is good, never beyond deliver-before; content that has links is kept as long."""
    downloads: Annotated[int, Meta(ge=1, le=10_000)] = 64
    """Contents that are being fetched at one time; more get 503. Each needs up to 512 KB."""
    requests_a_minute: Annotated[int, Meta(ge=1, le=100_000)] = 120
    """Requests for one link, and wrong links from one address; more get 429."""
    stalled_s: Annotated[float, Meta(gt=0, le=3_600)] = 30.0
    """A device that takes nothing for so long is hung up on; it may go on with Range."""


class Msrp(Section, frozen=True):
    """Media workers: MSRP sessions that carry large content."""

    listen: Annotated[str, restart("msrp")] = "127.0.0.1:2855"
    """Address and port of the first worker of this node; the second one takes the next port, and so on."""
    workers: Annotated[Annotated[int, Meta(ge=1, le=64)], restart("msrp")] = 2
    """Worker processes of this node, each with a port of its own."""
    public_host: Annotated[str, restart("msrp")] = ""
    """Host that devices connect to, where it is not the one of `listen`."""
    tls: Annotated[bool, restart("msrp")] = False
    """Every session over TLS (`msrps`). Needs `certificate` and `private_key`."""
    certificate: Annotated[str, restart("msrp")] = ""
    """File with our certificate, and those between it and its root (PEM)."""
    private_key: Annotated[str, restart("msrp")] = ""
    """File with its key (PEM)."""
    trusted_certificates: Annotated[str, restart("msrp")] = ""
    """
    File with roots that devices' certificates may lead to (PEM); empty: those of the system. A device whose
    answer names the fingerprint of its certificate needs none.
    """
    streams: Annotated[int, Meta(ge=1, le=100_000)] = 1_000
    """Contents that one worker carries at a time."""
    chunk_bytes: Annotated[int, Meta(ge=2_048, le=4_194_304)] = 4_194_304
    """Largest chunk of one content that is sent at a time; slow connections get smaller ones."""
    kept_bytes: Annotated[int, Meta(ge=0, le=1_073_741_824)] = 67_108_864
    """
    Content that a worker keeps in memory after it was sent, for the next device that gets the same; up to
    half of it is for what devices are being asked to take.
    """
    connect_s: Annotated[float, Meta(gt=0, le=120)] = 10.0
    """Longest wait for a connection to the device, or from it."""
    idle_s: Annotated[float, Meta(gt=0, le=3_600)] = 30.0
    """A stream that has content to send and can't for so long has failed."""
    report_s: Annotated[float, Meta(gt=0, le=3_600)] = 120.0
    """Longest wait for the report that confirms the last byte."""
    total_s: Annotated[float, Meta(gt=0, le=86_400)] = 1_800.0
    """Longest time for one content, from connection to confirmation."""
    lease_ms: Annotated[int, Meta(ge=500, le=60_000)] = 5_000
    """A worker that gave no sign of life for so long is dead; what it carried is tried again."""


class Sessions(Section, frozen=True):
    """Sessions in which large pushes travel: INVITE, then MSRP media, carried by a media worker."""

    enabled: bool = True
    """Open sessions; false: pushes that need one take the next method that their profile allows."""
    answer_s: Annotated[int, Meta(ge=1, le=110)] = 60
    """How long a device may take to answer an INVITE; then it is cancelled, and tried again by plan."""
    linger_s: Annotated[float, Meta(ge=0, le=600)] = 10.0
    """
    When a file has been delivered and others of its session are under way, its m-line is closed so much
    later, with all that were delivered meanwhile. The last one ends the session at once.
    """
    files: Annotated[int, Meta(ge=1, le=32)] = 8
    """Most pushes to one user and application that share a session."""
    window: Annotated[int, Meta(ge=1, le=5_000)] = 200
    """INVITEs and BYEs that one sender process may have in flight."""
