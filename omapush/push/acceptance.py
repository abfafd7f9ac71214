"""
Whether a submitted push is taken, and as what: authorisation, addresses, content (docs/pap.md).

Every front makes an `Offer` of what it was sent: one rule for all of them. Everything that makes an offer
wrong as a whole raises `NotTaken` with its PAP code; one wrong address among good ones becomes the final
result of that recipient alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import chain
from typing import Final

from omapush.errors import MalformedAddress, MalformedMime, PushError, PushRefused, shortened
from omapush.protocol.feature_tags import ari_of_application_id
from omapush.protocol.multipart import media_type
from omapush.protocol.sip_uri import address_of_record
from omapush.protocol.wappush_address import recipient as sip_target
from omapush.push import result_url
from omapush.push.account import Account, Operation, matches
from omapush.push.outcome import TAKEN_CODE
from omapush.push.values import PENDING, Push, Recipient, Result, push_ref

PUSH_VERSION: Final = 1
LONGEST_PUSH_ID: Final = 256
LONGEST_REPLACE_KEY: Final = 64
LIST_NAME: Final = re.compile(r"[A-Za-z0-9._\-]{1,64}")
_LONGEST_TYPES: Final = 200
"Characters of an application's content types that a refusal names."
_LONGEST_HEADER: Final = 256
_MOST_HEADERS: Final = 64
_LONGEST_HEADERS: Final = 8_192
"Characters of all of them; each delivery carries a copy."
_LATEST_MS: Final = 253_402_300_799_000
"9999-12-31T23:59:59Z: what is later cannot be written as a date."
_TRAVELLING: Final = (
    "x-wap-", "content-language", "content-encoding", "content-disposition", "content-description"
)  # fmt: skip
_NOT_TRAVELLING: Final = frozenset({"x-wap-application-id"})
_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]{1,64}")  # token  RFC 3261 25.1
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class NotTaken(PushRefused):
    """The submission is refused with a PAP code; nothing of it is stored."""

    http_status = 400

    def __init__(self, code: str, field: str, problem: str) -> None:
        super().__init__(f"{code} {field}: {problem}")
        self.code = code
        self.field = field
        "What of the offer is wrong: as JSON names it, or in a front's own words what only that front reads."
        self.problem = problem


class NotAllowed(NotTaken):
    """The initiator's account does not reach so far (2001)."""

    http_status = 403

    def __init__(self, field: str, problem: str) -> None:
        super().__init__("2001", field, problem)


class ContentTooLarge(NotTaken):
    """The content is above the application's limit (2001)."""

    http_status = 413

    def __init__(self, problem: str) -> None:
        super().__init__("2001", "content", problem)


class PushIdUsed(NotTaken):
    """The initiator has used the push-id before (2007)."""

    http_status = 409

    def __init__(self, *, is_repeat: bool = False) -> None:
        super().__init__("2007", "push_id", "was used before")
        self.is_repeat = is_repeat
        "The first submission asked for the same."


class NotPossible(NotTaken):
    """Well formed, and not possible as asked."""

    http_status = 422


@dataclass(frozen=True, slots=True)
class ContentRules:
    """What one application takes."""

    content_types: tuple[str, ...]
    max_bytes: int
    notify_bytes: int = 30_000
    "Largest content of a push to subscribers."


@dataclass(frozen=True, slots=True)
class Offer:
    """A push as its initiator submits it, whichever way it came; nothing of it is checked yet."""

    push_id: str
    addresses: tuple[str, ...]
    application: str
    "ARI; see `application_of`."
    content_type: str
    content: bytes
    content_headers: tuple[tuple[str, str], ...] = ()
    "Control lines of the content that shall travel on."
    priority: str = "medium"
    delivery_method: str = "notspecified"
    method: str = ""
    "SIP method that the initiator wants; empty: ours to choose."
    notify_url: str = ""
    notify_as: str = ""
    "How results are posted: `json`, signed; empty: as PAP documents."
    deliver_before_ms: int | None = None
    source_reference: str = ""
    subscribers: bool = False
    "For all subscribers of the application instead of `addresses`."
    lists: tuple[str, ...] = ()
    "Distribution lists of the initiator whose members are recipients, too."
    members: tuple[str, ...] = ()
    "Addresses of record of these members, once they have been looked up."
    deliver_after_ms: int | None = None
    replaces: str = ""
    "Push-id of the push that it replaces; empty: none."
    replace_key: str = ""
    "It takes the place of older pushes to the application with this key; empty: of none."
    replace_all: bool = True
    "False: only for those to whom the replaced one was not sent yet."


@dataclass(frozen=True, slots=True)
class Accepted:
    """A submission that may be stored."""

    push: Push
    recipients: tuple[Recipient, ...]
    results: tuple[Result, ...]
    content: bytes


def application_of(application_id: str) -> str:
    """
    Return the ARI that an application id names; `wml.ua` for an empty one (PROP-ARI-7).

    Raises:
        NotTaken: the application id cannot be one.
    """
    if not application_id.strip().isprintable():
        raise NotTaken("2000", "application", "has control characters")
    try:
        return ari_of_application_id(application_id)
    except PushError as error:
        raise NotTaken("2000", "application", getattr(error, "problem", str(error))) from error


def travels(header: str) -> bool:
    """Tell whether a header of the content goes to the device with it."""
    name = header.lower()
    return name.startswith(_TRAVELLING) and name not in _NOT_TRAVELLING


def accept(
    offer: Offer, *, account: Account, rules: ContentRules, order_us: int, lifetime_s: int
) -> Accepted:
    """
    Return what to store for the offer; `order_us` is when it came, unlike that of any other.

    Raises:
        NotTaken: with the PAP code of the answer.
    """
    now_ms = order_us // 1000
    if not 0 < len(offer.push_id) <= LONGEST_PUSH_ID or _CONTROL.search(offer.push_id):
        raise NotTaken("2000", "push_id", f"not 1 to {LONGEST_PUSH_ID} printable characters")
    if not account.may_use(offer.application):
        raise NotAllowed("application", f"initiator may not push to application {offer.application}")
    _check_permissions(offer, account)
    if offer.notify_url and not result_url.is_one(offer.notify_url):
        raise NotTaken("2000", "notify_url", f"not {result_url.WANTED}")
    if offer.notify_as and not account.signs:
        raise NotPossible("3001", "notify_as", "the operator has set no webhook secret for you")
    _check_replace_key(offer)
    _check_content(offer, rules)
    _check_audience(offer, account, rules)
    recipients, results = _recipients(offer, account, now_ms)
    after_ms = offer.deliver_after_ms or 0
    before_ms = _deadline_ms(offer, now_ms, lifetime_s * 1000)
    push = Push(
        version=PUSH_VERSION,
        ref=push_ref(account.name, offer.push_id),
        initiator=account.name,
        push_id=offer.push_id,
        application=offer.application,
        content_type=offer.content_type,
        content_headers=offer.content_headers,
        size=len(offer.content),
        priority=offer.priority,
        delivery_method=offer.delivery_method,
        notify_url=offer.notify_url,
        notify_as=offer.notify_as,
        replace_key=offer.replace_key,
        accepted_ms=now_ms,
        deliver_before_ms=before_ms,
        deadline_given=offer.deliver_before_ms is not None,
        source_reference=offer.source_reference,
        order_us=order_us,
        method=offer.method,
        subscribers=account.recipients if offer.subscribers else (),
        deliver_after_ms=after_ms if after_ms > now_ms else 0,
        replaces=push_ref(account.name, offer.replaces) if offer.replaces else "",
        replace_all=bool(offer.replaces) and offer.replace_all,
    )
    return Accepted(push, recipients, results, offer.content)


def _deadline_ms(offer: Offer, now_ms: int, lifetime_ms: int) -> int:
    """From when on nothing is sent: as asked for, else so long after it may be sent first."""
    after_ms, before_ms = offer.deliver_after_ms or 0, offer.deliver_before_ms
    if after_ms > _LATEST_MS - lifetime_ms:
        raise NotTaken("2000", "deliver_after", "too far in the future")
    if before_ms is None:
        return max(now_ms, after_ms) + lifetime_ms
    if before_ms > _LATEST_MS:
        raise NotTaken("2000", "deliver_before", "later than the year 9999")
    if before_ms <= now_ms:
        raise NotPossible("2001", "deliver_before", "is in the past")
    if before_ms <= after_ms:
        raise NotTaken("2000", "deliver_before", "not later than deliver-after")
    return before_ms


def require(account: Account, operation: Operation, field: str = "") -> None:
    """
    Do nothing when an operation is one of the account's.

    Raises:
        NotAllowed: it is not.
    """
    if not account.may(operation):
        raise NotAllowed(field, f"the operator has not allowed initiator {account.name}: {operation}")


def _check_permissions(offer: Offer, account: Account) -> None:
    require(account, "submit")
    if offer.subscribers:
        require(account, "subscribers", "subscribers")
    if offer.lists:
        require(account, "lists", "lists")
    if offer.replaces:
        require(account, "cancel", "replaces")
    if offer.method and offer.method not in account.methods:
        raise NotAllowed("method", f"initiator may not ask for {offer.method}")


def _check_replace_key(offer: Offer) -> None:
    if not offer.replace_key:
        return
    if len(offer.replace_key) > LONGEST_REPLACE_KEY or not offer.replace_key.isprintable():
        raise NotTaken("2000", "replace_key", f"not 1 to {LONGEST_REPLACE_KEY} printable characters")
    if offer.subscribers:
        raise NotPossible("3011", "replace_key", "a push to all subscribers does not replace another")
    if offer.replaces:
        raise NotTaken("2000", "replace_key", "cannot stand together with replaces")


def _check_content(offer: Offer, rules: ContentRules) -> None:
    """Raise NotTaken unless the application takes it, and its type and headers may stand in a SIP request."""
    try:
        essence = media_type(offer.content_type, "content_type").essence
    except MalformedMime as error:
        raise NotTaken("2000", "content_type", error.problem) from error
    if _is_unfit(offer.content_type):
        raise NotTaken("2000", "content_type", "too long, or has control characters")
    if rules.content_types and not matches(essence, rules.content_types):
        taken = shortened(", ".join(rules.content_types), _LONGEST_TYPES)
        said = f"{essence} is not taken by {shortened(offer.application)}, which takes {taken}"
        raise NotPossible("2006", "content_type", said)
    if len(offer.content) > rules.max_bytes:
        raise ContentTooLarge(
            f"content has {len(offer.content)} bytes, the application's limit is {rules.max_bytes}"
        )
    headers = offer.content_headers
    if len(headers) > _MOST_HEADERS or sum(map(len, chain(*headers))) > _LONGEST_HEADERS:
        most = f"more than {_MOST_HEADERS}, or {_LONGEST_HEADERS} characters in all"
        raise NotTaken("2000", "content_headers", most)
    for name, value in headers:
        if _HEADER_NAME.fullmatch(name) is None or _is_unfit(value):
            raise NotTaken(
                "2000", "content_headers", f"{shortened(name)}: too long, or has control characters"
            )


def _check_audience(offer: Offer, account: Account, rules: ContentRules) -> None:
    """Recipients or all subscribers; these are reached by NOTIFY only, and their results are only counted."""
    if offer.subscribers == bool(offer.addresses or offer.lists):
        raise NotTaken("2000", "to", "needed: to, lists or subscribers, the last alone")
    if not offer.subscribers:
        return
    if offer.replaces:
        raise NotPossible("3011", "replaces", "a push to all subscribers does not replace another")
    if not account.recipients:
        raise NotAllowed("subscribers", "initiator may not push to anybody")
    if offer.method not in ("", "NOTIFY"):
        raise NotPossible("2006", "method", f"{offer.method} does not go to subscribers, only NOTIFY does")
    if offer.notify_url:
        raise NotPossible("3001", "notify_url", "results of a push to subscribers are counted, not posted")
    if len(offer.content) > rules.notify_bytes:
        raise NotPossible(
            "2006",
            "content",
            f"{len(offer.content)} bytes, a NOTIFY to subscribers carries {rules.notify_bytes}",
        )


def _is_unfit(value: str) -> bool:
    return len(value) > _LONGEST_HEADER or not value.isprintable()


def _recipients(
    offer: Offer, account: Account, now_ms: int
) -> tuple[tuple[Recipient, ...], tuple[Result, ...]]:
    """
    Each address once, in the order given, with where it starts: pending, or undeliverable at once.

    A user named in two ways gets one push; the later address is told so. An initiator must not push to a
    single recipient outside its patterns: that refuses the whole. Members of lists were allowed when they
    were put in; one that is not any more is told so alone.
    """
    for index, address in enumerate(offer.addresses):  # kept and shown as it is, where it is refused, too
        if _CONTROL.search(address):
            raise NotTaken("2000", f"to[{index}]", "has control characters")
    recipients: list[Recipient] = []
    results: list[Result] = []
    named: dict[str, str] = {}
    refusal: NotTaken | None = None
    for address in dict.fromkeys(offer.addresses):
        try:
            aor = _target(address, account)
            _refuse_twice(aor, address, named)
        except MalformedAddress as error:
            refusal = NotTaken(error.pap_code, "to", error.problem)
            recipients.append(Recipient(address, ""))
            results.append(Result("undeliverable", refusal.code, refusal.problem, "", 0, 0, now_ms))
            continue
        recipients.append(Recipient(address, aor))
        results.append(Result(PENDING, TAKEN_CODE, "queued", "", 0, 0, now_ms))
    for aor in offer.members:
        if aor in named:
            continue
        recipients.append(Recipient(aor, aor))
        if account.may_reach(aor):
            results.append(Result(PENDING, TAKEN_CODE, "queued", "", 0, 0, now_ms))
        else:
            refusal = refusal or NotAllowed("lists", "initiator may not push to this member any more")
            results.append(Result("undeliverable", "2001", "not allowed any more", "", 0, 0, now_ms))
    if offer.lists and not results:
        raise NotPossible("2003", "lists", "have no members")
    if refusal is not None and all(result.state != PENDING for result in results):
        raise refusal
    return tuple(recipients), tuple(results)


def _target(address: str, account: Account) -> str:
    """The address of record that an address means."""
    try:
        aor = address_of_record(sip_target(address), field="to")
    except PushError as error:
        raise MalformedAddress("to", getattr(error, "problem", str(error))) from error
    if not account.may_reach(aor):
        raise NotAllowed("to", f"initiator may not push to {shortened(address)}")
    return aor


def _refuse_twice(aor: str, address: str, named: dict[str, str]) -> None:
    first = named.setdefault(aor, address)
    if first is not address:
        raise MalformedAddress("to", f"the same recipient as {shortened(first)}")
