"""
The values that the rules work on and that Redis remembers.

They are named tuples, so that each is one MessagePack array whose order is the promise written down
in `schema/records.md`: a new field goes to the end and has a default.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Final, Literal, NamedTuple

State = Literal[
    "pending", "delivered", "undeliverable", "expired", "aborted", "timeout", "cancelled", "unknown"
]
"Message states of PAP that a recipient of an accepted push can be in (docs/result-codes.md)."

PENDING: Final[State] = "pending"
"The only state that is not final."

Method = Literal["NOTIFY", "REFER", "MESSAGE", "INVITE", "INDIRECT"]
"""
Ways by which a push leaves: SIP methods, of which a REFER asks for the subscription in which it then does and
an INVITE opens an MSRP session; INDIRECT is a NOTIFY or MESSAGE with a link to the content (RFC 4483).
"""

REF_LENGTH: Final = 20
TARGET_LENGTH: Final = 16
_ORDER_LENGTH: Final = 16
_PRIORITY_OFFSET: Final = {"high": -1_700_000_000_000_000, "low": 3_000_000_000_000_000}


class Push(NamedTuple):
    """One accepted push-message; never changes after it was accepted."""

    version: int
    "Layout of this record."
    ref: str
    "Our own id, made from initiator and push-id; see `push_ref`."
    initiator: str
    "Name of the push initiator's account; push-ids are its own."
    push_id: str
    application: str
    "ARI, such as `mms.ua`."
    content_type: str
    content_headers: tuple[tuple[str, str], ...]
    "Control lines of the content part that travel on (X-Wap-*, Content-Language ...)."
    size: int
    "Bytes of content."
    priority: str
    delivery_method: str
    "What the initiator asked for: confirmed, preferconfirmed, unconfirmed, notspecified."
    notify_url: str
    "Where results go; empty: nobody asked."
    accepted_ms: int
    deliver_before_ms: int
    "Not sent any more from here on."
    deadline_given: bool
    "True: the initiator named deliver-before; False: it is our lifetime limit."
    source_reference: str
    order_us: int = 0
    "Place among pushes to one target: microseconds of acceptance, strictly increasing in one api process."
    method: str = ""
    "Method that the initiator wants; empty: the application's profile decides."
    subscribers: tuple[str, ...] = ()
    """
    Not empty: for all subscribers of the application whose address of record fits one of these patterns,
    which are those of the initiator's account. Such a push has no recipients of its own.
    """
    deliver_after_ms: int = 0
    "Not sent before; 0: at once."
    replaces: str = ""
    "Reference of the push that this one replaces; empty: none."
    replace_all: bool = False
    "It goes to those as well who got the replaced one already, or to whom that one never was for."
    sha1: bytes = b""
    "Hash of the content where it is kept in pieces; else empty."
    sha256: bytes = b""
    notify_as: str = ""
    "`json`: results are posted signed, as JSON; empty: as PAP documents."
    replace_key: str = ""
    "The newest push of the initiator to the application with this key is the only one that waits for a user."
    trace: str = ""
    "Trace that it belongs to: traceparent and, behind a space, tracestate (W3C); empty: none."


class Recipient(NamedTuple):
    """Whom one delivery of a push is for."""

    address: str
    "As the initiator wrote it; echoed in results."
    aor: str
    "Canonical public identity; empty when the address could not be reached by SIP at all."


class Result(NamedTuple):
    """What became of one delivery."""

    state: State
    code: str
    "PAP status code."
    desc: str
    "In words, for the initiator and for `explain`."
    method: str
    "How it travelled; empty when it was never sent."
    sip_code: int
    "Final SIP response; 0 when there was none."
    attempts: int
    at_ms: int


class Event(NamedTuple):
    """One line of a push's event log."""

    at_ms: int
    recipient: int
    "Index of the recipient; -1: the push as a whole."
    name: str
    "accepted, sent, reply, retry, repeat, final, notified, notify-failed."
    text: str


class Delivery(NamedTuple):
    """One push for one recipient, as it waits in the outbox with all that sending it takes."""

    version: int
    ref: str
    recipient: int
    "Which recipient of the push, by index."
    aor: str
    application: str
    initiator: str
    push_id: str
    content_type: str
    content_headers: tuple[tuple[str, str], ...]
    content: bytes
    delivery_method: str
    accepted_ms: int
    deliver_before_ms: int
    deadline_given: bool
    order_us: int = 0
    size: int = 0
    "Bytes of content. More than `content` has: too large for a MESSAGE in any form, it stayed with the push."
    method: str = ""
    "Method that the initiator wants; empty: the application's profile decides."
    subscription: str = ""
    "Id of the one subscription that it is for; empty: for the user."
    priority: str = ""
    "high, medium or low; empty: as medium."
    deliver_after_ms: int = 0
    "Not sent before; 0: at once."

    @property
    def length(self) -> int:
        """Bytes of content, wherever it is."""
        return max(self.size, len(self.content))

    @property
    def media_type(self) -> str:
        """Content type in lower case, without parameters."""
        return self.content_type.partition(";")[0].strip().lower()

    @property
    def id(self) -> str:
        """Name of this delivery everywhere: in Call-ID, log and results."""
        return f"{self.ref}.{self.recipient}"


def push_ref(initiator: str, push_id: str) -> str:
    """
    Return our id for the initiator's push: the same input gives the same id on every node.

    So a second submission of one push-id finds the first by its key, and Call-IDs can carry the id.
    """
    return hashlib.blake2s(f"{initiator}\0{push_id}".encode(), digest_size=REF_LENGTH // 2).hexdigest()


def collapse_field(push: Push, aor: str) -> str:
    """Return the name of what the newest push with a replace key is noted under, for one user."""
    key = f"{push.initiator}\0{push.application}\0{push.replace_key}".encode()
    return target(aor) + hashlib.blake2s(key, digest_size=8).hexdigest()


@lru_cache(maxsize=4_096)  # asked several times about each user of a batch
def target(aor: str) -> str:
    """Return the short name under which an address of record queues (RFC 3428: one MESSAGE pending)."""
    return hashlib.blake2s(aor.encode(), digest_size=TARGET_LENGTH // 2).hexdigest()


def order_of(priority: str, order_us: int) -> int:
    """
    Return a number of at most 16 digits that sorts by priority, then by `order_us`.

    It is `order_us` itself for medium; whose priority is another is told by the first of 16 digits, for times
    from 2023 to 2055: 0 high, 1 to 3 medium, above that low (schema/functions/queues.lua).
    """
    return max(order_us + _PRIORITY_OFFSET.get(priority, 0), 0)


def ticket(delivery: Delivery) -> str:
    """
    Return the delivery's place in its user's queue: target, priority and order of acceptance, delivery id.

    Tickets of one target sort in that order, and everything the queue does is done by ticket.
    """
    order = order_of(delivery.priority, delivery.order_us or delivery.accepted_ms * 1000)
    return f"{target(delivery.aor)}{order:0{_ORDER_LENGTH}d}{delivery.id}"


def ticket_delivery(ticket_text: str) -> tuple[str, int]:
    """Return (push ref, recipient index) of a ticket."""
    ref, _, index = ticket_text[TARGET_LENGTH + _ORDER_LENGTH :].partition(".")
    return ref, int(index)
