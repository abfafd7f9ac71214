"""
Whether a submitted push is taken, and as what: authorisation, addresses, content (spec/pap.md 3-6).

Everything that makes a submission wrong as a whole raises `NotTaken` with its PAP code; one wrong address
among good ones becomes the final result of that recipient alone.
"""

from __future__ import annotations

import fnmatch
import ipaddress
import re
from dataclasses import dataclass
from typing import Final

from omapush.errors import MalformedAddress, MalformedMime, PushError, PushRefused, shortened
from omapush.protocol.feature_tags import ari_of_application_id
from omapush.protocol.multipart import Part, media_type
from omapush.protocol.pap_values import PushMessage
from omapush.protocol.sip_uri import address_of_record
from omapush.protocol.wappush_address import recipient as sip_target
from omapush.push.outcome import TAKEN_CODE
from omapush.push.values import PENDING, Push, Recipient, Result, push_ref

PUSH_VERSION: Final = 1
_LONGEST_HEADER: Final = 256
_ADDRESS: Final = "address@address-value"
_OUR_NETWORK: Final = "ims"
_OUR_BEARER: Final = "sip"
_TRAVELLING: Final = ("x-wap-", "content-language", "content-encoding", "content-disposition")
_NOT_TRAVELLING: Final = frozenset({"x-wap-application-id"})
_PLAIN_ENCODINGS: Final = ("binary", "8bit", "7bit")
"Content-Transfer-Encodings that leave the bytes as they are (RFC 2045 6.2)."
_LONGEST_URL: Final = 2_048
_LABEL: Final = r"[0-9A-Za-z_](?:[0-9A-Za-z_\-]{0,61}[0-9A-Za-z_])?"
# authority = host [ ":" port ], IP-literal = "[" IPv6address "]"; user information is left out  RFC 3986 3.2
_NOTIFY_URL: Final = re.compile(
    rf"https?://(?:{_LABEL}(?:\.{_LABEL})*\.?|\[([0-9A-Fa-f:.]{{2,45}})\])(?::([0-9]{{1,5}}))?(?:[/?#][!-~]*)?",
    re.IGNORECASE,
)


class NotTaken(PushRefused):
    """The submission is refused with a PAP code; nothing of it is stored."""

    http_status = 202

    def __init__(self, code: str, desc: str) -> None:
        super().__init__(f"{code} {desc}")
        self.code = code
        self.desc = desc


@dataclass(frozen=True, slots=True)
class Account:
    """What one push initiator may do."""

    name: str
    applications: tuple[str, ...]
    recipients: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ContentRules:
    """What one application takes."""

    content_types: tuple[str, ...]
    max_bytes: int


@dataclass(frozen=True, slots=True)
class Accepted:
    """A submission that may be stored."""

    push: Push
    recipients: tuple[Recipient, ...]
    results: tuple[Result, ...]
    content: bytes


def application_of(content: Part) -> str:
    """
    Return the ARI that the content part is for; `wml.ua` when it names none (PROP-ARI-7).

    Raises:
        NotTaken: the application id cannot be one.
    """
    try:
        return ari_of_application_id(content.header("X-Wap-Application-Id") or "")
    except PushError as error:
        raise NotTaken("2000", str(error)) from error


def accept(
    message: PushMessage,
    content: Part,
    *,
    application: str,
    account: Account,
    rules: ContentRules,
    order_us: int,
    lifetime_s: int,
) -> Accepted:
    """
    Return what to store for the submission; `order_us` is when it came, unlike that of any other.

    Raises:
        NotTaken: with the PAP code of the answer.
    """
    now_ms = order_us // 1000
    _refuse_what_is_not_built(message)
    _check_network(message)
    if not _matches(application, account.applications):
        raise NotTaken("2001", f"initiator may not push to application {application}")
    notify_url = _notify_url(message.notify_url)
    content_type = _content_type(content, rules)
    recipients, results = _recipients(message, account, now_ms)
    before_ms = message.deliver_before * 1000 if message.deliver_before is not None else None
    if before_ms is not None and before_ms <= now_ms:
        raise NotTaken("2001", "deliver-before-timestamp is in the past")
    push = Push(
        version=PUSH_VERSION,
        ref=push_ref(account.name, message.push_id),
        initiator=account.name,
        push_id=message.push_id,
        application=application,
        content_type=content_type,
        content_headers=_travelling_headers(content),
        size=len(content.body),
        priority=message.priority.value,
        delivery_method=message.delivery_method.value,
        notify_url=notify_url,
        accepted_ms=now_ms,
        deliver_before_ms=before_ms if before_ms is not None else now_ms + lifetime_s * 1000,
        deadline_given=before_ms is not None,
        source_reference=message.source_reference or "",
        order_us=order_us,
    )
    return Accepted(push, recipients, results, content.body)


def _refuse_what_is_not_built(message: PushMessage) -> None:
    if message.replace_push_id is not None:
        raise NotTaken("3011", "replacement of pushes is not carried out by this release")
    if message.deliver_after is not None:
        raise NotTaken("3001", "deliver-after-timestamp is not carried out by this release")


def _check_network(message: PushMessage) -> None:
    if message.network_required and (message.network or "").lower() != _OUR_NETWORK:
        raise NotTaken("3009", f"network {shortened(message.network or '')} is not available, only IMS is")
    if message.bearer_required and (message.bearer or "").lower() != _OUR_BEARER:
        raise NotTaken("3010", f"bearer {shortened(message.bearer or '')} is not available, only SIP is")


def _notify_url(url: str | None) -> str:
    """Where results go; empty when nobody wants them."""
    if not url:
        return ""
    found = _NOTIFY_URL.fullmatch(url) if len(url) <= _LONGEST_URL else None
    if found is None or not _is_address(found[1]) or not 0 < int(found[2] or 80) <= 65_535:
        raise NotTaken(
            "2000",
            "push-message@ppg-notify-requested-to: not http:// or https:// with a host, a port up to 65535 "
            f"and no user, of at most {_LONGEST_URL} characters",
        )
    return url


def _is_address(ipv6: str | None) -> bool:
    try:
        return ipv6 is None or bool(ipaddress.IPv6Address(ipv6))
    except ValueError:
        return False


def _matches(text: str, patterns: tuple[str, ...]) -> bool:
    return any(pattern == "*" or fnmatch.fnmatchcase(text, pattern) for pattern in patterns)


def _content_type(content: Part, rules: ContentRules) -> str:
    """The content's own type, which is safe to write into a SIP header."""
    encoding = content.header("Content-Transfer-Encoding") or _PLAIN_ENCODINGS[0]
    if encoding.lower() not in _PLAIN_ENCODINGS:
        raise NotTaken(
            "2000",
            f"Content-Transfer-Encoding of the content: {shortened(encoding)}; send the bytes themselves",
        )
    value = content.header("Content-Type") or "application/octet-stream"
    try:
        essence = media_type(value, "Content-Type of the content").essence
    except MalformedMime as error:
        raise NotTaken("2000", str(error)) from error
    if len(value) > _LONGEST_HEADER or not value.isprintable():
        raise NotTaken("2000", "Content-Type of the content: too long, or has control characters")
    if rules.content_types and not _matches(essence, rules.content_types):
        raise NotTaken("2006", f"content type {essence} is not taken by this application")
    if len(content.body) > rules.max_bytes:
        raise NotTaken(
            "2001", f"content has {len(content.body)} bytes, the application's limit is {rules.max_bytes}"
        )
    return value


def _travelling_headers(content: Part) -> tuple[tuple[str, str], ...]:
    kept = []
    for name, value in content.headers:
        if name.lower() in _NOT_TRAVELLING or not name.lower().startswith(_TRAVELLING):
            continue
        if len(value) > _LONGEST_HEADER or not value.isprintable():
            raise NotTaken("2000", f"{shortened(name)} of the content: too long, or has control characters")
        kept.append((name, value))
    return tuple(kept)


def _recipients(
    message: PushMessage, account: Account, now_ms: int
) -> tuple[tuple[Recipient, ...], tuple[Result, ...]]:
    """
    Each address once, in the order given, with where it starts: pending, or undeliverable at once.

    A user named in two ways gets one push; the later address is told so. An initiator must not push to a
    single recipient outside its patterns: that refuses the whole.
    """
    recipients: list[Recipient] = []
    results: list[Result] = []
    named: dict[str, str] = {}
    refusal: NotTaken | None = None
    for address in dict.fromkeys(message.addresses):
        try:
            aor = _target(address, account)
            _refuse_twice(aor, address, named)
        except MalformedAddress as error:
            refusal = NotTaken(error.pap_code, str(error))
            recipients.append(Recipient(address, ""))
            results.append(Result("undeliverable", refusal.code, refusal.desc, "", 0, 0, now_ms))
            continue
        recipients.append(Recipient(address, aor))
        results.append(Result(PENDING, TAKEN_CODE, "queued", "", 0, 0, now_ms))
    if refusal is not None and all(result.state != PENDING for result in results):
        raise refusal
    return tuple(recipients), tuple(results)


def _target(address: str, account: Account) -> str:
    """The address of record that a PAP address means."""
    try:
        aor = address_of_record(sip_target(address), field=_ADDRESS)
    except PushError as error:
        raise MalformedAddress(_ADDRESS, getattr(error, "problem", str(error))) from error
    if not _matches(aor, account.recipients):
        raise NotTaken("2001", f"initiator may not push to {shortened(address)}")
    return aor


def _refuse_twice(aor: str, address: str, named: dict[str, str]) -> None:
    first = named.setdefault(aor, address)
    if first is not address:
        raise MalformedAddress(_ADDRESS, f"the same recipient as {shortened(first)}")
