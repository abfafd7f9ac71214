"""Facts about devices out of what SIP, presence and push initiators bring (PROP-CAP-5)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from omapush.errors import PushError
from omapush.protocol import external_body, pidf
from omapush.protocol.feature_tags import ari_of_application_id
from omapush.protocol.uaprof import PushCharacteristics
from omapush.push.capabilities import ANY_DEVICE, NO_MATCH, Content, Facts, Refusal, check
from omapush.push.registration import Contact, Registration

LEARNING_CODES: Final = frozenset({405, 406, 413, 415, 488, 501, 513, 606})
"Answers to a push that tell what the device does not take."
NO_METHOD: Final = frozenset({405, 501})
"Those which say that the SIP method itself is not taken."
_TOO_LARGE: Final = frozenset({413, 513})
_MOST_RANGES: Final = 128
_LONGEST_RANGE: Final = 127


def device_name(instance: str, uri: str) -> str:
    """Return the name that facts know a device by: its instance id without brackets, else its contact."""
    return instance.strip('<>"').lower() or uri


def facts_of_answer(
    sip_code: int,
    accept: str,
    accept_encoding: str,
    content: Content,
    *,
    method: str,
    now_ms: int,
    learned_s: int,
) -> tuple[Facts, ...]:
    """
    Return what a final answer to a push teaches about the user's devices, for its application alone.

    It holds for `method`, the way by which the push came (push/values.py): what is refused in a MESSAGE may
    be taken in a session. A 415 says by its headers what was wrong (RFC 3261 21.4.13): with Accept-Encoding
    alone it is the coding, else the type. Too large teaches that one byte less might do.
    """
    if sip_code not in LEARNING_CODES:
        return ()
    base = Facts(ANY_DEVICE, "answer", now_ms, now_ms + learned_s * 1000, content.application, method=method)
    if sip_code in _TOO_LARGE:
        return (base._replace(about="size", largest_bytes=max(content.size - 1, 0)),)
    if sip_code in NO_METHOD:
        return (base._replace(about="method", refused=("*/*",)),)
    types = _ranges(accept)
    if method == "INDIRECT":
        refused = content.type if external_body.TYPE in types else external_body.TYPE
        return (base._replace(about=refused, refused=(refused,)),)
    found = []
    if accept_encoding.strip():
        found.append(base._replace(about="encodings", encodings=_ranges(accept_encoding), method=""))
    if types and method != "INVITE":  # an INVITE is refused for its offer, which Accept says nothing of
        found.append(base._replace(about="types", types=types))
    elif not found:
        found.append(base._replace(about=content.type, refused=(content.type,)))
    return tuple(found)


def _ranges(header: str) -> tuple[str, ...]:
    """The values of Accept or Accept-Encoding without parameters; what is no value is left out."""
    pieces = (piece.partition(";")[0].strip().lower() for piece in header.split(","))
    good = (piece for piece in pieces if piece and len(piece) <= _LONGEST_RANGE and piece.isprintable())
    return tuple(dict.fromkeys(good))[:_MOST_RANGES]


def facts_of_presence(
    body: bytes, content_type: str = pidf.PIDF_TYPE, *, now_ms: int, expires_ms: int
) -> tuple[Facts, ...]:
    """
    Return what a presence document says about the user's devices; what services share is added up.

    Raises:
        MalformedXml: the document cannot be read; what is known stays.
    """
    found: dict[str, Facts] = {}
    for service in pidf.read(body, content_type):
        if not service.open:
            continue
        device = device_name(service.device, "")
        known = found.get(device) or Facts(device, "presence", now_ms, expires_ms)
        found[device] = known._replace(
            types=_together(known.types, service.types),
            methods=_together(known.methods, service.methods),
            refused=tuple(dict.fromkeys((*known.refused, *service.refused))),
        )
    return tuple(one._replace(refused=_not_taken(one)) for one in found.values())


def _together(one: tuple[str, ...] | None, other: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if one is None or other is None:
        return one if other is None else other
    return tuple(dict.fromkeys((*one, *other)))


def _not_taken(facts: Facts) -> tuple[str, ...]:
    """What one service refuses another may take."""
    return tuple(one for one in facts.refused if one not in (facts.types or ()))


def facts_of_registration(registration: Registration | None, now_ms: int) -> tuple[Facts, ...]:
    """Return what the feature tags of live contacts say."""
    contacts = registration.contacts if registration else ()
    return tuple(
        Facts(
            device_name(contact.instance, contact.uri),
            "register",
            contact.at_ms,
            contact.expires_ms,
            applications=contact.applications or None,
            methods=methods_of(contact),
        )
        for contact in contacts
        if contact.expires_ms > now_ms
    )


def methods_of(contact: Contact) -> tuple[str, ...] | None:
    """Return the SIP methods that a device says it takes; None: it does not say."""
    value = dict(contact.features).get("methods")
    return tuple(sorted(name.strip().upper() for name in value.split(","))) if value else None


def devices_of(registration: Registration | None, now_ms: int) -> tuple[str, ...]:
    """Return the names of the devices that are registered now."""
    return tuple(one.device for one in facts_of_registration(registration, now_ms))


def facts_of_profile(profile: PushCharacteristics, now_ms: int) -> Facts:
    """Return what a push initiator assumes of a client (part 3 of a push); good for that push alone."""
    return Facts(
        ANY_DEVICE,
        "initiator",
        now_ms,
        now_ms + 1,
        types=profile.types,
        encodings=profile.encodings,
        applications=profile.applications,
        largest_bytes=profile.largest_bytes,
    )


def compare(
    assumed: PushCharacteristics, content: Content, known: Sequence[Facts], now_ms: int
) -> Refusal | None:
    """
    Return why a push that comes with capabilities cannot go: they do not fit what is known (2005), or the
    content does not fit the device or the very capabilities it came with (2006). None: nothing speaks
    against it.
    """
    for why in _contradictions(assumed, known):
        return Refusal(NO_MATCH, f"capabilities: {why}")
    return check(content, (*known, facts_of_profile(assumed, now_ms)))


def _contradictions(assumed: PushCharacteristics, known: Sequence[Facts]) -> Iterator[str]:
    for one in assumed.types or ():
        if "*" not in one and check(Content(one, 0, ""), known) is not None:
            yield f"Push-Accept {one} is not taken by the device"
    if assumed.largest_bytes is not None:
        refusal = check(Content("*/*", assumed.largest_bytes, ""), _sizes_only(known))
        if refusal is not None:
            yield f"Push-MsgSize {assumed.largest_bytes}: {refusal.why}"
    applications = [one.applications for one in known if one.applications is not None]
    if assumed.applications is not None and applications:
        have = {application_name(name) for names in applications for name in names}
        for name in assumed.applications:
            if "*" not in have and application_name(name) not in {*have, "*"}:
                yield f"Push-Accept-AppID {name} is not on the device"


def _sizes_only(known: Sequence[Facts]) -> list[Facts]:
    return [one._replace(types=None, refused=()) for one in known]


def application_name(application_id: str) -> str:
    """Return the ARI of an application id as a device wrote it; what cannot be one stays as it is."""
    try:
        return ari_of_application_id(application_id)
    except PushError:
        return application_id.lower()
