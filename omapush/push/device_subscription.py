"""
The subscription of a device: `Event: ua-profile;profile-type=device` (RFC 6080, RFC 6665 4.2, PROP-CAP-1).

A device tells us by it where its UAProf document is. We have no profile to send, so every NOTIFY is empty
(PROP-CAP-2); what counts is that the dialog is kept as the standard wants it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from omapush.protocol.event_header import EventType, parse_event
from omapush.protocol.name_addr import parse_one
from omapush.protocol.sip_uri import address_of_record
from omapush.push import dialog as dialogs
from omapush.push.capabilities import Facts
from omapush.push.capability_sources import device_name
from omapush.push.dialog import Dialog, Heard
from omapush.push.inbound import Answer
from omapush.push.request import Request
from omapush.push.values import TARGET_LENGTH, target

RECORD_VERSION: Final = 1
PACKAGE: Final = "ua-profile"
ALLOW_EVENTS: Final = (("Allow-Events", PACKAGE),)
DEVICE_PROFILE: Final = "device"
PRODUCED: Final = ("application/vnd.oma.push", "message/external-body")
"Content types that a NOTIFY of this package may come to have."
UNSTATED_EXPIRY_S: Final = 86_400
"RFC 6080 5.4."
LONGEST_PARAM: Final = 512
NOTIFY_AFTER_MS: Final = 20
"The 2xx to a SUBSCRIBE leaves at once; the NOTIFY follows it by so much."
_LONG_ENOUGH_S: Final = 3_600
"An expiry of an hour or more is never called too brief (RFC 6665 4.2.1.1)."
_NUMBER: Final = re.compile(r"[0-9]{1,10}")
# token                                                   RFC 3261 25.1
_TOKEN: Final = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]{1,64}")
_ENDING_CODES: Final = frozenset({404, 405, 408, 410, 416, *range(480, 486), 489, 501, 604})
"Answers to a NOTIFY that end the subscription (RFC 6665 4.2.2); 408 stands for none."

Ending = Literal["", "timeout"]


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long subscriptions live."""

    least_s: int
    most_s: int


class Subscribe(NamedTuple):
    """What a SUBSCRIBE said; header values as they came, all of one name joined by commas."""

    event: str
    accept: str
    expires: str
    contact: str
    record_route: str
    asserted: str
    "URI of P-Asserted-Identity; empty when absent."
    from_uri: str
    from_tag: str
    to_uri: str
    to_tag: str
    call_id: str
    cseq: int


class Wanted(NamedTuple):
    """A SUBSCRIBE that may be stored: what it asks for."""

    id: str
    "Of the subscription; our tag in its dialog."
    aor: str
    "Empty in a refresh."
    request: Subscribe
    expires_s: int
    event_id: str
    device: str
    vendor: str
    model: str
    profile_version: str


class DeviceSubscription(NamedTuple):
    """One subscription, with its dialog."""

    version: int
    id: str
    aor: str
    dialog: Dialog
    event_id: str
    "Parameter `id` of Event, for old subscribers that share dialogs; empty: none."
    device: str
    vendor: str
    model: str
    "What the device says it is; with OMA the URL of its UAProf document."
    profile_version: str
    expires_ms: int
    ended: Ending
    "Reason of the last NOTIFY; empty while the subscription is active."
    owed: bool
    "A NOTIFY has to be sent."
    in_flight_until_ms: int
    "A NOTIFY has no final answer yet and counts as lost from then on; 0: none is under way."
    at_ms: int


def subscription_id(aor: str, call_id: str, from_tag: str) -> str:
    """
    Return the subscription's id, which is our tag: the same for a repeated SUBSCRIBE, on every node.

    It begins with the user's target, so that a request in the dialog leads to the user's shard.
    """
    return target(aor) + hashlib.blake2s(f"{call_id}\0{from_tag}".encode(), digest_size=8).hexdigest()


def is_ours(to_tag: str) -> bool:
    """Tell whether a To tag can be that of a subscription of ours."""
    return re.fullmatch(rf"[0-9a-f]{{{TARGET_LENGTH + 16}}}", to_tag) is not None


def admit(request: Subscribe, bounds: Bounds) -> Wanted | Answer:
    """
    Return what the SUBSCRIBE asks for, or the answer that refuses it.

    Raises:
        MalformedSip: a header that cannot be read (400).
    """
    if not request.event.strip():
        return Answer(489, "Bad Event", ALLOW_EVENTS)
    event = parse_event(request.event)
    if event.package != PACKAGE:
        return Answer(489, "Bad Event", ALLOW_EVENTS)
    if "id" in event.params and not _TOKEN.fullmatch(event.params["id"]):
        return Answer(400, "Event Parameter id Is No Token")
    expires_s = _expiry(request.expires, bounds)
    if isinstance(expires_s, Answer):
        return expires_s
    if request.to_tag:
        return _wanted(request.to_tag, "", request, expires_s, event)
    refusal = _refused_profile(event)
    if refusal is not None:
        return refusal
    if not _is_acceptable(request.accept):
        return Answer(406, "Not Acceptable", (("Accept", ", ".join(PRODUCED)),))
    aor = address_of_record(request.asserted or request.from_uri, field="From")
    identifier = subscription_id(aor, request.call_id, request.from_tag)
    return _wanted(identifier, aor, request, expires_s, event)


def _wanted(identifier: str, aor: str, request: Subscribe, expires_s: int, event: EventType) -> Wanted:
    return Wanted(
        id=identifier,
        aor=aor,
        request=request,
        expires_s=expires_s,
        event_id=event.params.get("id", ""),
        device=_device(request.contact) if request.contact else "",
        vendor=event.params.get("vendor", "")[:LONGEST_PARAM],
        model=event.params.get("model", "")[:LONGEST_PARAM],
        profile_version=event.params.get("version", "")[:LONGEST_PARAM],
    )


def _refused_profile(event: EventType) -> Answer | None:
    """RFC 6080 5.5: vendor, model and version are mandatory; a profile that is not served is not found."""
    profile_type = event.params.get("profile-type", "")
    if not profile_type:
        return Answer(400, "Event Parameter profile-type Missing")
    if profile_type.lower() != DEVICE_PROFILE:
        return Answer(404, "Profile Type Not Served")
    for name in ("vendor", "model", "version"):
        value = event.params.get(name, "")
        if not value:
            return Answer(400, f"Event Parameter {name} Missing")
        if len(value) > LONGEST_PARAM:
            return Answer(400, f"Event Parameter {name} Too Long")
    return None


def _is_acceptable(accept: str) -> bool:
    ranges = {piece.partition(";")[0].strip().lower() for piece in accept.split(",")} - {""}
    families = {kind.partition("/")[0] + "/*" for kind in PRODUCED}
    return not ranges or bool(ranges & {*PRODUCED, *families, "*/*"})


def _expiry(value: str, bounds: Bounds) -> int | Answer:
    text = value.strip()
    if not text:
        return min(UNSTATED_EXPIRY_S, bounds.most_s)
    if not _NUMBER.fullmatch(text):
        return Answer(400, "Expires Is Not a Number of Seconds")
    seconds = int(text)
    if 0 < seconds < min(bounds.least_s, _LONG_ENOUGH_S):
        return Answer(423, "Interval Too Brief", (("Min-Expires", str(bounds.least_s)),))
    return min(seconds, bounds.most_s)


def _device(contact: str) -> str:
    address = parse_one(contact, "Contact")
    return device_name(address.param("+sip.instance") or "", address.uri)


def subscribe(
    old: DeviceSubscription | None, wanted: Wanted, now_ms: int
) -> tuple[DeviceSubscription | None, Answer]:
    """
    Return the subscription after a SUBSCRIBE, and what to answer; None: there is nothing to store.

    A repeated SUBSCRIBE is answered as the first and changes nothing.

    Raises:
        MalformedSip: Contact or Record-Route.
    """
    request = wanted.request
    if old is None:
        if request.to_tag:
            return None, Answer(481, "Subscription Does Not Exist")
        return _begun(wanted, now_ms)
    if request.from_tag != old.dialog.remote_tag or request.call_id != old.dialog.call_id:
        return None, Answer(481, "Subscription Does Not Exist")
    if request.cseq == old.dialog.remote_cseq or not request.to_tag:
        return old, _taken(old, now_ms)
    if dialogs.is_lower(old.dialog, request.cseq):
        return None, Answer(500, "CSeq Out of Order")
    if old.ended:
        return None, Answer(481, "Subscription Does Not Exist")
    return _refreshed(old, wanted, now_ms)


def _begun(wanted: Wanted, now_ms: int) -> tuple[DeviceSubscription, Answer]:
    request = wanted.request
    dialog = dialogs.answered(
        call_id=request.call_id,
        local_uri=request.to_uri,
        local_tag=wanted.id,
        remote_uri=request.from_uri,
        heard=_heard(request),
    )
    begun = DeviceSubscription(
        version=RECORD_VERSION,
        id=wanted.id,
        aor=wanted.aor,
        dialog=dialog,
        event_id=wanted.event_id,
        device=wanted.device,
        vendor=wanted.vendor,
        model=wanted.model,
        profile_version=wanted.profile_version,
        expires_ms=now_ms + wanted.expires_s * 1000,
        ended="" if wanted.expires_s else "timeout",
        owed=True,
        in_flight_until_ms=0,
        at_ms=now_ms,
    )
    return begun, _taken(begun, now_ms)


def _refreshed(old: DeviceSubscription, wanted: Wanted, now_ms: int) -> tuple[DeviceSubscription, Answer]:
    after = old._replace(
        dialog=dialogs.learn(old.dialog, _heard(wanted.request)),
        vendor=wanted.vendor or old.vendor,
        model=wanted.model or old.model,
        profile_version=wanted.profile_version or old.profile_version,
        expires_ms=now_ms + wanted.expires_s * 1000,
        ended="" if wanted.expires_s else "timeout",
        owed=True,
        at_ms=now_ms,
    )
    return after, _taken(after, now_ms)


def _heard(request: Subscribe) -> Heard:
    return Heard(request.from_tag, request.cseq, request.contact, request.record_route)


def _taken(subscription: DeviceSubscription, now_ms: int) -> Answer:
    return Answer(200, "OK", (("Expires", str(left_s(subscription, now_ms))),))


def left_s(subscription: DeviceSubscription, now_ms: int) -> int:
    """Return the seconds that the subscription has left, whole ones, upwards."""
    return 0 if subscription.ended else max(0, -(-(subscription.expires_ms - now_ms) // 1000))


def facts(subscription: DeviceSubscription, now_ms: int, *, learned_s: int) -> Facts:
    """
    Return what the subscription says about the device (PROP-CAP-3): mostly where its profile is.

    A poll (Expires 0) tells it too, and is believed as long as an answer; who unsubscribes takes it back.
    """
    polled = bool(subscription.ended) and subscription.dialog.local_cseq == 0
    expires_ms = now_ms + learned_s * 1000 if polled else subscription.expires_ms
    url = subscription.model if is_profile_url(subscription.model) else ""
    return Facts(subscription.device, "uaprof", now_ms, expires_ms, profile_url=url)


def is_profile_url(model: str) -> bool:
    """Tell whether the model is the URL of a profile; other devices write a name there."""
    scheme = model[:8].lower()
    return scheme.startswith(("http://", "https://")) and model.isascii() and model.isprintable()


def due_ms(subscription: DeviceSubscription) -> int:
    """Return when there is something to do about the subscription."""
    if subscription.in_flight_until_ms:
        return subscription.in_flight_until_ms
    return subscription.at_ms + NOTIFY_AFTER_MS if subscription.owed else subscription.expires_ms


def notify(
    subscription: DeviceSubscription, now_ms: int, *, contact: str, transaction_ms: int
) -> tuple[Request | None, DeviceSubscription]:
    """
    Return the NOTIFY that is due, None when none is, and the subscription to store before it is sent.

    One that was under way when its process died is lost, and sent anew with the next CSeq.

    Raises:
        TooLarge: the peer's route set is more than can be sent.
    """
    if subscription.in_flight_until_ms > now_ms:
        return None, subscription
    if subscription.in_flight_until_ms:
        subscription = subscription._replace(owed=True, in_flight_until_ms=0)
    if not subscription.ended and subscription.expires_ms <= now_ms:
        subscription = subscription._replace(ended="timeout", owed=True)
    if not subscription.owed:
        return None, subscription
    request, dialog = dialogs.compose(subscription.dialog, "NOTIFY", _headers(subscription, now_ms, contact))
    after = subscription._replace(dialog=dialog, owed=False, in_flight_until_ms=now_ms + transaction_ms)
    return request, after


def _headers(subscription: DeviceSubscription, now_ms: int, contact: str) -> Sequence[str]:
    event = f"{PACKAGE};id={subscription.event_id}" if subscription.event_id else PACKAGE
    state = (
        f"terminated;reason={subscription.ended}"
        if subscription.ended
        else f"active;expires={left_s(subscription, now_ms)}"
    )
    return (f"Event: {event}", f"Subscription-State: {state}", f"Contact: <{contact}>")


def notified(
    subscription: DeviceSubscription, cseq: int, sip_code: int, now_ms: int
) -> DeviceSubscription | None:
    """
    Return the subscription after the final answer to the NOTIFY with `cseq`; None: it has ended.

    An answer to an earlier NOTIFY changes nothing.
    """
    if cseq != subscription.dialog.local_cseq or not subscription.in_flight_until_ms:
        return subscription
    said_last = bool(subscription.ended) and not subscription.owed
    if said_last or sip_code in _ENDING_CODES:
        return None
    return subscription._replace(in_flight_until_ms=0, at_ms=now_ms)
