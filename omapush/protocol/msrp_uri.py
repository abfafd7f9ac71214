"""MSRP URIs: the ends of a session, and the paths between them (RFC 4975 6)."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from omapush.errors import MalformedMsrp, shortened
from omapush.protocol.sip_uri import Params

LONGEST_MSRP_URI: Final = 512
"Characters."
MOST_URIS_IN_PATH: Final = 8
"An endpoint and its relays; more is a loop."

# Possessive quantifiers stand on single characters only: on groups that can backtrack, Python before
# 3.11.5 goes on from the wrong place.
_UNRESERVED: Final = r"A-Za-z0-9\-._~"
_ESCAPED: Final = r"%[0-9A-Fa-f]{2}"
# authority = [ userinfo "@" ] host [ ":" port ]                      RFC 3986 3.2
_USERINFO: Final = rf"(?:[{_UNRESERVED}!$&'()*+,;=:]++|{_ESCAPED})*"
_REG_NAME: Final = rf"(?:[{_UNRESERVED}]++|{_ESCAPED})+"
_IPV6: Final = r"\[[0-9A-Fa-f:.]{2,45}\]"
# session-id = 1*( unreserved / "+" / "=" / "/" )                     RFC 4975 9
_SESSION_ID: Final = rf"[{_UNRESERVED}+=/]++"
# URI-parameter = token [ "=" token ]                                 RFC 4975 9
_TOKEN: Final = r"[A-Za-z0-9\-.!%*_+`'~]++"  # noqa: S105 - a grammar rule, not a secret
# MSRP-URI = msrp-scheme "://" authority [ "/" session-id ] ";" transport *( ";" URI-parameter )
_MSRP_URI: Final = re.compile(
    rf"([Mm][Ss][Rr][Pp][Ss]?)://(?:({_USERINFO})@)?({_REG_NAME}|{_IPV6})(?::([0-9]{{1,5}}))?"
    rf"(?:/({_SESSION_ID}))?;([A-Za-z0-9]++)((?:;{_TOKEN}(?:={_TOKEN})?)*)"
)
_IPV4: Final = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}")
_ESCAPE: Final = re.compile(_ESCAPED)
_UNRESERVED_CHARACTER: Final = re.compile(rf"[{_UNRESERVED}]")

UriKey = tuple[bool, str, int | None, str | None, str]


@dataclass(frozen=True, slots=True)
class MsrpUri:
    """One MSRP or MSRPS URI taken apart, as it was written; `key` compares two of them."""

    secure: bool
    "`msrps`: over TLS."
    host: str
    "An IPv6 address in its brackets."
    port: int | None
    "None when absent, which equals no number: 2855 is a suggestion, not a default."
    session_id: str | None
    transport: str = "tcp"
    userinfo: str = ""
    params: Params = ()

    @classmethod
    def parse(cls, text: str, field: str = "To-Path") -> MsrpUri:
        """
        Return the URI that `text` is, all of it.

        Raises:
            MalformedMsrp: naming `field`; also for a numeric host without a port (RFC 4975 6).
        """
        if len(text) > LONGEST_MSRP_URI:
            raise MalformedMsrp(field, f"a URI of more than {LONGEST_MSRP_URI} characters")
        found = _MSRP_URI.fullmatch(text)
        if found is None:
            raise MalformedMsrp(field, f"not an MSRP URI: {shortened(text) or 'empty'}")
        scheme, userinfo, host, digits, session_id, transport, params = found.groups()
        numeric = _address(host, field) is not None
        if numeric and digits is None:
            raise MalformedMsrp(field, f"an address needs a port: {shortened(text)}")
        return cls(
            secure=len(scheme) == len("msrps"),
            host=host,
            port=_port(digits, field),
            session_id=session_id,
            transport=transport,
            userinfo=userinfo or "",
            params=_params(params),
        )

    def __str__(self) -> str:
        scheme = "msrps" if self.secure else "msrp"
        userinfo = f"{self.userinfo}@" if self.userinfo else ""
        port = "" if self.port is None else f":{self.port}"
        session = "" if self.session_id is None else f"/{self.session_id}"
        params = "".join(f";{name}" if value is None else f";{name}={value}" for name, value in self.params)
        return f"{scheme}://{userinfo}{self.host}{port}{session};{self.transport}{params}"

    @property
    def key(self) -> UriKey:
        """
        Return what two URIs of the same session end have in common, and no others (RFC 4975 6.1).

        Without userinfo and parameters; session-id by case, all else without.
        """
        return _key(self)


@lru_cache(maxsize=4_096)
def _key(uri: MsrpUri) -> UriKey:
    return uri.secure, _comparable(uri.host), uri.port, uri.session_id, uri.transport.lower()


@lru_cache(maxsize=256)
def parse_path(value: str, field: str = "To-Path") -> tuple[MsrpUri, ...]:
    """
    Return the URIs of a To-Path, From-Path or `a=path`, next hop first.

    Raises:
        MalformedMsrp: naming `field`; no URI, more than 8, or anything but one space between them.
    """
    pieces = value.split(" ", MOST_URIS_IN_PATH)
    if len(pieces) > MOST_URIS_IN_PATH:
        raise MalformedMsrp(field, f"more than {MOST_URIS_IN_PATH} URIs")
    return tuple([MsrpUri.parse(piece, field) for piece in pieces])


def write_path(path: tuple[MsrpUri, ...]) -> str:
    """Return the header or attribute value of `path`."""
    return " ".join(map(str, path))


def _address(host: str, field: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the address that a host is, None when it is a name."""
    if not host.startswith("[") and not _IPV4.fullmatch(host):
        return None
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        raise MalformedMsrp(field, f"not an address: {shortened(host)}") from None


def _comparable(host: str) -> str:
    if host.startswith("[") or _IPV4.fullmatch(host):
        return str(ipaddress.ip_address(host.strip("[]")))
    return _ESCAPE.sub(_needed_escape, host).lower()


def _needed_escape(escape: re.Match[str]) -> str:
    """Undo the escape of an unreserved character: both forms are equal (RFC 3986 6.2.2.2)."""
    character = chr(int(escape[0][1:], 16))
    return character if _UNRESERVED_CHARACTER.fullmatch(character) else escape[0]


def _port(digits: str | None, field: str) -> int | None:
    if digits is None:
        return None
    port = int(digits)
    if not 0 < port < 65536:
        raise MalformedMsrp(field, f"port {port} is not between 1 and 65535")
    return port


def _params(text: str) -> Params:
    if not text:
        return ()
    pairs = (param.partition("=") for param in text[1:].split(";"))
    return tuple((name, value if equals else None) for name, equals, value in pairs)
