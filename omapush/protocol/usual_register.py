"""
The REGISTER of a UE as nearly all write it, read at a glance.

A shorter way to what third_party_register.py finds in such a body. It gives way to it at whatever is unusual:
a line that is folded or in short form, no Contact or two of them, anything that is not printable ASCII.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

from omapush.errors import MalformedSip
from omapush.protocol.name_addr import parse_list
from omapush.protocol.sip_uri import Params
from omapush.protocol.third_party_register import EmbeddedContact, ThirdPartyBodies, embedded_contacts

LONGEST: Final = 4_096
"Bytes of the message: below every limit of the general parser."

_PRINTABLE: Final = bytes(range(0x20, 0x7F))
_LINE_ENDS: Final = b"\r\n" * LONGEST
# A line that is neither Contact nor Expires, however those are written: few names begin as they do.
_LIKE_CONTACT: Final = "Call-ID|CSeq|Content-Length|Content-Type|Cellular-Network-Info"
_OTHERS: Final = rf"(?:(?:[ABDF-Z][A-Za-z\-]++|{_LIKE_CONTACT}|Event):.*\r\n){{0,120}}"
# delta-seconds, with fewer than ten digits               RFC 3261 25.1
_EXPIRES: Final = rf"(?:Expires: ([0-9]{{1,9}})\r\n{_OTHERS})?"
# name-addr without a name, and all that follows it       RFC 3261 25.1
_CONTACT: Final = r"Contact: <(sips?:[^ <>\"\r\n]++)>(.*)\r\n"
_REGISTER: Final = re.compile(
    rf"REGISTER [^ <>\"\r\n]++ SIP/2\.0\r\n{_OTHERS}{_EXPIRES}{_CONTACT}{_OTHERS}{_EXPIRES}(?:\r\n)?"
)
_INSTANCE: Final = "+sip.instance"
_OPENED: Final = f';{_INSTANCE}="<'
_CLOSED: Final = '>"'


class _Model(NamedTuple):
    """What the parameters of a Contact say but for the instance: the same for all devices of one model."""

    contact: EmbeddedContact
    "Of no device: its URI is anything, its instance empty."
    before: Params
    "Feature parameters before the instance."
    after: Params
    "Those behind it."


def usual_contact(body: bytes) -> EmbeddedContact | None:
    """Return the one contact of a REGISTER; None when it takes the general parser to say what there is."""
    if len(body) > LONGEST or not _LINE_ENDS.startswith(body.translate(None, _PRINTABLE)):
        return None
    found = _REGISTER.fullmatch(body.decode())
    if found is None:
        return None
    early, uri, params, late = found.groups()
    before, opened, rest = params.partition(_OPENED)
    instance, closed, after = rest.partition(_CLOSED)
    model = _model(f"{before}{opened}{closed}{after}", has_instance=bool(opened))
    if model is None or '"' in instance or "\\" in instance:
        return None
    device = model.contact
    expires = device.expires
    if expires is None and (early or late):
        expires = int(early or late)
    features = (*model.before, (_INSTANCE, f"<{instance}>"), *model.after) if opened else model.before
    return EmbeddedContact(
        uri,
        expires,
        instance if opened else device.instance,
        device.applications,
        features,
        device.pub_gruu,
        device.q,
    )


@lru_cache(maxsize=1_024)
def _model(params: str, *, has_instance: bool) -> _Model | None:
    """Return what these parameters say; None: not one contact, or another one's instance as well."""
    try:
        addresses = parse_list(f"<sip:anything>{params}", "Contact")
    except MalformedSip:
        return None
    if len(addresses) != 1:
        return None
    (contact,) = embedded_contacts(ThirdPartyBodies(asked=addresses))
    features = contact.feature_params
    if not has_instance:
        return _Model(contact, features, ())
    values = [value for name, value in addresses[0].params if name == _INSTANCE]
    if values != ["<>"]:
        return None
    at = features.index((_INSTANCE, "<>"))
    return _Model(contact, features[:at], features[at + 1 :])
