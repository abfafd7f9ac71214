"""
The tables of the configuration file, as frozen typed values with defaults that work on one machine.

The docstring under a key is what an operator reads in the reference (`omapush config reference`).
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from omapush.config.keys import restart

Count = Annotated[int, Meta(ge=1, le=1_000_000)]
Milliseconds = Annotated[int, Meta(ge=1, le=60_000)]
Seconds = Annotated[int, Meta(ge=0, le=31_536_000)]
Bytes = Annotated[int, Meta(ge=1, le=1_073_741_824)]


class Section(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file; what it does not know stops the start."""


class Sip(Section, frozen=True):
    """Where the Push Sender Agent speaks SIP (the ISC reference point), and as whom."""

    listen: Annotated[tuple[str, ...], restart("sip")] = ("udp:127.0.0.1:5070", "tcp:127.0.0.1:5070")
    """
    Addresses to listen on: `udp:`, `tcp:` or `tls:`, then address and port. Kamailio's own metrics are
    served over TCP; TLS needs `[tls]`.
    """
    uri: str = "sip:psa@home1.example"
    """
    Public service identity of this server. It stands in From and, for trusted initiators, in
    P-Asserted-Identity.
    """
    aliases: Annotated[tuple[str, ...], restart("sip")] = ()
    """Other names of this server in Route and Request-URI, such as the server name in the filter criteria."""
    contact: Annotated[str, restart("sip")] = ""
    """
    Host and port, with `;transport=` if wanted, for the Contact of our dialogs: the address of a front
    before several nodes. Empty: the first `udp:` address of `listen`, or the `tls:` address if the core
    uses TLS.
    """
    workers: Annotated[Annotated[int, Meta(ge=1, le=64)], restart("sip")] = 4
    """Number of SIP worker processes for each listen address."""
    senders: Annotated[Annotated[int, Meta(ge=1, le=64)], restart("sip")] = 2
    """Number of processes that own user shards and send the deliveries of their users."""
    capturers: Annotated[Annotated[int, Meta(ge=1, le=8)], restart("sip")] = 1
    """
    Number of processes that store third-party REGISTERs. REGISTERs of one user always go to the same
    process. Several are faster than one only on machines with idle processors.
    """
    window: Annotated[int, Meta(ge=1, le=20_000)] = 1_000
    """
    Largest number of requests that one sender process may have in flight. Each takes about 45 KB of
    shared memory. Requests to devices that do not answer are not counted after a second, as far as the
    shared memory has room for them.
    """
    window_per_hop: Annotated[int, Meta(ge=1, le=20_000)] = 750
    """
    How many of these may go to one next hop, so that a silent S-CSCF does not block the others. Keep it
    smaller than `window`: several silent ones share what one leaves.
    """
    shared_memory_mb: Annotated[Annotated[int, Meta(ge=64, le=65_536)], restart("sip")] = 1_024
    """
    Kamailio's shared memory, in MB. The start is refused if the windows of all senders would not fit. What
    they leave is for requests to devices that do not answer.
    """
    package_memory_mb: Annotated[Annotated[int, Meta(ge=8, le=1_024)], restart("sip")] = 32
    """Private memory of each Kamailio process, in MB."""
    tcp_above: Annotated[int, Meta(ge=0, le=65_507)] = 1_300
    """
    Requests of our own that are larger than this many bytes are sent over TCP (RFC 3261 18.1.1). 0: the
    next hop's URI decides.
    """
    udp_mtu: Annotated[Annotated[int, Meta(ge=0, le=65_507)], restart("sip")] = 0
    """
    Relayed requests that are larger than this many bytes are sent over TCP. 0: relayed requests keep
    their transport.
    """
    record_route: bool = False
    """Stay in the route of the dialogs that filter criteria bring through this server."""
    hang_s: Annotated[Annotated[float, Meta(ge=0, le=3_600)], restart("sip")] = 30.0
    """
    Kamailio is killed and started again when it has not answered an OPTIONS for this long, or when one of
    its processes has done nothing for this long; at least 3 seconds. 0: never.
    """
    log_level: Annotated[Literal["critical", "error", "warning", "info", "debug"], restart("sip")] = "warning"
    """
    Lowest level that Kamailio's own core logs. With all but `critical` it quotes messages that it cannot
    read, whatever is in them. With `critical` it tells neither what it cannot read nor what it cannot send.
    """


class Core(Section, frozen=True):
    """The SIP/IP core on the other side."""

    next_hop: str = "sip:127.0.0.1:6060;lr"
    """
    Where requests go when no registration names the user's S-CSCF. Names of next hops are looked up in
    DNS, never in /etc/hosts.
    """
    next_hops: tuple[str, ...] = ()
    """
    Further addresses of `next_hop`, in order. A push goes to the next one when an address does not
    answer, refuses connections, or has asked for a pause.
    """
    addresses: dict[str, tuple[str, ...]] = {}
    """The same for S-CSCFs, by their host and port: `{ "192.0.2.20:6060" = ["sip:192.0.2.21:6060;lr"] }`."""
    hop_rate: Annotated[float, Meta(ge=0, le=1_000_000)] = 0.0
    """
    Largest number of requests a second that are begun with one next hop, for all nodes together; further
    ones wait. 0: no limit.
    """
    hop_burst: Annotated[int, Meta(ge=1, le=1_000_000)] = 100
    """With `hop_rate`: how many requests may leave at once after a quiet time."""
    longest_pause_s: Annotated[float, Meta(ge=0, le=3_600)] = 60.0
    """
    When a next hop answers 503, nothing is sent to it for the time of its Retry-After, but at most for
    this many seconds.
    """
    trusted_peers: tuple[str, ...] = ("127.0.0.0/8",)
    """
    Addresses or networks of the trust domain. Requests from other addresses get 403, except OPTIONS. By TCP
    without TLS, other addresses get no connection.
    """
    trusted_names: tuple[str, ...] = ()
    """
    Names of the trust domain in certificates: host names, or `*.home1.example` for all names below that
    domain. If any are set, a TLS peer is trusted by its name, and its address does not matter.
    """
    ioi: str = "home1.example"
    """Our operator identifier in P-Charging-Vector (orig-ioi, term-ioi)."""


class Delivery(Section, frozen=True):
    """What happens over time to a push that was accepted."""

    message_bytes: Annotated[int, Meta(ge=400, le=1_300)] = 1_300
    """
    Largest size of a whole MESSAGE request as it leaves this server, in bytes (RFC 3428 allows at most
    1,300).
    """
    notify_bytes: Annotated[int, Meta(ge=0, le=30_000)] = 30_000
    """Largest content that a NOTIFY carries, in bytes. 0: NOTIFY carries no content."""
    inline_bytes: Annotated[int, Meta(ge=0, le=65_536)] = 16_384
    """
    Content above this size is stored once, in pieces, beside the push. Smaller content travels with each
    delivery.
    """
    transaction_s: Annotated[Annotated[int, Meta(ge=5, le=300)], restart("sip", "notifier")] = 40
    """
    A request that has no result after this time is sent again. Kamailio waits 8 s less for an answer, and
    at most 32 s.
    """
    retention_s: Seconds = 86_400
    """
    How long a finished push and its push-id are remembered; at least ten minutes while the initiator has
    not been notified of the result.
    """
    log_s: Seconds | None = None
    """
    How long the event log of a push is kept, at most `retention_s`. If left out, it is kept as long as
    the push.
    """
    push_id_s: Seconds = 0
    """How long after acceptance a push-id counts as used, even if the push itself has been forgotten."""
    lifetime_s: Annotated[int, Meta(ge=1, le=31_536_000)] = 604_800
    """How long a push without deliver-before may wait before it expires."""
    lease_ms: Annotated[int, Meta(ge=500, le=60_000)] = 5_000
    """A sender process that is silent for this long loses its user shards to others."""
    hold_check_s: Annotated[float, Meta(ge=0.1, le=86_400)] = 300.0
    """A held push is checked again after this time, even if no change of the registration has woken it."""


class Overload(Section, frozen=True):
    """What happens when more arrives than can be processed."""

    queue_ms: Annotated[int, Meta(ge=0, le=10_000)] = 250
    """
    How long SIP requests may wait to be stored before only a part of them is admitted; the rest gets 503
    with Retry-After. 0: refuse only when a queue is full.
    """
    http_queue_ms: Annotated[int, Meta(ge=0, le=10_000)] = 1_000
    """
    The same for pushes by PAP and JSON, which get HTTP 503 with Retry-After. It bounds the wait to be
    stored, and separately the wait to be sent while more come than leave. Pushes of high priority are
    always admitted.
    """
    flood_per_s: Annotated[Annotated[int, Meta(ge=1, le=100_000)], restart("sip")] = 50
    """
    Requests a second that an address outside `core.trusted_peers` may send. If it sends more, it gets no
    answers.
    """


class Notify(Section, frozen=True):
    """Result notifications to push initiators."""

    timeout_s: Annotated[float, Meta(gt=0, le=60)] = 5.0
    """Longest wait for the initiator's answer."""
    first_retry_s: Annotated[float, Meta(gt=0, le=3_600)] = 1.0
    """Wait before the first repeat; it doubles with each further one."""
    longest_retry_s: Annotated[float, Meta(gt=0, le=86_400)] = 300.0
    """Longest wait before a repeat; a longer Retry-After of the initiator is cut to this."""
    give_up_s: Seconds = 86_400
    """A notification older than this is given up. The push keeps its result."""
    concurrency: Annotated[int, Meta(ge=1, le=10_000)] = 256
    """
    Number of notifications that may be under way at the same time, at most half of them to one host. An
    initiator that answers in 100 ms is told 1,280 results a second with 256. A host gets 16 at once at
    first, more the longer it answers, and half as many after each failure.
    """
    targets: Literal["any", "public"] = "public"
    """
    Which hosts results may be posted to: `public` hosts, all of whose addresses are public (so none in the
    operator's own network), or `any`. Each host name is looked up at most once a second. All of its addresses
    are checked, and results are posted only to an address that was checked.
    """
    networks: tuple[str, ...] = ()
    """With `public`: further addresses or networks that results may be posted to, such as that of an MMSC."""


class RegistrationSection(Section, frozen=True):
    """How the server finds out who is registered, in addition to third-party REGISTERs."""

    watch: bool = True
    """Subscribe to the reg event of each user that a third-party REGISTER names."""
    identity: Literal["as", "user", "as-then-user"] = "as-then-user"
    """
    The P-Asserted-Identity of these SUBSCRIBEs: `as` is `sip.uri`, `user` is the watched user, and
    `as-then-user` is the user only if a core has answered 403 to the first.
    """
    expires_s: Annotated[int, Meta(ge=1, le=2_419_200)] = 600_000
    """
    Duration that is asked for. The subscription is refreshed when 80 to 90 % of the granted time has
    passed.
    """
    first_retry_s: Annotated[float, Meta(gt=0, le=3_600)] = 5.0
    """Wait before a failed SUBSCRIBE is tried again; it doubles each time, and Retry-After is obeyed."""
    longest_retry_s: Annotated[float, Meta(gt=0, le=86_400)] = 3_600.0
    """Longest wait before a failed SUBSCRIBE is tried again."""
    window: Annotated[int, Meta(ge=1, le=5_000)] = 100
    """
    Largest number of SUBSCRIBEs that one sender process may have in flight; half of them at most to one next
    hop, so that an S-CSCF that answers none does not keep us from watching the users of others.
    """


class Log(Section, frozen=True):
    """The server's own log: one line for each event, on standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Lowest level that is written."""
    format: Annotated[Literal["logfmt", "json"], restart("all")] = "logfmt"
    """One line for each event: `logfmt` for people, `json` for programs."""


class Subscriptions(Section, frozen=True):
    """Subscriptions of devices to `ua-profile`: to an application's pushes, and about the device itself."""

    least_s: Annotated[int, Meta(ge=1, le=3_600)] = 60
    """Shortest subscription; a shorter one is refused with 423 and Min-Expires."""
    most_s: Annotated[int, Meta(ge=60, le=31_536_000)] = 86_400
    """Longest subscription; a device that asks for more is granted this."""
    window: Annotated[int, Meta(ge=1, le=5_000)] = 200
    """
    Largest number of NOTIFYs without content that one sender process may have in flight; three quarters of
    them at most to one next hop, so that a silent S-CSCF does not block the others.
    """
    require_identity: bool = True
    """
    Refuse (403) a SUBSCRIBE without P-Asserted-Identity. `false` believes From instead; this is for
    laboratories.
    """
    refer_to: Literal["user", "psa"] = "user"
    """
    What a REFER makes the device subscribe to: its own identity (`user`), so that the user's filter
    criteria lead to this server, or `sip.uri` (`psa`).
    """
    refer_wait_s: Annotated[float, Meta(gt=0, le=3_600)] = 40.0
    """How long a push waits for the subscription that a REFER has asked for."""


class Capabilities(Section, frozen=True):
    """What users' devices can take, and how the server finds out."""

    learned_s: Annotated[int, Meta(ge=0, le=31_536_000)] = 86_400
    """
    How long a refusal by a device (405, 406, 413, 415, 488, 501, 513, 606) is remembered. 0: not at all.
    """
    presence: bool = False
    """
    Subscribe to the presence of each user who registers, and use what it says about the user's services.
    """
    presence_s: Annotated[int, Meta(ge=60, le=2_419_200)] = 3_600
    """Duration that is asked for. What presence says is used as long as the subscription lasts."""
    fetch: bool = True
    """Fetch the UAProf documents that devices name."""
    allow_private: bool = False
    """Also fetch from loopback, link-local and private addresses; this is for laboratories."""
    fetch_timeout_s: Annotated[float, Meta(gt=0, le=60)] = 5.0
    """Longest time to fetch one document, including redirections."""
    profile_bytes: Annotated[int, Meta(ge=1_024, le=262_144)] = 262_144
    """Largest UAProf document, in bytes."""
    profile_s: Annotated[int, Meta(ge=60, le=31_536_000)] = 604_800
    """How long a document is kept before it is fetched again."""
