"""
Pushes for applications hosted behind this server: the receiver on an application server (PRA-GEN-2).

A MESSAGE that filter criteria bring in, or that is for us, may be for such an application; what is not goes
on as it came. A push is read into one record, the same for native and wrapped form (PROP-CTRL-2).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from fnmatch import fnmatchcase
from typing import Final, Literal, NamedTuple, Protocol

from omapush.errors import MalformedMime, MalformedSip, TooLarge
from omapush.protocol import content_coding
from omapush.protocol.content_coding import UnknownCoding
from omapush.protocol.multipart import media_type
from omapush.protocol.name_addr import quote
from omapush.protocol.sip_uri import address_of_record
from omapush.protocol.wrapped_push import WRAPPED_TYPE, WrappedPush, unwrap
from omapush.push.application_routing import Addressed, Clue, RoutedRequest, route
from omapush.push.asserted import identities
from omapush.push.inbound import Answer
from omapush.push.values import TARGET_LENGTH, target

_UNDERSTOOD: Final = frozenset({"pref"})
"Option tags of Require that a receiver of pushes has (RFC 3840 9, PRA-REG-1)."
_LONGEST_FIELD: Final = 1_024
"Characters of one header value that are kept."
_MOST_FIELDS: Final = 32
_LONGEST_VALIDITY_S: Final = 2**31
_OWN_CONTROL: Final = frozenset({"content-type", "content-length", "content-encoding"})
"Control lines of a wrapped push that say how it travelled."


class Hosted(Addressed, Protocol):
    """What is said about one hosted application; a table of the configuration is one."""

    @property
    def recipients(self) -> tuple[str, ...]:
        """Shell patterns over the address of record of the Request-URI."""

    @property
    def senders(self) -> tuple[str, ...]:
        """Shell patterns over the asserted identity; none: any."""

    @property
    def max_bytes(self) -> int:
        """Largest content."""


class Rules(NamedTuple):
    """How a request is matched with hosted applications."""

    order: tuple[Clue, ...]
    "Clues to ask."
    unknown: Literal["accept"] = "accept"
    "Who names an application that is not hosted means that one, whatever other clues say."
    default: str = ""


class Arrived(NamedTuple):
    """A MESSAGE as it came; header values as written, all of one name joined by commas."""

    request_uri: str
    asserted: str
    "P-Asserted-Identity, all values."
    accept_contact: str
    content_type: str
    content_encoding: str
    expires: str
    date: str
    require: str
    push_id: str
    "X-Push-Id."
    call_id: str
    cseq: int
    from_tag: str
    length: int
    "Content-Length."
    body: bytes
    "Shorter than `length` when it was too large to be read."
    fields: tuple[tuple[str, str], ...] = ()
    "Other headers that an application may want."


class HostedPush(NamedTuple):
    """One push on its way to a back end: all that its application is told."""

    version: int
    "Layout of this record."
    id: str
    "Target of the recipient, and 16 digits made from Call-ID, CSeq and tag: a repeated request has the same."
    application: str
    "ARI, such as `mms.ua`."
    sender: str
    "Asserted identity, as it came; the first that may send."
    recipient: str
    "Address of record of the Request-URI."
    content_type: str
    content: bytes
    "Encodings undone, control lines taken off."
    fields: tuple[tuple[str, str], ...]
    "Other headers, then the control lines of a wrapped push; names in lower case."
    push_id: str
    "X-Push-Id; empty: the sender gives none."
    initiator_uri: str
    content_uri: str
    valid_until_ms: int
    "0: no end."
    wrapped: bool
    method: str
    call_id: str
    received_ms: int

    @property
    def seen_push(self) -> str:
        """Return by what the sender's own name for it is remembered; empty when it has none."""
        if not self.push_id:
            return ""
        return self.id[:TARGET_LENGTH] + _digits(self.application, self.sender, self.push_id)


class HostedState(NamedTuple):
    """How telling the back end has gone so far."""

    tries: int = 0
    at_ms: int = 0
    "When the last one ended."
    text: str = ""
    "What it came to."


def application_of(
    request_uri: str, accept_contact: str, order: tuple[Clue, ...], hosted: Mapping[str, Hosted]
) -> str:
    """
    Return the hosted application that a MESSAGE is for; empty: none, it goes on.

    Content types are no clue here: what fits one may be anybody's message. Never raises.
    """
    try:
        recipient = address_of_record(request_uri)
    except MalformedSip:
        return ""
    possible = {ari: one for ari, one in hosted.items() if _fits(recipient, one.recipients)}
    if not possible:
        return ""
    request = RoutedRequest("MESSAGE", request_uri, (accept_contact,) if accept_contact else ())
    rules = Rules(tuple(clue for clue in order if clue in ("accept-contact", "request-uri")))
    found = route(request, rules, possible).application
    return found if found in possible else ""


def is_originating(served_user: str) -> bool:
    """Tell whether P-Served-User says that criteria of the sender's side brought the request (RFC 5502)."""
    params = [param.strip().lower() for param in served_user.rpartition(">")[2].split(";")]
    return "sescase=orig" in params


def admit(arrived: Arrived, application: str, terms: Hosted, now_ms: int) -> HostedPush | Answer:
    """Return the push as its application gets it, or the answer that refuses it (PRA-MSG-1..4)."""
    unknown = [tag for tag in _listed(arrived.require) if tag.lower() not in _UNDERSTOOD]
    if unknown:
        return Answer(420, "Bad Extension", (("Unsupported", ", ".join(unknown)),))
    try:
        sender = _sender(arrived.asserted, terms.senders)
        if not sender:
            return Answer(403, "Forbidden", (_warning("the asserted sender may not push here"),))
        push = _read(arrived, application, terms, sender, now_ms)
    except (MalformedSip, MalformedMime, TooLarge) as error:
        return _refusal(error)
    essence = _essence(push.content_type)
    if essence and terms.content_types and not _fits(essence, terms.content_types):
        return unsupported(terms.content_types, f"{essence} is not taken")
    if 0 < push.valid_until_ms <= now_ms:
        return Answer(480, "Temporarily Unavailable", (_warning("the push has expired"),))
    return push


def unsupported(content_types: tuple[str, ...], text: str) -> Answer:
    """Return the 415 that says what would do."""
    accept = ", ".join((*content_types, WRAPPED_TYPE)) if content_types else "*/*"
    codings = ", ".join(content_coding.CODINGS)
    return Answer(
        415, "Unsupported Media Type", (("Accept", accept), ("Accept-Encoding", codings), _warning(text))
    )


def _sender(asserted: str, patterns: tuple[str, ...]) -> str:
    """The first asserted identity that may send; empty when none may."""
    allowed = (one.uri for one in identities(asserted) if not patterns or _fits(one.aor, patterns))
    return next(allowed, "")


def _read(arrived: Arrived, application: str, terms: Hosted, sender: str, now_ms: int) -> HostedPush:
    recipient = address_of_record(arrived.request_uri)
    content_type, content, inside = _content(arrived, terms.max_bytes)
    controls = () if inside is None else inside.headers
    return HostedPush(
        version=1,
        id=target(recipient) + _digits(arrived.call_id, str(arrived.cseq), arrived.from_tag),
        application=application,
        sender=sender,
        recipient=recipient,
        content_type=content_type,
        content=content,
        fields=tuple(_fields(arrived.fields, controls)),
        push_id=_plain(arrived.push_id),
        initiator_uri=_control(inside, "x-wap-initiator-uri"),
        content_uri=_control(inside, "x-wap-content-uri"),
        valid_until_ms=_valid_until_ms(arrived, now_ms),
        wrapped=inside is not None,
        method="MESSAGE",
        call_id=_plain(arrived.call_id),
        received_ms=now_ms,
    )


def _content(arrived: Arrived, most_bytes: int) -> tuple[str, bytes, WrappedPush | None]:
    """Content type, content, and what the wrapped form had around it."""
    if arrived.length > len(arrived.body) or len(arrived.body) > most_bytes:
        raise TooLarge(f"content is above {most_bytes} bytes, or too large for a MESSAGE")
    content = content_coding.decode(arrived.body, arrived.content_encoding, most_bytes=most_bytes)
    content_type = _plain(arrived.content_type)
    if content and not content_type:
        raise MalformedSip("Content-Type", "missing")
    if _essence(content_type) != WRAPPED_TYPE:
        return content_type, content, None
    inside = unwrap(content)
    coding = inside.header("content-encoding") or ""
    inner_type = _plain(inside.header("content-type") or "")
    _essence(inner_type)
    return inner_type, content_coding.decode(inside.content, coding, most_bytes=most_bytes), inside


def _fields(
    outer: tuple[tuple[str, str], ...], controls: tuple[tuple[str, str], ...]
) -> list[tuple[str, str]]:
    named = [(name.lower(), _plain(value)) for name, value in (*outer, *controls) if value]
    return [one for one in named if one[0] not in _OWN_CONTROL][:_MOST_FIELDS]


def _control(inside: WrappedPush | None, name: str) -> str:
    return "" if inside is None else _plain(inside.header(name) or "")


def _valid_until_ms(arrived: Arrived, now_ms: int) -> int:
    """Date and Expires, without Date from now on (RFC 3428 8); what cannot be read sets no end."""
    digits = arrived.expires.strip()
    if not (digits.isascii() and digits.isdigit()) or int(digits) == 0:
        return 0
    start_ms = now_ms
    if arrived.date.rstrip().endswith("GMT"):
        try:
            start_ms = int(parsedate_to_datetime(arrived.date).timestamp() * 1000)
        except (ValueError, OverflowError):
            start_ms = now_ms
    return start_ms + min(int(digits), _LONGEST_VALIDITY_S) * 1000


def _refusal(error: MalformedSip | MalformedMime | TooLarge) -> Answer:
    headers = [_warning(str(error))]
    if isinstance(error, UnknownCoding):
        headers.insert(0, ("Accept-Encoding", ", ".join(content_coding.CODINGS)))
    return Answer(error.sip_status, error.sip_reason, tuple(headers))


def _warning(text: str) -> tuple[str, str]:
    """399 of RFC 3261 20.43, with words for the sender's log."""
    return ("Warning", f"399 omapush {quote(_plain(text).encode('ascii', 'replace').decode())}")


def _essence(content_type: str) -> str:
    return media_type(content_type, "Content-Type").essence if content_type else ""


def _fits(text: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(text, pattern) for pattern in patterns)


def _listed(value: str) -> list[str]:
    return [item.strip() for item in value.split(",") if item.strip()]


def _plain(value: str) -> str:
    """On one line, printable, no longer than is kept."""
    return "".join(char for char in " ".join(value.split()) if char.isprintable())[:_LONGEST_FIELD]


def _digits(*words: str) -> str:
    return hashlib.blake2s("\0".join(words).encode(), digest_size=8).hexdigest()
