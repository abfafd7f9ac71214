"""What the JSON interface takes and gives: the types that the OpenAPI description is made of."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from omapush.errors import MalformedMime, shortened
from omapush.protocol.multipart import media_type
from omapush.push.acceptance import NotTaken, Offer, application_of, travels
from omapush.push.account import Account
from omapush.push.values import PENDING, Event, Method, Recipient, Result, State
from omapush.store.counted import Counted
from omapush.store.fanouts import Reach
from omapush.store.pushes import Known

MOST: Final = 1_000
"Recipients of a push, or lines of its event log, in one answer."
_AS_IT_IS: Final = {"utf-8": "utf-8", "utf8": "utf-8", "us-ascii": "ascii"}


class NewPush(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A push to be stored and delivered."""

    application: Annotated[str, Meta(min_length=1, description="Push application, such as mms.ua.")]
    content_type: Annotated[str, Meta(min_length=1, description="Travels to the device as it is.")]
    to: (
        Annotated[list[str], Meta(min_length=1, description="1 to 10,000 recipients: sip, sips or tel URIs.")]
        | None
    ) = None
    lists: Annotated[
        list[str], Meta(max_length=100, description="Your distribution lists whose members get it, too.")
    ] = []
    subscribers: Annotated[
        bool, Meta(description="Instead of to: for all subscribers of the application, as they are then.")
    ] = False
    content: Annotated[str | None, Meta(description="Content that is text; sent as UTF-8.")] = None
    content_base64: Annotated[
        bytes | None, Meta(description="Any other content, in base64 (RFC 4648 4).")
    ] = None
    content_headers: Annotated[
        dict[str, str],
        Meta(description="Content-Language, -Encoding, -Disposition and -Description, X-Wap-*."),
    ] = {}
    push_id: Annotated[
        str | None,
        Meta(
            description="1 to 256 characters: your own name for it, which makes repeating safe; "
            "else we make one."
        ),
    ] = None
    method: Annotated[
        Method | None,
        Meta(
            description="How it shall travel: a SIP method, or INDIRECT for a link to the content; "
            "else the server chooses."
        ),
    ] = None
    deliver_before: (
        Annotated[
            datetime,
            Meta(
                tz=True, description="Nothing is sent from then on; else seven days, or as the operator says."
            ),
        ]
        | None
    ) = None
    notify_url: Annotated[str, Meta(min_length=1, description="Where results are posted.")] | None = None
    notify_as: Annotated[
        Literal["pap", "json"], Meta(description="As PAP documents, or signed and as JSON.")
    ] = "pap"
    delivery_method: Annotated[
        Literal["confirmed", "preferconfirmed", "unconfirmed", "notspecified"],
        Meta(description="With confirmed or notspecified a relay that stores the push (202) is no delivery."),
    ] = "notspecified"
    priority: Annotated[
        Literal["high", "medium", "low"], Meta(description="high goes before medium, and that before low.")
    ] = "medium"
    deliver_after: (
        Annotated[datetime, Meta(tz=True, description="Nothing is sent before; earlier than deliver_before.")]
        | None
    ) = None
    replace_key: (
        Annotated[
            str,
            Meta(
                min_length=1,
                description="1 to 64 characters: of your pushes to the application with the same key, "
                "only the newest waits.",
            ),
        ]
        | None
    ) = None
    replaces: (
        Annotated[
            str, Meta(min_length=1, description="push_id of an earlier push of yours that this one replaces.")
        ]
        | None
    ) = None
    replace_method: Annotated[
        Literal["all", "pending-only"],
        Meta(description="Who gets it: all recipients, or only those who still wait for the replaced one."),
    ] = "all"


class RecipientState(Struct, frozen=True):
    """What became of a push for one recipient."""

    index: int
    "Which recipient of the push, counted from 0; its event log names it so."
    address: str
    aor: str
    state: State
    code: str
    desc: str
    method: str
    sip_code: int
    attempts: int
    at: datetime


class LogLine(Struct, frozen=True):
    """One line of a push's event log."""

    at: datetime
    recipient: int
    name: str
    text: str


class Subscribers(Struct, frozen=True):
    """How far a push to all subscribers is."""

    subscribed: int
    "Subscriptions to the application now."
    made: int
    "Deliveries made so far, one for each subscription."
    ended: int
    "Deliveries with a final state."
    aborted: bool


class PushState(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A push and where it stands."""

    push_id: str
    ref: str
    application: str
    content_type: str
    bytes: int
    method: str
    priority: str
    delivery_method: str
    notify_url: str
    notify_as: Literal["pap", "json"]
    accepted: datetime
    deliver_before: datetime
    deliver_after: datetime | None = None
    "Absent: at once."
    replace_key: str = ""
    "Absent: none."
    replaces: str = ""
    "Reference of the push that it replaces; absent: none."
    state: Literal["running", "paused", "aborted", "finished"]
    counts: dict[str, int]
    recipients: list[RecipientState]
    "The first thousand."
    recipients_next: str = ""
    "Value of `after` for the recipients that follow; absent: these are all."
    subscribers: Subscribers | None = None
    events: list[LogLine] | None = None
    "The first thousand."
    events_next: str = ""
    "Value of `after` for the events that follow; absent: these are all."


class RecipientPage(Struct, frozen=True):
    """Some recipients of a push."""

    recipients: list[RecipientState]
    next: str
    "Value of `after` for what follows; empty: nothing does."


class EventPage(Struct, frozen=True):
    """Some lines of a push's event log, in the order in which they were written."""

    events: list[LogLine]
    next: str
    "Value of `after` for what follows; empty: these are all that there are now."


def offer_of(new: NewPush, account: Account) -> Offer:
    """
    Return what the initiator submits.

    Raises:
        NotTaken: content is missing or there twice, or is no text of the charset that its type names.
    """
    push_id = f"{secrets.token_hex(16)}@{account.name}" if new.push_id is None else new.push_id
    return Offer(
        push_id=push_id,
        addresses=tuple(new.to or ()),
        subscribers=new.subscribers,
        lists=tuple(new.lists),
        application=application_of(new.application),
        content_type=new.content_type,
        content=_content(new),
        content_headers=_headers(new.content_headers),
        priority=new.priority,
        delivery_method=new.delivery_method,
        method=new.method or "",
        notify_url=new.notify_url or "",
        notify_as="json" if new.notify_as == "json" else "",
        deliver_before_ms=_ms(new.deliver_before),
        deliver_after_ms=_ms(new.deliver_after),
        replaces=new.replaces or "",
        replace_key=new.replace_key or "",
        replace_all=new.replace_method == "all",
    )


def state_of(known: Known, reach: Reach | None = None, *, events: bool = False) -> PushState:
    """Return a push as the interface shows it, `reach` how far one to subscribers is; with its event log."""
    push = known.push
    counts: Counter[str] = Counter(known.by_state or (result.state for result in known.results))
    counted = known.subscribers
    if counted is not None:
        counts.update(counted.by_state)
    return PushState(
        push_id=push.push_id,
        ref=push.ref,
        application=push.application,
        content_type=push.content_type,
        bytes=push.size,
        method=push.method,
        priority=push.priority,
        delivery_method=push.delivery_method,
        notify_url=push.notify_url,
        notify_as="json" if push.notify_as == "json" else "pap",
        accepted=moment(push.accepted_ms),
        deliver_before=moment(push.deliver_before_ms),
        deliver_after=moment(push.deliver_after_ms) if push.deliver_after_ms else None,
        replaces=push.replaces,
        replace_key=push.replace_key,
        state=_state(known),
        counts=dict(counts),
        recipients=recipients_of(known.recipients[:MOST], known.results[:MOST]),
        recipients_next=str(MOST) if sum(counts.values()) > MOST and counted is None else "",
        subscribers=_subscribers(counted, reach),
        events=[line_of(event) for event in known.events[:MOST]] if events else None,
        events_next=str(MOST) if events and len(known.events) >= MOST else "",
    )


def _subscribers(counted: Counted | None, reach: Reach | None) -> Subscribers | None:
    if counted is None or reach is None:
        return None
    return Subscribers(reach.subscribed, reach.made, counted.ended, counted.is_aborted)


def _state(known: Known) -> Literal["running", "paused", "aborted", "finished"]:
    if known.subscribers is not None:
        return known.subscribers.state
    states = known.by_state or {result.state for result in known.results}
    return "running" if PENDING in states else "finished"


def moment(ms: int) -> datetime:
    """Return a stored time as the interface shows it."""
    return datetime.fromtimestamp(ms / 1000, UTC)


def _ms(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp() * 1000)


def _content(new: NewPush) -> bytes:
    if (new.content is None) == (new.content_base64 is None):
        raise NotTaken("2000", "content", "needed: either content or content_base64")
    if new.content_base64 is not None:
        return new.content_base64
    try:
        charset = media_type(new.content_type, "content_type").param("charset") or "utf-8"
    except MalformedMime as error:
        raise NotTaken("2000", "content_type", error.problem) from error
    try:
        return str(new.content).encode(_AS_IT_IS[charset.lower()])
    except (KeyError, UnicodeEncodeError) as error:
        problem = "cannot be sent in the charset of content_type as text; use content_base64"
        raise NotTaken("2000", "content", problem) from error


def _headers(headers: dict[str, str]) -> tuple[tuple[str, str], ...]:
    seen: set[str] = set()
    for name in headers:
        if name.lower() in seen:
            raise NotTaken("2000", "content_headers", f"{shortened(name)} comes twice")
        seen.add(name.lower())
        if not travels(name):
            raise NotTaken("2000", "content_headers", f"{shortened(name)} does not travel with the content")
    return tuple(headers.items())


def recipients_of(
    recipients: Sequence[Recipient], results: Sequence[Result], first: int = 0
) -> list[RecipientState]:
    """Return recipients of a push as the interface shows them; `first` is the number of the first."""
    pairs = zip(recipients, results, strict=True)
    return [_recipient(index, *pair) for index, pair in enumerate(pairs, first)]


def _recipient(index: int, recipient: Recipient, result: Result) -> RecipientState:
    return RecipientState(
        index=index,
        address=recipient.address,
        aor=recipient.aor,
        state=result.state,
        code=result.code,
        desc=result.desc,
        method=result.method,
        sip_code=result.sip_code,
        attempts=result.attempts,
        at=moment(result.at_ms),
    )


def line_of(event: Event) -> LogLine:
    """Return one line of an event log as the interface shows it."""
    return LogLine(moment(event.at_ms), event.recipient, event.name, event.text)
