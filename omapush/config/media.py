"""The tables of the configuration file about large content, see sections.py."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from omapush.config.keys import restart
from omapush.config.sections import Section


class Content(Section, frozen=True):
    """Links to large content (`INDIRECT` in `methods`), and the server that the links lead to."""

    url: str = ""
    """
    Beginning of the links, such as `https://content.home1.example/content/`. Empty: made from the address
    that serves them.
    """
    listen: Annotated[str, restart("api")] = ""
    """
    Address and port of a separate server for content, in the api process. Empty: `api.listen` serves it.
    """
    certificate: Annotated[str, restart("api")] = ""
    """PEM file with the certificate of `listen`. Empty: no TLS."""
    private_key: Annotated[str, restart("api")] = ""
    """PEM file with its private key."""
    lifetime_s: Annotated[int, Meta(ge=1, le=31_536_000)] = 86_400
    """How long a link is valid, but never beyond deliver-before. Content with links is kept as long."""
    downloads: Annotated[int, Meta(ge=1, le=10_000)] = 64
    """Number of downloads at the same time; further requests get 503. Each needs up to 512 KB of memory."""
    requests_a_minute: Annotated[int, Meta(ge=1, le=100_000)] = 120
    """Requests a minute for one link; further ones get 429."""
    stalled_s: Annotated[float, Meta(gt=0, le=3_600)] = 30.0
    """
    The connection of a device that reads nothing for this long is closed. The device may continue with
    Range.
    """


class Msrp(Section, frozen=True):
    """Media workers: MSRP sessions that carry large content."""

    listen: Annotated[str, restart("msrp")] = "127.0.0.1:2855"
    """Address and port of the first worker of this node. The second worker takes the next port, and so on."""
    workers: Annotated[Annotated[int, Meta(ge=1, le=64)], restart("msrp")] = 2
    """Number of worker processes on this node, each with a port of its own."""
    public_host: Annotated[str, restart("msrp")] = ""
    """Host that devices connect to, if it is not the one in `listen`."""
    tls: Annotated[bool, restart("msrp")] = False
    """Use TLS in every session (`msrps`). This needs `certificate` and `private_key`."""
    certificate: Annotated[str, restart("msrp")] = ""
    """
    PEM file with our certificate and the certificates between it and its root. Offers name its fingerprint
    (`a=fingerprint`), so it may be self-signed.
    """
    private_key: Annotated[str, restart("msrp")] = ""
    """PEM file with its private key."""
    trusted_certificates: Annotated[str, restart("msrp")] = ""
    """
    PEM file with the roots of the certificates of devices. Empty: those of the system. A device whose
    answer names the fingerprint of its certificate needs none.
    """
    streams: Annotated[int, Meta(ge=1, le=100_000)] = 1_000
    """Number of contents that one worker may transfer at the same time."""
    chunk_bytes: Annotated[int, Meta(ge=2_048, le=4_194_304)] = 4_194_304
    """Largest chunk of one content, in bytes. Slow connections get smaller ones."""
    kept_bytes: Annotated[int, Meta(ge=0, le=1_073_741_824)] = 67_108_864
    """
    Bytes of content that a worker keeps in memory after sending it, for the next device that gets the
    same. Up to half of them are used for content that devices are being asked to accept.
    """
    connect_s: Annotated[float, Meta(gt=0, le=120)] = 10.0
    """Longest wait for a connection to the device, or from it."""
    idle_s: Annotated[float, Meta(gt=0, le=3_600)] = 30.0
    """A transfer that has content to send and cannot send any for this long has failed."""
    report_s: Annotated[float, Meta(gt=0, le=3_600)] = 120.0
    """Longest wait for the report that confirms the last byte."""
    total_s: Annotated[float, Meta(gt=0, le=86_400)] = 1_800.0
    """Longest time for one content, from the connection to the confirmation."""
    lease_ms: Annotated[int, Meta(ge=500, le=60_000)] = 5_000
    """A worker that gives no sign of life for this long counts as dead; its transfers are tried again."""


class Sessions(Section, frozen=True):
    """Sessions in which large pushes travel: INVITE, then MSRP media, carried by a media worker."""

    enabled: bool = True
    """
    Open sessions. If false, pushes that need a session use the next method that their application allows.
    """
    answer_s: Annotated[int, Meta(ge=1, le=110)] = 60
    """
    How long a device may take to answer an INVITE. Then the INVITE is cancelled, and tried again by the
    retry plan.
    """
    linger_s: Annotated[float, Meta(ge=0, le=600)] = 10.0
    """
    When a file has been delivered while other files of the session are under way, its m-line is closed
    this much later, together with those delivered meanwhile. The last file ends the session at once.
    """
    files: Annotated[int, Meta(ge=1, le=32)] = 8
    """Largest number of pushes to one user and application in one session."""
    window: Annotated[int, Meta(ge=1, le=5_000)] = 200
    """
    Largest number of INVITEs and BYEs that one sender process may have in flight; three quarters of them at
    most to one next hop, so that a silent S-CSCF does not block the others. New sessions wait while it is
    reached. An INVITE that rings, or is not answered, is not counted after a second, as far as the
    shared memory has room for it and others are answered.
    """
