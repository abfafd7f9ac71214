"""
The operations of the Push Access Protocol as values, one class for each operation element.

Times are whole unix seconds in UTC, None where the document has none. Codes stay the decimal text
that was read: a vendor may put a digit of its own in front of the four that PAP defines.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

OUR_VERSIONS: Final = ("2.2", "2.1", "2.0", "1.0")
"PAP versions that we read and write, newest first."


class MessageState(StrEnum):
    """What became of a push for one recipient, as a result says it."""

    REJECTED = "rejected"
    PENDING = "pending"
    DELIVERED = "delivered"
    UNDELIVERABLE = "undeliverable"
    EXPIRED = "expired"
    ABORTED = "aborted"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"


class Priority(StrEnum):
    """Which of several waiting pushes goes first."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class DeliveryMethod(StrEnum):
    """Whether the initiator needs the acknowledgement of the client."""

    CONFIRMED = "confirmed"
    PREFER_CONFIRMED = "preferconfirmed"
    UNCONFIRMED = "unconfirmed"
    NOT_SPECIFIED = "notspecified"


class ReplaceMethod(StrEnum):
    """Who gets a replacing push: `all`, or only those that still wait for the old one."""

    PENDING_ONLY = "pending-only"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class PushMessage:
    """Submit content for delivery to one or more recipients."""

    push_id: str
    addresses: tuple[str, ...]
    "As submitted: results repeat them character by character."
    replace_push_id: str | None = None
    replace_method: ReplaceMethod = ReplaceMethod.ALL
    deliver_before: int | None = None
    deliver_after: int | None = None
    source_reference: str | None = None
    notify_url: str | None = None
    progress_notes: bool = False
    priority: Priority = Priority.MEDIUM
    delivery_method: DeliveryMethod = DeliveryMethod.NOT_SPECIFIED
    network: str | None = None
    network_required: bool = False
    bearer: str | None = None
    bearer_required: bool = False


@dataclass(frozen=True, slots=True)
class ProgressNote:
    """One step that a push went through inside the gateway."""

    stage: str
    note: str | None = None
    time: int | None = None


@dataclass(frozen=True, slots=True)
class PushResponse:
    """Whether a push was taken."""

    push_id: str
    code: str
    desc: str | None = None
    reply_time: int | None = None
    sender_name: str | None = None
    sender_address: str | None = None
    progress_notes: tuple[ProgressNote, ...] = ()


@dataclass(frozen=True, slots=True)
class CancelMessage:
    """Take a push back; no addresses means for all its recipients."""

    push_id: str
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CancelResult:
    """Recipients with the same outcome of a cancel."""

    code: str
    desc: str | None = None
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CancelResponse:
    """Outcome of a cancel, at least one group."""

    push_id: str
    results: tuple[CancelResult, ...]


@dataclass(frozen=True, slots=True)
class StatusQuery:
    """Ask how a push stands; no addresses means for all its recipients."""

    push_id: str
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StatusQueryResult:
    """Recipients for whom a push stands alike."""

    state: MessageState
    code: str
    desc: str | None = None
    addresses: tuple[str, ...] = ()
    event_time: int | None = None
    delivery_method: DeliveryMethod | None = None


@dataclass(frozen=True, slots=True)
class StatusQueryResponse:
    """How a push stands, at least one group."""

    push_id: str
    results: tuple[StatusQueryResult, ...]


@dataclass(frozen=True, slots=True)
class CcqMessage:
    """Ask for the capabilities of clients."""

    query_id: str
    app_id: str | None
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CcqResponse:
    """Outcome of a capability query; the profile itself travels as a part of its own."""

    query_id: str
    code: str
    desc: str | None = None
    address: str | None = None


@dataclass(frozen=True, slots=True)
class ResultNotification:
    """Tell the initiator the outcome for one recipient."""

    push_id: str
    address: str
    state: MessageState
    code: str
    desc: str | None = None
    event_time: int | None = None
    received_time: int | None = None
    sender_address: str | None = None
    sender_name: str | None = None
    delivery_method: DeliveryMethod | None = None
    "The method that was used."


@dataclass(frozen=True, slots=True)
class ResultNotificationResponse:
    """The initiator's answer to a result notification."""

    push_id: str
    code: str
    desc: str | None = None
    address: str | None = None
    "None from peers that leave it out."


@dataclass(frozen=True, slots=True)
class BadMessage:
    """The answer to a document that could not be read."""

    code: str
    desc: str | None = None
    fragment: str = ""
    "The offending piece of what was sent."


Operation = (
    PushMessage
    | PushResponse
    | CancelMessage
    | CancelResponse
    | StatusQuery
    | StatusQueryResponse
    | CcqMessage
    | CcqResponse
    | ResultNotification
    | ResultNotificationResponse
    | BadMessage
)


@dataclass(frozen=True, slots=True)
class PapDocument:
    """One control entity: an operation and the PAP version to answer in."""

    operation: Operation
    product_name: str | None
    versions: tuple[str, ...]
    "What the peer says it supports, `2.*` standing for any minor version; empty when it says nothing."
    version: str
    "The newest of our versions that the peer can read."


def code_class(code: str) -> int:
    """Return what a code means at large: 1 success, 2 initiator's fault, 3 ours, 4 service, 5 client."""
    return int(code[-4])
