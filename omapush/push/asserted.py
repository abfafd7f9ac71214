"""Whom P-Asserted-Identity names (RFC 3325 9.1): whose word it is was settled by the link it came over."""

from __future__ import annotations

from typing import Final, NamedTuple

from omapush.errors import MalformedSip
from omapush.protocol.name_addr import parse_list
from omapush.protocol.sip_uri import address_of_record

FIELD: Final = "P-Asserted-Identity"
_SCHEMES: Final = ("sip:", "sips:", "tel:")
_TOGETHER: Final = (frozenset({"sip", "tel"}), frozenset({"sips", "tel"}))


class NoIdentity(MalformedSip):
    """P-Asserted-Identity is missing, or names nobody whom we could tell from another (TS 24.229 5.7.1.4)."""

    sip_status = 403
    sip_reason = "Forbidden"


class Identity(NamedTuple):
    """One asserted identity."""

    uri: str
    "As it came."
    aor: str
    "In canonical form."


def identities(asserted: str) -> tuple[Identity, ...]:
    """
    Return who is asserted, in the order of the header: one identity, or one sip and one tel.

    `asserted`: all values, joined by commas. Those of other schemes, such as `urn:`, say nothing to us and
    are passed over (RFC 5876).

    Raises:
        NoIdentity: nobody, or a header that breaks these rules: rather than pick one of them.
    """
    if not asserted:
        raise NoIdentity(FIELD, "missing")
    try:
        found = tuple(
            Identity(one.uri, address_of_record(one.uri, FIELD))
            for one in parse_list(asserted, FIELD)
            if one.uri.lower().startswith(_SCHEMES)
        )
    except MalformedSip as error:
        raise NoIdentity(error.field, error.problem) from None
    if not found:
        raise NoIdentity(FIELD, "names nobody by a sip, sips or tel URI")
    schemes = frozenset(one.aor.partition(":")[0] for one in found)
    if len(found) > 2 or (len(found) == 2 and schemes not in _TOGETHER):
        raise NoIdentity(FIELD, "not one identity, or one sip and one tel")
    return found
