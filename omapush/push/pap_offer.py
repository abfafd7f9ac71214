"""A PAP push-message and its content part as an `Offer`, and refusals of it in PAP's words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from omapush.errors import shortened
from omapush.protocol.multipart import Part
from omapush.protocol.pap_values import PushMessage, ReplaceMethod
from omapush.push.acceptance import NotTaken, Offer, application_of, travels

_OUR_NETWORK: Final = "ims"
_OUR_BEARER: Final = "sip"
_PLAIN_ENCODINGS: Final = ("binary", "8bit", "7bit")
"Content-Transfer-Encodings that leave the bytes as they are (RFC 2045 6.2)."
NAMES: Final[Mapping[str, str]] = {
    "push_id": "push-message@push-id",
    "to": "address@address-value",
    "application": "X-Wap-Application-Id of the content",
    "content_type": "Content-Type of the content",
    "content_headers": "headers of the content",
    "content": "content",
    "deliver_before": "push-message@deliver-before-timestamp",
    "deliver_after": "push-message@deliver-after-timestamp",
    "replaces": "push-message@replace-push-id",
    "notify_url": "push-message@ppg-notify-requested-to",
}
"Field of an `Offer` -> what PAP calls it."
_ONCE: Final[Mapping[str, tuple[str, str]]] = {
    "content-type": ("content_type", "comes twice"),
    "x-wap-application-id": ("application", "comes twice"),
    "content-transfer-encoding": ("content", "Content-Transfer-Encoding comes twice"),
    "content-disposition": ("content_headers", "Content-Disposition comes twice"),
}
"Headers of the content with one value: of two, others may read another one than we."


def offer(message: PushMessage, content: Part) -> Offer:
    """
    Return what the initiator submits.

    Raises:
        NotTaken: it asks for a network or bearer that is not there, or the content part cannot be used.
    """
    _check_network(message)
    _check_once(content)
    _check_encoding(content)
    before_s, after_s = message.deliver_before, message.deliver_after
    return Offer(
        push_id=message.push_id,
        addresses=message.addresses,
        application=application_of(content.header("X-Wap-Application-Id") or ""),
        content_type=content.header("Content-Type") or "application/octet-stream",
        content=content.body,
        content_headers=tuple((name, value) for name, value in content.headers if travels(name)),
        priority=message.priority.value,
        delivery_method=message.delivery_method.value,
        notify_url=message.notify_url or "",
        deliver_before_ms=None if before_s is None else before_s * 1000,
        deliver_after_ms=None if after_s is None else after_s * 1000,
        replaces=message.replace_push_id or "",
        replace_all=message.replace_method is ReplaceMethod.ALL,
        source_reference=message.source_reference or "",
    )


def in_words_of_pap(refusal: NotTaken) -> str:
    """Return the `desc` of a refusal: the field as PAP names it, and what is wrong with it."""
    return f"{NAMES.get(refusal.field, refusal.field)}: {refusal.problem}"


def _check_network(message: PushMessage) -> None:
    if message.network_required and (message.network or "").lower() != _OUR_NETWORK:
        network = shortened(message.network or "")
        raise NotTaken("3009", "quality-of-service@network", f"{network} is not available, only IMS is")
    if message.bearer_required and (message.bearer or "").lower() != _OUR_BEARER:
        bearer = shortened(message.bearer or "")
        raise NotTaken("3010", "quality-of-service@bearer", f"{bearer} is not available, only SIP is")


def _check_once(content: Part) -> None:
    seen: set[str] = set()
    for name, _ in content.headers:
        key = name.lower()
        if key in seen and key in _ONCE:
            raise NotTaken("2000", *_ONCE[key])
        seen.add(key)


def _check_encoding(content: Part) -> None:
    encoding = content.header("Content-Transfer-Encoding") or _PLAIN_ENCODINGS[0]
    if encoding.lower() not in _PLAIN_ENCODINGS:
        raise NotTaken(
            "2000",
            "Content-Transfer-Encoding of the content",
            f"{shortened(encoding)}; send the bytes themselves",
        )
