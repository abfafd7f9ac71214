"""Turn the address of a PAP recipient into the SIP target that it stands for, and back (WAP-251 style)."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from omapush.errors import MalformedAddress, MalformedSip, shortened
from omapush.protocol.sip_uri import SipUri

LONGEST_ADDRESS: Final = 512
"Characters, below what a Request-URI may have."

# ext-qualified-address = ["/"] "WAPPUSH=" specifier *("/" keyword "=" value) "/TYPE=" type ["@" ppg]
_WAPPUSH: Final = re.compile(r"/?WAPPUSH=([^/]*)((?:/[^/=]+=[^/]*)*)/TYPE=([^/=@]+)", re.IGNORECASE)
_BEGINS_WAPPUSH: Final = re.compile(r"/?WAPPUSH=", re.IGNORECASE)
# ppg-specifier = dom-fragment *("." dom-fragment)
_PPG: Final = re.compile(r"[A-Za-z0-9\-]++(?:\.[A-Za-z0-9\-]++)*")
# addr-spec = dot-atom "@" domain, RFC 5322 3.4.1, without what the other forms are made of
_USER_AT_DOMAIN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+\-._~]++@[A-Za-z0-9.\-]++")
_URI_SCHEME: Final = re.compile(r"(?:sips?|tel):", re.IGNORECASE)
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
# A qualifier, a separator of the address or one of SIP headers must be escaped in a specifier.
_SPECIFIER: Final = re.compile(r"[!#-.0-;=?A-Z\[\]^_`a-z{|}~]++")
# global phone number: "+" and 1 to 15 digits (E.164), "-" and "." between them
_PHONE: Final = re.compile(r"\+[0-9.\-]{1,32}")
_PHONE_DIGITS: Final = re.compile(r"\+[0-9]{1,15}")
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
# visual-separator, RFC 3966 3
_VISUAL_SEPARATORS: Final = str.maketrans("", "", "-.()")
# user-unreserved, RFC 3261 25.1, without "?": a naive reader would take the rest for headers
_SAFE_IN_USER: Final = "-_.!~*'()&=+$,;/"


def recipient(
    address_value: str, *, default_domain: str | None = None, phone_domain: str | None = None
) -> str:
    """
    Return the SIP target of an `address-value` as URI text: `sip:alice@home1.example`, `tel:+358401234567`.

    `default_domain` completes a user without domain (None: refused). With `phone_domain` a telephone
    number becomes `sip:NUMBER@DOMAIN;user=phone`, for cores that do not resolve tel URIs.

    Raises:
        MalformedAddress: not an address, a kind that SIP cannot reach (IPv4, IPv6, bearer), or one
            with a character that has no place in a SIP header, escaped or not.
    """
    if len(address_value) > LONGEST_ADDRESS:
        raise _bad(f"longer than {LONGEST_ADDRESS} characters")
    if _BEGINS_WAPPUSH.match(address_value) is None:
        return _bare(address_value)
    specifier, kind = _split(address_value)
    value = _unescaped(specifier)
    match kind.upper():
        case "PLMN":
            return _phone(value, phone_domain)
        case "USER":
            return _user(value, default_domain)
        case "IPV4" | "IPV6":
            raise _bad(f"an {kind} address is not reachable by SIP")
        case _:
            raise _bad(f"a {shortened(kind)} bearer address is not reachable by SIP")


def _split(address_value: str) -> tuple[str, str]:
    """The specifier, still escaped, and the type."""
    qualified, at, ppg = address_value.rpartition("@")
    if not at:
        qualified = address_value
    elif _PPG.fullmatch(ppg) is None:
        raise _bad(f"no gateway domain after the last @: {shortened(ppg)!r}")
    found = _WAPPUSH.fullmatch(qualified)
    if found is None:
        raise _bad(f"not WAPPUSH=.../TYPE=...: {shortened(address_value)!r}")
    if _SPECIFIER.fullmatch(found[1]) is None:
        raise _bad(f"a character of {shortened(found[1])!r} must be escaped, @ as %40")
    if "/TYPE=" in found[2].upper():
        raise _bad("more than one TYPE")
    return found[1], found[3]


def _unescaped(text: str) -> str:
    """`text` with its escapes undone, once."""
    if _BAD_ESCAPE.search(text):
        raise _bad(f"incomplete %-escape in {shortened(text)!r}")
    try:
        value = unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        raise _bad(f"escapes that are not UTF-8 in {shortened(text)!r}") from None
    if _CONTROL.search(value):
        raise _bad(f"control character in {shortened(text)!r}")
    return value


def _bare(value: str) -> str:
    """The target of an address that is a URI, or user and domain, instead of a WAPPUSH address."""
    if _URI_SCHEME.match(value):
        return _uri(value)
    if _USER_AT_DOMAIN.fullmatch(value):
        return _uri(f"sip:{value}")
    raise _bad(f"neither a WAPPUSH address nor a URI nor user@domain: {shortened(value)!r}")


def _phone(value: str, phone_domain: str | None) -> str:
    number = value.replace("-", "").replace(".", "") if _PHONE.fullmatch(value) else value
    if _PHONE_DIGITS.fullmatch(number) is None:
        raise _bad(f"not + and 1 to 15 digits: {shortened(value)!r}")
    return f"tel:{number}" if phone_domain is None else _uri(f"sip:{number}@{phone_domain};user=phone")


def _user(value: str, default_domain: str | None) -> str:
    if _URI_SCHEME.match(value):
        return _uri(value)
    user, at, domain = value.rpartition("@")
    if not at:
        user, domain = value, default_domain or ""
    if not user or not domain:
        raise _bad(f"user or domain is missing in {shortened(value)!r}")
    return _uri(_sip(user, domain))


def _sip(user: str, domain: str) -> str:
    return f"sip:{quote(user, safe=_SAFE_IN_USER)}@{domain}"


def _uri(text: str) -> str:
    """`text` in the spelling that goes into a request, when it is a URI that nothing can hide in."""
    try:
        uri = SipUri.parse(text, "address-value")
    except MalformedSip as error:
        raise _bad(error.problem) from None
    if "?" in text or ":" in uri.user:
        raise _bad(f"header fields or a password in {shortened(text)!r}")
    _unescaped(text)
    if uri.scheme == "tel":
        uri = replace(uri, user=uri.user.translate(_VISUAL_SEPARATORS))
    return str(uri)


def _bad(problem: str) -> MalformedAddress:
    return MalformedAddress("address-value", problem)
