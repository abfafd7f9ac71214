"""
The tables of the configuration file, as frozen typed values with defaults that work on one machine.

The docstring under a key is what an operator reads in the reference (`omapush config reference`).
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from omapush.config.keys import restart
from omapush.config.quiet import QuietHours

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
    Addresses to listen on: `udp:`, `tcp:` or `tls:`, address and port. TCP also serves Kamailio's own
    metrics; TLS needs `[tls]`.
    """
    uri: str = "sip:psa@home1.example"
    """Public service identity of the sender: From and, for trusted initiators, P-Asserted-Identity."""
    aliases: Annotated[tuple[str, ...], restart("sip")] = ()
    """Other names of this server in Route and Request-URI, such as the server name in the filter criteria."""
    contact: Annotated[str, restart("sip")] = ""
    """
    Host and port, with `;transport=` if wanted, that Contact names in our dialogs: the front of several
    nodes. Empty: the first `udp:` address of `listen`, or the `tls:` one towards a core by TLS.
    """
    workers: Annotated[Annotated[int, Meta(ge=1, le=64)], restart("sip")] = 4
    """SIP worker processes for each listen address."""
    senders: Annotated[Annotated[int, Meta(ge=1, le=64)], restart("sip")] = 2
    """Processes that own user shards and send their deliveries."""
    capturers: Annotated[Annotated[int, Meta(ge=1, le=8)], restart("sip")] = 1
    """
    Processes that store third-party REGISTERs; those of one user always go to the same one. Several store
    more than one does only where there are processors to spare for them.
    """
    window: Annotated[int, Meta(ge=1, le=20_000)] = 1_000
    """Requests that one sender process may have in flight. Each holds about 45 KB of shared memory."""
    window_per_hop: Annotated[int, Meta(ge=1, le=20_000)] = 750
    """How many of them may go to one next hop, so that a silent S-CSCF leaves room for the others."""
    shared_memory_mb: Annotated[Annotated[int, Meta(ge=64, le=65_536)], restart("sip")] = 1_024
    """Kamailio's shared memory; the start is refused when all windows together would not fit."""
    package_memory_mb: Annotated[Annotated[int, Meta(ge=8, le=1_024)], restart("sip")] = 32
    """Kamailio's private memory for each process."""
    tcp_above: Annotated[int, Meta(ge=0, le=65_507)] = 1_300
    """Requests of our own larger than this leave by TCP (RFC 3261 18.1.1); 0: as their next hop says."""
    udp_mtu: Annotated[Annotated[int, Meta(ge=0, le=65_507)], restart("sip")] = 0
    """Relayed requests larger than this leave by TCP; 0 leaves the transport of users' traffic alone."""
    record_route: bool = False
    """Stay in the route of dialogs that filter criteria bring through us."""
    hang_s: Annotated[Annotated[float, Meta(ge=0, le=3_600)], restart("sip")] = 30.0
    """
    Kamailio is killed and started again when OPTIONS gets no answer for so long, or one of its processes does
    nothing; 3 at least. 0: never.
    """
    log_level: Annotated[Literal["error", "warning", "info", "debug"], restart("sip")] = "warning"
    """How much Kamailio's own core logs."""


class Core(Section, frozen=True):
    """The SIP/IP core on the other side."""

    next_hop: str = "sip:127.0.0.1:6060;lr"
    """
    Where requests go when the registration names no S-CSCF. A name is looked up in DNS, as all names of next
    hops are, never in /etc/hosts.
    """
    next_hops: tuple[str, ...] = ()
    """
    Further addresses of `next_hop`, in order: a push goes there when nobody answers at the one before, when
    that refuses connections, or when it asked for a pause.
    """
    addresses: dict[str, tuple[str, ...]] = {}
    """The same for S-CSCFs, by their host and port: `{ "192.0.2.20:6060" = ["sip:192.0.2.21:6060;lr"] }`."""
    hop_rate: Annotated[float, Meta(ge=0, le=1_000_000)] = 0.0
    """Most pushes a second to one next hop, of all nodes together; others wait. 0: as many as it answers."""
    hop_burst: Annotated[int, Meta(ge=1, le=1_000_000)] = 100
    """With `hop_rate`, how many pushes may leave at once after a quiet time."""
    longest_pause_s: Annotated[float, Meta(ge=0, le=3_600)] = 60.0
    """Most of a Retry-After for which a next hop that answers 503 is left alone."""
    trusted_peers: tuple[str, ...] = ("127.0.0.0/8",)
    """Addresses or networks of the trust domain; what others send gets 403, all but OPTIONS."""
    trusted_names: tuple[str, ...] = ()
    """
    Names of the trust domain in certificates: host names, or `*.home1.example` for all below one. With any, a
    TLS peer is trusted by its name, whatever its address.
    """
    ioi: str = "home1.example"
    """Our operator identifier in P-Charging-Vector (orig-ioi, term-ioi)."""


class Delivery(Section, frozen=True):
    """What happens to an accepted push over time."""

    message_bytes: Annotated[int, Meta(ge=400, le=1_300)] = 1_300
    """Largest whole MESSAGE request, as it leaves us (RFC 3428: never above 1,300)."""
    notify_bytes: Annotated[int, Meta(ge=0, le=30_000)] = 30_000
    """Largest content that a NOTIFY carries; 0: none does."""
    inline_bytes: Annotated[int, Meta(ge=0, le=65_536)] = 16_384
    """Larger content is stored once, in pieces, beside the push; smaller travels in each delivery."""
    transaction_s: Annotated[Annotated[int, Meta(ge=5, le=300)], restart("sip", "notifier")] = 40
    """A request without a result for so long is sent again. Kamailio waits 8 s less for it, 32 s at most."""
    retention_s: Seconds = 86_400
    """
    How long a finished push and its push-id are remembered; ten minutes at least while its result is owed.
    """
    log_s: Seconds | None = None
    """How long its event log is kept, at most `retention_s`; left out: so long."""
    push_id_s: Seconds = 0
    """How long after its acceptance a push-id stays taken though its push is forgotten."""
    lifetime_s: Annotated[int, Meta(ge=1, le=31_536_000)] = 604_800
    """How long a push without deliver-before may wait before it expires."""
    lease_ms: Annotated[int, Meta(ge=500, le=60_000)] = 5_000
    """How long a silent sender process keeps its user shards."""
    hold_check_s: Annotated[float, Meta(ge=0.1, le=86_400)] = 300.0
    """A held push is looked at again after so long even when no change of the registration woke it."""


class Overload(Section, frozen=True):
    """What happens when more arrives than can be carried out."""

    queue_ms: Annotated[int, Meta(ge=0, le=10_000)] = 250
    """
    How long SIP requests may wait to be stored before less of them is let in; the rest gets 503 with
    Retry-After. 0: until a queue is full.
    """
    http_queue_ms: Annotated[int, Meta(ge=0, le=10_000)] = 1_000
    """
    The same for pushes by PAP and JSON: HTTP 503 with Retry-After. They may wait so long to be stored, and so
    long to be sent while more come than leave. Those of high priority are let in.
    """
    flood_per_s: Annotated[Annotated[int, Meta(ge=1, le=100_000)], restart("sip")] = 50
    """Requests a second that an address outside `core.trusted_peers` may send; more are not answered."""


class Notify(Section, frozen=True):
    """Result notifications to push initiators."""

    timeout_s: Annotated[float, Meta(gt=0, le=60)] = 5.0
    """Longest wait for the initiator's answer."""
    first_retry_s: Annotated[float, Meta(gt=0, le=3_600)] = 1.0
    """Wait before the first repeat; doubles each time."""
    longest_retry_s: Annotated[float, Meta(gt=0, le=86_400)] = 300.0
    """Ceiling of the wait, and of what an initiator's Retry-After is obeyed for."""
    give_up_s: Seconds = 86_400
    """A notification older than this is given up; the push keeps its result."""
    concurrency: Annotated[int, Meta(ge=1, le=1_000)] = 32
    """Notifications under way at once."""
    targets: Literal["any", "public"] = "public"
    """
    Hosts that get results: those with public addresses only, so none of the operator's network, or any. A
    host is looked up, at most once a second, all its addresses are judged, and posts go to one that was.
    """
    networks: tuple[str, ...] = ()
    """With `public`, further addresses or networks that get results, such as that of an MMSC."""


class RegistrationSection(Section, frozen=True):
    """How the server learns who is registered, besides third-party REGISTERs."""

    watch: bool = True
    """Subscribe to the reg event of each user that a third-party REGISTER names."""
    identity: Literal["as", "user", "as-then-user"] = "as-then-user"
    """
    Whom P-Asserted-Identity of these SUBSCRIBEs names: `sip.uri`, the watched user, or the user once a core
    has answered 403 to the first.
    """
    expires_s: Annotated[int, Meta(ge=1, le=2_419_200)] = 600_000
    """Duration asked for; refreshed when 80 to 90 % of what was granted has gone."""
    first_retry_s: Annotated[float, Meta(gt=0, le=3_600)] = 5.0
    """Wait before a SUBSCRIBE that failed is tried again; doubles each time, Retry-After is obeyed."""
    longest_retry_s: Annotated[float, Meta(gt=0, le=86_400)] = 3_600.0
    """Ceiling of the wait."""
    window: Annotated[int, Meta(ge=1, le=5_000)] = 100
    """SUBSCRIBEs that one sender process may have in flight."""


class Log(Section, frozen=True):
    """Our own log, one event a line on standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Lowest level written."""
    format: Annotated[Literal["logfmt", "json"], restart("all")] = "logfmt"
    """One line an event, for people or for machines."""


class Retry(Section, frozen=True):
    """When a delivery that may be repeated is repeated."""

    attempts: Annotated[int, Meta(ge=1, le=100)] = 4
    """Attempts in all, the first included."""
    first_s: Annotated[float, Meta(gt=0, le=86_400)] = 2.0
    """Wait before the second attempt."""
    longest_s: Annotated[float, Meta(gt=0, le=86_400)] = 60.0
    """Ceiling of the wait."""
    growth: Annotated[float, Meta(ge=1, le=10)] = 2.0
    """Each wait is so many times the one before."""


class Application(Section, frozen=True):
    """One push application (ARI): `[application."mms.ua"]`."""

    accept_contact: Literal["bare", "strict", "none"] = "bare"
    """How the feature tag goes out: bare, with require and explicit, or not at all."""
    content_types: tuple[str, ...] = ()
    """MIME types that this application takes; empty means all. Others are refused with 2006."""
    max_bytes: Bytes = 67_108_864
    """Largest content."""
    form: Literal["native", "wrapped"] = "native"
    """Content as it is, or inside application/vnd.oma.push with its control lines."""
    gzip: bool = False
    """Compress content (Content-Encoding: gzip) when that makes it smaller; the devices must accept it."""
    unregistered: Literal["send", "refuse", "hold"] = "send"
    """
    When no contact is known: let the core decide, refuse at once as undeliverable, or hold until the user
    registers. With `hold`, a push that the core answers 480 to the end of its plan is held, too.
    """
    no_match: Literal["auto", "send", "refuse", "hold"] = "auto"
    """
    When devices are known and none has the application: let the core decide, refuse at once with 2006, or
    hold until the user's registration changes. `auto`: refuse when accept_contact is strict, else send.
    `refuse` and `hold` mean a user without registration, too (refused with 2003), unless `unregistered` says
    otherwise.
    """
    request_uris: tuple[str, ...] = ()
    """Requests to these addresses of record (shell patterns) are for this application."""
    events: tuple[str, ...] = ()
    """Requests with these Event values are for this application; parameters named here must be there."""
    methods: tuple[Literal["NOTIFY", "REFER", "MESSAGE", "INVITE", "INDIRECT"], ...] = (
        "NOTIFY",
        "MESSAGE",
        "INVITE",
    )
    """
    Methods that may carry its pushes, in order of preference: NOTIFY in a live subscription, REFER to ask for
    one where there is none, MESSAGE, INVITE for an MSRP session, INDIRECT for a link to the content in a
    NOTIFY or MESSAGE. The first that can carry the push is taken. What an initiator names is tried alone.
    """
    link_delivered: Literal["fetch", "answer"] = "fetch"
    """What makes a push by INDIRECT delivered: that the content was fetched, or the device's 200."""
    subscribers: Literal["grant", "refuse", "pend"] = "grant"
    """Devices that subscribe to its pushes: take them, refuse them (403), or let them wait for approval."""
    push_id_header: bool = False
    """Add X-Push-Id, so that a receiver can drop the repeat that a crash may cause."""
    priority_header: bool = False
    """Tell the device the priority of the push: `Priority` `urgent`, `normal` or `non-urgent`."""
    recipient_rate: Annotated[float, Meta(ge=0, le=100_000)] = 0.0
    """Most of its pushes a minute to one user; the rest waits, and nobody else's does. 0: no limit."""
    recipient_burst: Count = 1
    """With `recipient_rate`, how many may leave at once after a quiet time."""
    quiet_hours: tuple[QuietHours, ...] = ()
    """When its pushes wait: `[{ zone = "UTC", start = "22:00", end = "07:00" }]` (docs/applications.md)."""
    retry: Retry | None = None
    """
    Retry plan for all reasons that have none of their own here: `retry = { attempts = 4, first_s = 2.0,
    longest_s = 60.0, growth = 2.0 }`. Left out: a plan for each reason (docs/result-codes.md).
    """
    retry_absent: Retry | None = None
    """Plan when the device is away (480, 430). A registration that changes makes the push leave at once."""
    retry_busy: Retry | None = None
    """Plan when the device is busy (486, 600)."""
    retry_refused: Retry | None = None
    """Plan when the device refused without a cause (400, 603); at most 2 attempts are made."""
    retry_overload: Retry | None = None
    """Plan when the core or the device is overloaded (502, 503, 500 with Retry-After)."""
    retry_path: Retry | None = None
    """Plan when nobody answers (408, 487, 504) or a hop is away; the next try takes another address."""
    retry_failed: Retry | None = None
    """Plan when a server on the way failed (500 and other 5xx)."""

    @property
    def when_unregistered(self) -> Literal["send", "refuse", "hold"]:
        """What to do when no contact is known; `no_match` covers it unless `unregistered` says otherwise."""
        if self.unregistered != "send" or self.no_match == "auto":
            return self.unregistered
        return self.no_match

    @property
    def when_no_match(self) -> Literal["send", "refuse", "hold"]:
        """What to do when no device has the application."""
        if self.no_match != "auto":
            return self.no_match
        return "refuse" if self.accept_contact == "strict" else "send"


class Routing(Section, frozen=True):
    """Which application an inbound request belongs to; the clues stand in `[application.NAME]`."""

    order: tuple[Literal["accept-contact", "event", "request-uri", "content-type"], ...] = (
        "accept-contact",
        "event",
        "request-uri",
        "content-type",
    )
    """Clues in the order they are asked; the first that names one application decides."""
    unknown: Literal["accept", "refuse"] = "accept"
    """An application named without a table of its own: take the default profile, or refuse (480 or 404)."""
    default: str = "wml.ua"
    """Application of a request without any clue; empty: it is answered 404."""


class Subscriptions(Section, frozen=True):
    """Subscriptions of devices to `ua-profile`: to an application's pushes, and about the device itself."""

    least_s: Annotated[int, Meta(ge=1, le=3_600)] = 60
    """Shortest subscription; a shorter one is refused with 423 and Min-Expires."""
    most_s: Annotated[int, Meta(ge=60, le=31_536_000)] = 86_400
    """Longest subscription; who asks for more gets this."""
    window: Annotated[int, Meta(ge=1, le=5_000)] = 200
    """NOTIFYs without content that one sender process may have in flight."""
    require_identity: bool = True
    """Refuse (403) who comes without P-Asserted-Identity; `false`: believe From, for laboratories."""
    refer_to: Literal["user", "psa"] = "user"
    """
    Whom a REFER makes the device subscribe to: its own identity, so that the user's filter criteria lead to
    this server, or `sip.uri`.
    """
    refer_wait_s: Annotated[float, Meta(gt=0, le=3_600)] = 40.0
    """How long a push waits for the subscription that a REFER asked for."""


class Capabilities(Section, frozen=True):
    """What users' devices take, and how we come to know."""

    learned_s: Annotated[int, Meta(ge=0, le=31_536_000)] = 86_400
    """How long a device's refusal (405, 406, 413, 415, 488, 501, 513, 606) is believed; 0: not at all."""
    presence: bool = False
    """Subscribe to the presence of each user who registers, for what it says of the user's services."""
    presence_s: Annotated[int, Meta(ge=60, le=2_419_200)] = 3_600
    """Duration asked for; what presence says is believed as long as the subscription lasts."""
    fetch: bool = True
    """Fetch the UAProf documents that devices name."""
    allow_private: bool = False
    """Fetch from loopback, link-local and private addresses, too: for laboratories."""
    fetch_timeout_s: Annotated[float, Meta(gt=0, le=60)] = 5.0
    """Longest time for one document, redirections included."""
    profile_bytes: Annotated[int, Meta(ge=1_024, le=262_144)] = 262_144
    """Largest UAProf document."""
    profile_s: Annotated[int, Meta(ge=60, le=31_536_000)] = 604_800
    """How long a document is kept before it is fetched again."""


class Hosted(Section, frozen=True):
    """One push application hosted behind this server: `[hosted."mms.ua"]`."""

    recipients: tuple[str, ...] = ("*",)
    """Whose pushes it takes: shell patterns over the address of record of the Request-URI."""
    request_uris: tuple[str, ...] = ()
    """MESSAGEs to these addresses of record (shell patterns) are for it, also without a feature tag."""
    senders: tuple[str, ...] = ()
    """Who may push to it: shell patterns over P-Asserted-Identity. Empty: everybody whom the core asserts."""
    content_types: tuple[str, ...] = ()
    """MIME types that it takes (shell patterns); empty: all. Others are refused with 415."""
    max_bytes: Annotated[int, Meta(ge=1, le=1_048_576)] = 65_536
    """Largest content, encodings undone; above it 413. A MESSAGE itself carries 48 KB at most."""
    backend: str = "stream"
    """`http://` or `https://` URL that pushes are posted to, or `stream`: left in Redis streams."""
    answer: Literal["stored", "backend"] = "stored"
    """When the sender is answered: once the push is stored, or when the back end has answered."""
    answer_within_s: Annotated[float, Meta(ge=0.1, le=20)] = 2.0
    """With `backend`, the longest wait for that; then 200, and the back end is told until it takes it."""
    timeout_s: Annotated[float, Meta(gt=0, le=60)] = 5.0
    """Longest wait for the whole answer of the back end."""
    retry: Retry = Retry(attempts=20, first_s=1.0, longest_s=300.0)
    """When a back end that does not take a push is told again."""
    max_waiting: Count = 100_000
    """Pushes that may wait for it, spread over `redis.user_shards`; beyond it senders get 503."""
    remember_s: Annotated[int, Meta(ge=60, le=2_592_000)] = 86_400
    """How long a push is remembered, so that one that comes again is not delivered again."""
    subscribe: tuple[str, ...] = ()
    """
    Senders of pushes, as SIP URIs, whose content it subscribes to (`ua-profile`); what their NOTIFYs bring is
    handed to the back end like a MESSAGE.
    """
    identity: str = ""
    """Public service identity that subscribes, and receives what NOTIFYs bring; empty: that of `sip.uri`."""
    subscribe_s: Annotated[int, Meta(ge=60, le=2_419_200)] = 3_600
    """Duration asked for; a refused SUBSCRIBE is tried again as `[registration]` says."""

    @property
    def is_stream(self) -> bool:
        """Tell whether pushes are left in Redis streams."""
        return self.backend == "stream"

    @property
    def events(self) -> tuple[str, ...]:
        """Event values that mean it: none, a MESSAGE has no Event."""
        return ()
