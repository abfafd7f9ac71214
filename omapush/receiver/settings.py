"""What a receiver is told before it starts: who it is, what it takes, how it behaves."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Final, Literal

from omapush.config.forms import ARI, MEDIA_TYPE
from omapush.errors import BadConfiguration, shortened
from omapush.receiver.device_policy import DevicePolicy
from omapush.receiver.memory import Memory
from omapush.receiver.whitelist import Whitelist

Network = IPv4Network | IPv6Network

DEFAULT_ACCEPT: Final = ("*/*",)


@dataclass(frozen=True, slots=True)
class Timers:
    """Base timers of RFC 3261 17.1.1.1, in seconds."""

    t1_s: float = 0.5
    t2_s: float = 4.0

    @property
    def longest_s(self) -> float:
        """Timers B, F, H, J and N: how long anything is waited for."""
        return 64 * self.t1_s


@dataclass(frozen=True, slots=True)
class Credentials:
    """How the user proves who they are: a password, or the secrets of a SIM (AKAv1-MD5)."""

    username: str = ""
    "Private user identity (IMPI); empty: the public identity without `sip:`."
    password: str = field(default="", repr=False)
    key: bytes = field(default=b"", repr=False)
    "K, 16 bytes; with it AKA is used instead of the password."
    op: bytes = field(default=b"", repr=False)
    "OP, 16 bytes; only one of OP and OPc is needed."
    opc: bytes = field(default=b"", repr=False)
    sequence: int = 0
    "SQN: the highest sequence number that the SIM has seen."


@dataclass(frozen=True, slots=True)
class Listen:
    """Where the receiver is reached."""

    host: str = ""
    "Empty: the address that leads to the proxy."
    port: int = 0
    "0: one that is free."
    tls: ssl.SSLContext | None = None
    "Client side; None: the system's trust store."
    tls_server: ssl.SSLContext | None = None
    "With a certificate: also accept TLS connections. Without one requests come over our own connection."
    tcp: bool = True
    "Beside UDP also TCP on the same port, which requests above 1,300 octets take (RFC 3261 18.1.1)."
    behind_nat: bool = False
    """
    Nobody can connect to us: requests come over our own connection, or to the port we send from over UDP.

    For files we connect where the sender leaves that open, as `Sessions.connect` says.
    """
    keep_alive_s: float = 0.0
    "Behind a NAT, at most so long until something is sent again; 0: 25 s over UDP, 110 s over TCP and TLS."


@dataclass(frozen=True, slots=True)
class Senders:
    """Which Push Sender Agents are told of the device, and how (PRA-SUB-4)."""

    device: tuple[str, ...] = ()
    "After each registration a SUBSCRIBE with profile-type=device goes to these URIs."
    vendor: str = "omapush.example"
    model: str = ""
    "Absolute URL of the UAProf document; needed when `device` is not empty."
    version: str = "1"


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a peer may make us do."""

    content_bytes: int = 1_048_576
    "Largest content after its encoding was undone; 413 above."
    answer_within_s: float = 10.0
    "An application that decides later than this refuses: 500 with Retry-After."
    remembered: int = 1_000
    "Pushes whose repetition is recognised while the device runs."
    refer_interval_s: float = 30.0
    "From one REFER of a sender for an application to the next; a sooner one gets 500 with Retry-After."
    referrals: int = 16
    "REFERs that may be under way at once."


StopBy = Literal["close", "refuse", "bye", "silence"]
"By closing the connection, by an MSRP 413, by BYE, or by reading no further."


@dataclass(frozen=True, slots=True)
class Play:
    """How a device misbehaves while a file comes, for tests of a sender."""

    octets_per_s: int = 0
    "Reads no faster than that; 0: as fast as it comes."
    stop_at: int = 0
    "Octets of a file after which it stops; 0: never."
    stop_by: StopBy = "close"
    stop_times: int = 0
    "Files that it stops so; those after them come through; 0: all."
    answer: int = 200
    "To each SEND; 0: none."
    report: bool = True
    "Send the REPORT that is asked for."


@dataclass(frozen=True, slots=True)
class Sessions:
    """How large content is taken that comes in sessions (INVITE with MSRP)."""

    enabled: bool = True
    "False: INVITE is answered with 405, and nobody is told that it is taken."
    host: str = ""
    "Where MSRP is listened for; empty: where SIP is."
    port: int = 0
    "0: one that is free."
    tls: ssl.SSLContext | None = None
    "Client side, for `msrps` where we connect; None: the system's trust store."
    tls_server: ssl.SSLContext | None = None
    "With a certificate: `msrps` is taken by listening. Without one it is only taken by connecting."
    certificate: Path | str | None = None
    """
    PEM file with our certificate and its key, which answers name by its fingerprint: it may sign itself
    (RFC 4975 14.4). Shown to senders, whoever connects; in the place of `tls_server`.
    """
    connect: bool = False
    "Connect to the sender where it leaves that open, as a device behind a NAT has to."
    folder: Path | str | None = None
    "Where files are kept; None: in a temporary folder that goes when the device stops."
    in_memory_bytes: int = 65_536
    "Content up to so many octets is handed over as bytes, larger content as a path."
    file_bytes: int = 67_108_864
    "Largest file; a larger one is refused with 413, or with 413 of MSRP when its size was not told."
    files: int = 8
    "Files that one session may bring at a time; more are refused with port 0."
    sessions: int = 16
    "Sessions at a time; one more gets 486."
    refuse_by_port: bool = False
    "Where every file of an INVITE is refused: answer 200 with port 0 instead of the code of the refusal."
    idle_s: float = 60.0
    "A session in which nothing moves for so long is ended."
    total_s: float = 3_600.0
    "The longest that a session may last."
    partial_files: int = 16
    "Interrupted files that are kept for a later session to go on with."
    play: Play = Play()


@dataclass(frozen=True, slots=True)
class Links:
    """Which links in place of content are followed (RFC 4483), and how."""

    domains: tuple[str, ...] = ()
    "Hosts that contents may be fetched from: names, `*.home1.example`, or `*` for all. Empty: no links, 415."
    schemes: tuple[str, ...] = ("https", "http")
    largest_bytes: int = 67_108_864
    "Largest content; a larger one is refused with 413, or given up when its size was not told."
    in_memory_bytes: int = 65_536
    "Content up to so many octets is handed over as bytes, larger content as a path."
    folder: Path | str | None = None
    "Where files are kept; None: in a temporary folder that goes when the device stops."
    at_once: int = 4
    "Contents fetched at a time."
    waiting: int = 32
    "Contents fetched or waiting for that; a link more is refused with 500 and Retry-After."
    tries: int = 5
    "Tries without a new octet before a content is given up; the link's end comes first."
    pause_s: float = 1.0
    "Before the second try; doubles each time."
    stalled_s: float = 30.0
    "A connection on which nothing comes for so long has failed."
    tls: ssl.SSLContext | None = None
    "None: the system's trust store."


@dataclass(frozen=True, slots=True)
class Settings:
    """All that a receiver is told; each value has a default but identity, proxy and applications."""

    uri: str
    "Public user identity."
    proxy: str
    "Outbound proxy (P-CSCF) as a SIP URI; `;transport=tcp` or `tls` chooses the transport."
    credentials: Credentials = Credentials()
    listen: Listen = Listen()
    instance: str = ""
    """
    Device identity, `urn:uuid:...`; empty: a new one each start.

    One that stays the same lets the device remove what it left at the registrar when it was killed. No other
    SIP client of the user may have it.
    """
    expires_s: int = 600_000
    "Registration lifetime to ask for (TS 24.229 5.1.1.2)."
    register: bool = True
    wait_for_network: bool = False
    """
    Start without a network, and without an answer of the registrar, and register as soon as there is one.

    Tried again as RFC 5626 4.5 says, and at once by `refresh` and `move`.
    """
    watch_registration: bool = False
    "Subscribe to the reg event of the user, so that a registration that the network ends is noticed."
    pref_optional: bool = False
    "When the registrar answers 420 to `Require: pref`, register again without it."
    default_application: str = ""
    "Takes pushes that name no application; empty: 404, unless a content type decides."
    accept: tuple[str, ...] = DEFAULT_ACCEPT
    "Content types for applications that do not name theirs."
    subscribe_to: tuple[tuple[str, str], ...] = ()
    "(application, sender's URI): content subscriptions to hold from the start."
    subscription_s: int = 3_600
    senders: Senders = Senders()
    publish: bool = False
    "Publish the push capabilities as presence (PUBLISH)."
    whitelist: Whitelist | DevicePolicy = field(default_factory=Whitelist)
    "Who may push what; a `DevicePolicy` is read from a file or URL before the device registers."
    require_identity: bool = True
    "Refuse with 403 what carries no P-Asserted-Identity of a trusted peer."
    trusted: tuple[Network, ...] = ()
    "Peers whose P-Asserted-Identity is believed, besides the proxy."
    access_network: str = ""
    "P-Access-Network-Info for our requests; empty: none."
    sessions: Sessions = Sessions()
    links: Links = Links()
    refer_pause_s: float = 1.0
    "Least time between two NOTIFYs that report a REFER (RFC 3515: one a second)."
    memory: Memory | None = None
    "What is known of earlier runs, such as `FileMemory(path)`; None: after a restart every push is new."
    limits: Limits = Limits()
    timers: Timers = Timers()

    def __post_init__(self) -> None:
        if self.expires_s < 1:
            raise BadConfiguration("expires_s", f"at least one second is needed, not {self.expires_s}")
        for content_type in self.accept:
            if MEDIA_TYPE.fullmatch(content_type) is None:
                raise BadConfiguration("accept", f"a type such as image/png is needed, not {content_type}")


def application_name(text: str) -> str:
    """
    Return the name of an application as it can stand in a feature tag.

    Raises:
        BadConfiguration: it is no ARI.
    """
    if ARI.fullmatch(text) is None:
        raise BadConfiguration("application", f"a name such as mms.ua is needed, not {shortened(text)}")
    return text
