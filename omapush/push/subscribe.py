"""
What a SUBSCRIBE for `ua-profile` asks for, and whether it may be stored (RFC 6665 4.2.1, RFC 6080 5).

Two profile types are served: `device`, by which a device tells us where its UAProf document is, and
`oma-app`, by which it asks for the pushes of one application (PROP-X-1, PROP-X-2).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, Protocol

from omapush.errors import MalformedSip, PushError, shortened
from omapush.protocol.charging_vector import ChargingVector
from omapush.protocol.event_header import EventType, parse_event
from omapush.protocol.name_addr import parse_one
from omapush.protocol.sip_core import CALL_ID, LARGEST_CSEQ
from omapush.protocol.sip_uri import address_of_record
from omapush.push.application_routing import Addressed, RoutedRequest, RoutingRules, route
from omapush.push.asserted import identities
from omapush.push.body import WRAPPED_TYPE
from omapush.push.capability_sources import device_name
from omapush.push.inbound import UA_PROFILE, Answer
from omapush.push.values import TARGET_LENGTH, target

PACKAGE: Final = UA_PROFILE
ALLOW_EVENTS: Final = (("Allow-Events", PACKAGE),)
DEVICE: Final = "device"
CONTENT: Final = "oma-app"
_DEVICE_TYPES: Final = (WRAPPED_TYPE, "message/external-body")
"Content types that a NOTIFY of a device profile may come to have."
UNSTATED_EXPIRY_S: Final = 86_400
"RFC 6080 5.4."
LONGEST_PARAM: Final = 512
_LONG_ENOUGH_S: Final = 3_600
"An expiry of an hour or more is never called too brief (RFC 6665 4.2.1.1)."
_NUMBER: Final = re.compile(r"[0-9]{1,10}")
# token                                                   RFC 3261 25.1
_TOKEN: Final = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]{1,64}")
# From tag = token                                        RFC 3261 25.1
_TAG: Final = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]{1,256}")
# media-range without its parameters                      RFC 3261 25.1
_MEDIA_RANGE: Final = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]{1,127}/[A-Za-z0-9\-.!%*_+`'~]{1,127}")
_MOST_RANGES: Final = 64
_SUFFIX_LENGTH: Final = 16

ProfileType = Literal["device", "oma-app"]
Policy = Literal["grant", "refuse", "pend"]


class Subscribable(Addressed, Protocol):
    """What an application says about its subscribers; a table of the configuration is one."""

    @property
    def subscribers(self) -> Policy:
        """Whether who subscribes is taken, refused, or left to somebody's decision."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What configuration says about subscriptions."""

    least_s: int
    most_s: int
    routing: RoutingRules
    applications: Mapping[str, Subscribable]
    "By ARI."
    default: Subscribable
    "Of applications without a table of their own."
    require_identity: bool = True
    "Who is not asserted subscribes to nothing; else From says who it is."

    def policy(self, application: str) -> Policy:
        """Return what becomes of a subscriber of `application` (PSA-SUB-2, APP-1)."""
        return self.applications.get(application, self.default).subscribers

    def types(self, application: str) -> tuple[str, ...]:
        """Return patterns of the content types that pushes of `application` may have; empty: any."""
        return self.applications.get(application, self.default).content_types


class Subscribe(NamedTuple):
    """What a SUBSCRIBE said; header values as they came, all of one name joined by commas."""

    event: str
    accept: str
    expires: str
    contact: str
    record_route: str
    asserted: str
    "P-Asserted-Identity."
    from_uri: str
    from_tag: str
    to_uri: str
    to_tag: str
    call_id: str
    cseq: int
    request_uri: str = ""
    accept_contact: str = ""
    accept_encoding: str = ""
    charging_vector: str = ""


class Wanted(NamedTuple):
    """A SUBSCRIBE that may be stored: what it asks for. Of a refresh only what it may change is set."""

    id: str
    "Of the subscription; our tag in its dialog."
    aor: str
    "Empty in a refresh."
    request: Subscribe
    expires_s: int
    event_id: str
    profile: ProfileType
    application: str
    "ARI whose pushes are asked for; empty with a device profile."
    pending: bool
    "Somebody has to approve it first."
    accept: tuple[str, ...]
    "Media ranges that a NOTIFY may have; empty: not said."
    encodings: tuple[str, ...]
    device: str
    vendor: str
    model: str
    profile_version: str
    icid: str
    "icid-value of its P-Charging-Vector."


def subscription_id(aor: str, call_id: str, from_tag: str) -> str:
    """
    Return the subscription's id, which is our tag: the same for a repeated SUBSCRIBE, on every node.

    It begins with the user's target, so that a request in the dialog leads to the user's shard.
    """
    digest = hashlib.blake2s(f"{call_id}\0{from_tag}".encode(), digest_size=_SUFFIX_LENGTH // 2)
    return target(aor) + digest.hexdigest()


def is_ours(to_tag: str) -> bool:
    """Tell whether a To tag can be that of a subscription of ours."""
    return re.fullmatch(rf"[0-9a-f]{{{TARGET_LENGTH + _SUFFIX_LENGTH}}}", to_tag) is not None


def is_served(event: str) -> bool:
    """
    Tell whether an Event names a profile that we serve.

    So a SUBSCRIBE that filter criteria bring on its way to the user's own address of record is known as
    one for us (PSA-REF-4); others' go on untouched.
    """
    try:
        parsed = parse_event(event)
    except MalformedSip:
        return False
    return parsed.package == PACKAGE and _profile_type(parsed) in (DEVICE, CONTENT)


def is_for_itself(request: Subscribe) -> bool:
    """Tell whether the SUBSCRIBE's Request-URI is the subscriber's own identity (PSA-REF-4, first form)."""
    try:
        own = _subscriber(request, require_identity=False)
        return own == address_of_record(request.request_uri)
    except PushError:
        return False


def admit(request: Subscribe, terms: Terms) -> Wanted | Answer:
    """
    Return what the SUBSCRIBE asks for, or the answer that refuses it.

    Raises:
        MalformedSip: a header that cannot be read (400).
    """
    _check_dialog(request)
    if not request.event.strip():
        return Answer(489, "Bad Event", ALLOW_EVENTS)
    event = parse_event(request.event)
    if event.package != PACKAGE:
        return Answer(489, "Bad Event", ALLOW_EVENTS)
    if "id" in event.params and not _TOKEN.fullmatch(event.params["id"]):
        return Answer(400, "Event Parameter id Is No Token")
    expires_s = _expiry(request.expires, terms)
    if isinstance(expires_s, Answer):
        return expires_s
    if request.to_tag:
        return _wanted(request, event, expires_s)
    aor = _subscriber(request, require_identity=terms.require_identity)
    profile_type = _profile_type(event)
    if not profile_type:
        return Answer(400, "Event Parameter profile-type Missing")
    if profile_type == DEVICE:
        return _admit_device(request, event, expires_s, aor)
    if profile_type == CONTENT:
        return _admit_subscriber(request, event, expires_s, terms, aor)
    return Answer(404, "Profile Type Not Served")


def _check_dialog(request: Subscribe) -> None:
    """What names the dialog is written into every NOTIFY."""
    if not CALL_ID.fullmatch(request.call_id):
        raise MalformedSip("Call-ID", f"not a call identifier: {shortened(request.call_id) or 'missing'}")
    if not _TAG.fullmatch(request.from_tag):
        raise MalformedSip("From", f"its tag is no token: {shortened(request.from_tag) or 'missing'}")
    if request.cseq > LARGEST_CSEQ:
        raise MalformedSip("CSeq", "2**31 or above")


def _subscriber(request: Subscribe, *, require_identity: bool) -> str:
    """Who is asserted (TS 24.229 5.7.1.4): From says whatever its writer likes."""
    if request.asserted or require_identity:
        return identities(request.asserted)[0].aor
    return address_of_record(request.from_uri, field="From")


def _profile_type(event: EventType) -> str:
    return event.params.get("profile-type", "").lower()


def _admit_device(request: Subscribe, event: EventType, expires_s: int, aor: str) -> Wanted | Answer:
    """RFC 6080 5.5: vendor, model and version are mandatory."""
    for name in ("vendor", "model", "version"):
        value = event.params.get(name, "")
        if not value:
            return Answer(400, f"Event Parameter {name} Missing")
        if len(value) > LONGEST_PARAM:
            return Answer(400, f"Event Parameter {name} Too Long")
    if not _overlap(_ranges(request.accept), _DEVICE_TYPES):
        return Answer(406, "Not Acceptable", (("Accept", ", ".join(_DEVICE_TYPES)),))
    return _wanted(request, event, expires_s, aor)


def _admit_subscriber(
    request: Subscribe, event: EventType, expires_s: int, terms: Terms, aor: str
) -> Wanted | Answer:
    """The application is told by Accept-Contact, or by what else the configuration goes by (PROP-X-2)."""
    routed = RoutedRequest(
        "SUBSCRIBE",
        request.request_uri,
        (request.accept_contact,) if request.accept_contact else (),
        request.event,
    )
    found = route(routed, terms.routing, terms.applications)
    if not found.application:
        reason = "No Such Application" if found.sip_status == 404 else "Application Not Here"
        return Answer(found.sip_status, reason)
    policy = terms.policy(found.application)
    if policy == "refuse":
        return Answer(403, "Application Takes No Subscribers")
    types = terms.types(found.application)
    if types and not _overlap(_ranges(request.accept), (*types, WRAPPED_TYPE)):
        return Answer(406, "Not Acceptable", (("Accept", ", ".join(types)),))
    return _wanted(
        request,
        event,
        expires_s,
        aor,
        profile="oma-app",
        application=found.application,
        pending=policy == "pend",
    )


def _wanted(
    request: Subscribe,
    event: EventType,
    expires_s: int,
    aor: str = "",
    *,
    profile: ProfileType = "device",
    application: str = "",
    pending: bool = False,
) -> Wanted:
    return Wanted(
        id=request.to_tag or subscription_id(aor, request.call_id, request.from_tag),
        aor=aor,
        request=request,
        expires_s=expires_s,
        event_id=event.params.get("id", ""),
        profile=profile,
        application=application,
        pending=pending,
        accept=_ranges(request.accept),
        encodings=_encodings(request.accept_encoding),
        device=_device(request.contact) if request.contact else "",
        vendor=event.params.get("vendor", "")[:LONGEST_PARAM],
        model=event.params.get("model", "")[:LONGEST_PARAM],
        profile_version=event.params.get("version", "")[:LONGEST_PARAM],
        icid=_icid(request.charging_vector),
    )


def _ranges(accept: str) -> tuple[str, ...]:
    """Media ranges in lower case without parameters; what is none, or refused with q=0, is left out."""
    found: dict[str, None] = {}
    for piece in accept.split(","):
        kind, _, params = piece.partition(";")
        if _MEDIA_RANGE.fullmatch(kind.strip()) and not _is_zero(params):
            found[kind.strip().lower()] = None
    return tuple(found)[:_MOST_RANGES]


def _encodings(accept_encoding: str) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for piece in accept_encoding.split(","):
        coding, _, params = piece.partition(";")
        if _TOKEN.fullmatch(coding.strip()) and not _is_zero(params):
            found[coding.strip().lower()] = None
    return tuple(found)[:_MOST_RANGES]


def _is_zero(params: str) -> bool:
    names = (param.partition("=") for param in params.split(";"))
    return any(name.strip().lower() == "q" and not value.strip().strip("0.") for name, _, value in names)


def _overlap(ranges: tuple[str, ...], produced: tuple[str, ...]) -> bool:
    """Whether something of what is produced (types, or patterns of types) is in one of the ranges."""
    return not ranges or any(_may_meet(one, other) for one in ranges for other in produced)


def _may_meet(media_range: str, pattern: str) -> bool:
    kind, _, sub = media_range.partition("/")
    other, _, other_sub = pattern.lower().partition("/")
    kinds = "*" in kind or "*" in other or kind == other
    return kinds and ("*" in sub or "*" in other_sub or not other_sub or sub == other_sub)


def in_ranges(content_type: str, ranges: tuple[str, ...]) -> bool:
    """Tell whether a content type (without parameters) is in what a peer accepts; no ranges: it is."""
    family = content_type.partition("/")[0] + "/*"
    return not ranges or any(one in (content_type, family, "*/*") for one in ranges)


def _expiry(value: str, terms: Terms) -> int | Answer:
    text = value.strip()
    if not text:
        return min(UNSTATED_EXPIRY_S, terms.most_s)
    if not _NUMBER.fullmatch(text):
        return Answer(400, "Expires Is Not a Number of Seconds")
    seconds = int(text)
    if 0 < seconds < min(terms.least_s, _LONG_ENOUGH_S):
        return Answer(423, "Interval Too Brief", (("Min-Expires", str(terms.least_s)),))
    return min(seconds, terms.most_s)


def _device(contact: str) -> str:
    address = parse_one(contact, "Contact")
    return device_name(address.param("+sip.instance") or "", address.uri)


def _icid(charging_vector: str) -> str:
    try:
        return ChargingVector.parse(charging_vector).icid_value if charging_vector else ""
    except MalformedSip:
        return ""
