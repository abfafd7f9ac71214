"""
The request that a Refer-To asks for (RFC 3515, RFC 3261 19.1.5, PRA-REF-6).

Whoever sends a REFER chooses what we send to whom, so only what Push using SIP needs is taken over: a
SUBSCRIBE to one event, with Event, Accept-Contact and Expires.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import unquote_to_bytes

from omapush.errors import MalformedSip, shortened
from omapush.protocol.name_addr import parse_list
from omapush.protocol.sip_uri import SipUri

ALLOWED_HEADERS: Final = {"event": "Event", "accept-contact": "Accept-Contact", "expires": "Expires"}
"What a Refer-To may put into our request."
_SHORT: Final = {"o": "event", "a": "accept-contact"}
_IGNORED: Final = frozenset({"accept", "allow", "contact", "organization", "supported", "user-agent", "body"})
"RFC 3261 19.1.5: not honoured, but no reason to refuse."
# `;` and `=` inside of header values are escaped, but peers forget it
_UNSAFE: Final = re.compile("[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Referral:
    """A request as Refer-To describes it."""

    method: str
    uri: str
    "Request-URI: without method parameter and headers."
    headers: Mapping[str, str]
    "By proper name, escapes undone; only those of ALLOWED_HEADERS."


def read_refer_to(values: tuple[str, ...]) -> Referral:
    """
    Return the request that all Refer-To headers of a REFER together describe.

    Raises:
        MalformedSip: not exactly one address, not a SIP URI, a header twice, one that would change who we
            are or where the request goes, or a value that is more than one line.
    """
    if len(values) != 1:
        raise MalformedSip("Refer-To", "missing" if not values else "comes more than once")
    addresses = parse_list(values[0], "Refer-To")
    if len(addresses) != 1:
        raise MalformedSip("Refer-To", "names more than one address")
    uri = SipUri.parse(addresses[0].uri, "Refer-To")
    if uri.scheme == "tel":
        raise MalformedSip("Refer-To", "not a SIP URI")
    methods = [value for name, value in uri.params if name == "method"]
    if len(methods) > 1:
        raise MalformedSip("Refer-To", "method comes twice")
    method = _text(methods[0] or "") if methods else "INVITE"  # RFC 3261 19.1.1
    kept = tuple(param for param in uri.params if param[0] != "method")
    return Referral(method, str(replace(uri, params=kept, headers="")), _headers(uri.headers))


def _headers(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for piece in text.split("&") if text else ():
        name, _, value = piece.partition("=")
        lowered = _text(name).lower()
        known = _SHORT.get(lowered, lowered)
        if known in _IGNORED:
            continue
        if known not in ALLOWED_HEADERS:
            raise MalformedSip("Refer-To", f"header {shortened(known) or '(empty)'} cannot be dictated")
        if ALLOWED_HEADERS[known] in found:
            raise MalformedSip("Refer-To", f"header {known} comes twice")
        found[ALLOWED_HEADERS[known]] = _text(value)
    return found


def _text(escaped: str) -> str:
    try:
        text = unquote_to_bytes(escaped).decode()
    except UnicodeDecodeError:
        raise MalformedSip("Refer-To", "escapes that are not UTF-8") from None
    if _UNSAFE.search(text):
        raise MalformedSip("Refer-To", "a line end or control character in a header")
    return text.strip()
