"""Whether a user's devices take the methods for large content, as far as registration and facts tell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from omapush.protocol import external_body
from omapush.push.capabilities import ANY_DEVICE, STRENGTH, Facts, takes
from omapush.push.capability_sources import device_name, methods_of
from omapush.push.registration import Contact, Registration

EXTERNAL_BODY: Final = external_body.TYPE
"Content type of a link (RFC 4483); a device names it in Accept when it follows links."
_MESSAGE_TAG: Final = "+sip.message"
"Feature tag of devices that take MSRP (RFC 4569); as a feature parameter it has no value, or TRUE."


class Support(NamedTuple):
    """What is known of one method at the user's devices."""

    taken: bool | None
    "None: nobody says, so that only trying tells."
    why: str
    "In words, for the event log."


def of_msrp(
    record: Registration | None, facts: Sequence[Facts], fitting: Sequence[str], application: str, now_ms: int
) -> Support:
    """
    Return whether a device that the push is for takes an INVITE with MSRP.

    `fitting`: URIs of the contacts that it is for; empty: all of them. One device that does is enough; what
    one says in its Contact counts for more than what others say of it.
    """
    contacts = [one for one in (record.contacts if record else ()) if one.expires_ms > now_ms]
    known = [one for one in contacts if one.uri in fitting] or contacts
    about = [one for one in facts if one.application in ("", application)]
    verdicts = [_of_contact(one, about) for one in known] or [_stated(ANY_DEVICE, about)]
    if any(verdicts):
        return Support(True, "a device takes MSRP")
    if None in verdicts:
        return Support(None, "whether a device takes MSRP is not known")
    return Support(False, "no device takes MSRP")


def _of_contact(contact: Contact, facts: Sequence[Facts]) -> bool | None:
    features = dict(contact.features)
    if _MESSAGE_TAG in features:
        return (features[_MESSAGE_TAG] or "TRUE").upper() == "TRUE"
    methods = methods_of(contact)
    if methods is not None:
        return "INVITE" in methods
    return _stated(device_name(contact.instance, contact.uri), facts)


def _stated(device: str, facts: Sequence[Facts]) -> bool | None:
    """What the strongest source says that names the methods of the device, or of the user as a whole."""
    stated = [one for one in facts if one.methods is not None and one.device in (device, ANY_DEVICE)]
    if not stated:
        return None
    strongest = min(stated, key=lambda one: (STRENGTH.index(one.source), one.device == ANY_DEVICE))
    return "INVITE" in (strongest.methods or ())


def of_links(facts: Sequence[Facts], application: str) -> Support:
    """Return whether the user's devices take a link in place of the content (RFC 4483)."""
    of_way = [one for one in facts if one.method in ("", "INDIRECT", "MESSAGE")]
    taken = takes(EXTERNAL_BODY, application, of_way)
    said = {True: "devices follow links", False: f"a device takes no {EXTERNAL_BODY}"}
    return Support(taken, "whether devices follow links is not known" if taken is None else said[taken])
