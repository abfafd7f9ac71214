"""SIP, SIPS and tel URIs, and the one form of each under which a user is known."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, replace
from typing import Final

from omapush.errors import MalformedSip, shortened

LONGEST_URI: Final = 1024
"Characters; a longer URI could never be the target of a request that we send."

Params = tuple[tuple[str, str | None], ...]
"Parameters in their order; the value is None for a parameter that is a name only."

# Possessive quantifiers stand on single characters only: on groups that can backtrack, Python before
# 3.11.5 goes on from the wrong place.
# unreserved, escaped                                     RFC 3261 25.1
_UNRESERVED: Final = r"A-Za-z0-9\-_.!~*'()"
_ESCAPED: Final = r"%[0-9A-Fa-f]{2}"
# userinfo = user [ ":" password ]                        RFC 3261 25.1
_USERINFO: Final = rf"(?:[{_UNRESERVED}&=+$,;?/:]++|{_ESCAPED})+"
# host = hostname / IPv4address / IPv6reference           RFC 3261 25.1; `_` is not in it, but in use
_HOSTNAME: Final = r"(?:[A-Za-z0-9_\-]++\.(?=[A-Za-z0-9_]))*[A-Za-z][A-Za-z0-9_\-]*+\.?"
_IPV4: Final = r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}"
_IPV6_REFERENCE: Final = r"\[[0-9A-Fa-f:.]{2,45}\]"
# uri-parameters, headers                                 RFC 3261 25.1
_PARAMCHARS: Final = rf"(?:[{_UNRESERVED}\[\]/:&+$]++|{_ESCAPED})+"
_PARAMETERS: Final = rf"(?:;{_PARAMCHARS}(?:={_PARAMCHARS})?)*"
_HEADERS: Final = rf"(?:[{_UNRESERVED}\[\]/?:+$&=]++|{_ESCAPED})+"
# SIP-URI / SIPS-URI                                      RFC 3261 25.1
_SIP_URI: Final = re.compile(
    rf"([Ss][Ii][Pp][Ss]?):(?:({_USERINFO})@)?({_IPV4}|{_HOSTNAME}|{_IPV6_REFERENCE})"
    rf"(?::([0-9]{{1,5}}))?({_PARAMETERS})(?:\?({_HEADERS}))?"
)
# A SIP identity that is written as we keep it: nothing but user and host, no escape, nothing to lower
_OWN_FORM: Final = re.compile(
    rf"sips?:[{_UNRESERVED}&=+$,;?/]++@(?:{_IPV4}|(?:[a-z0-9_\-]++\.(?=[a-z0-9_]))*[a-z][a-z0-9_\-]*+)"
)
# telephone-uri = "tel:" telephone-subscriber             RFC 3966 3
_TEL_URI: Final = re.compile(rf"([Tt][Ee][Ll]):(\+?[0-9A-Fa-f*#\-.()]{{1,64}})({_PARAMETERS})")
# visual-separator = "-" / "." / "(" / ")"                RFC 3966 3
_VISUAL_SEPARATORS: Final = str.maketrans("", "", "-.()")
_GLOBAL_NUMBER: Final = re.compile(r"\+[0-9]++")
_LOCAL_NUMBER: Final = re.compile(r"[0-9a-f*#]++")
_ESCAPE: Final = re.compile(_ESCAPED)
# method-param                                            RFC 3261 25.1
_METHOD_PARAM: Final = re.compile(r";method(?:=[^;]*+)?(?=;|\Z)", re.IGNORECASE)
_UNRESERVED_CHARACTER: Final = re.compile(rf"[{_UNRESERVED}]")


@dataclass(frozen=True, slots=True)
class SipUri:
    """A SIP, SIPS or tel URI taken apart; escapes stay as they were written."""

    scheme: str
    "`sip`, `sips` or `tel`."
    user: str
    "User part, with `:password` if one was given; the number of a tel URI; empty when absent."
    host: str
    "Host as written, an IPv6 address in its brackets; empty for tel."
    port: int | None = None
    params: Params = ()
    "URI parameters, names in lower case."
    headers: str = ""
    "What follows `?`. Never copy it into a request unread: it may name any header."

    @classmethod
    def parse(cls, text: str, field: str = "Request-URI") -> SipUri:
        """
        Return the URI that `text` is, all of it, without brackets or spaces (RFC 3261 19.1, RFC 3966).

        Raises:
            MalformedSip: naming `field`.
        """
        if len(text) > LONGEST_URI:
            raise MalformedSip(field, f"longer than {LONGEST_URI} characters")
        if found := _SIP_URI.fullmatch(text):
            scheme, user, host, port, params, headers = found.groups()
            _check_host(host, field)
            return cls(scheme.lower(), user or "", host, _port(port, field), _params(params), headers or "")
        if found := _TEL_URI.fullmatch(text):
            return cls("tel", found[2], "", params=_params(found[3]))
        raise MalformedSip(field, f"not a sip, sips or tel URI: {shortened(text)}")

    def __str__(self) -> str:
        user = f"{self.user}@" if self.user and self.host else self.user
        port = "" if self.port is None else f":{self.port}"
        params = "".join(f";{name}" if value is None else f";{name}={value}" for name, value in self.params)
        headers = f"?{self.headers}" if self.headers else ""
        return f"{self.scheme}:{user}{self.host}{port}{params}{headers}"

    def param(self, name: str) -> str | None:
        """Return the value of URI parameter `name` (lower case), None when it is absent or a name only."""
        return next((value for key, value in self.params if key == name), None)


def address_of_record(text: str, field: str = "Request-URI") -> str:
    """
    Return the form of a public identity under which everything about its user is kept.

    Two spellings that RFC 3261 10.3 and RFC 3966 4 hold for the same user give the same text: scheme and
    host in lower case, an IPv6 address at its shortest, needless escapes undone, no password, URI parameters
    (`user=phone` as well) or headers; a number without visual separators. A number that is not global keeps
    its phone-context.

    Raises:
        MalformedSip: naming `field`.
    """
    if len(text) <= LONGEST_URI and _OWN_FORM.fullmatch(text):
        return text
    uri = SipUri.parse(text, field)
    if uri.scheme == "tel":
        return _telephone_identity(uri, field)
    user = uri.user.partition(":")[0]
    if "%" in user:
        user = _ESCAPE.sub(_needed_escape, user)
    port = "" if uri.port is None else f":{uri.port}"
    return f"{uri.scheme}:{user}{'@' if user else ''}{_own_host(uri.host)}{port}"


def as_request_uri(uri: str) -> str:
    """
    Return a SIP URI, as a Contact or Route has it, without what no Request-URI may have (RFC 3261 19.1.1).

    That is headers, and the method parameter; all else stays as it is written, also where it is no URI.
    """
    if "?" not in uri and ";method" not in uri.lower():
        return uri
    before, place = _user_and_place(uri)
    return before + _METHOD_PARAM.sub("", place.partition("?")[0])


def is_loose(uri: str) -> bool:
    """Tell whether a Route value is that of a loose router: it has the parameter `lr` (RFC 3261 19.1.1)."""
    params = _user_and_place(uri)[1].partition("?")[0].split(";")[1:]
    return any(param.partition("=")[0].lower() == "lr" for param in params)


def loose(uri: str) -> str:
    """Return the URI with `;lr` and without headers, as the Route value of a loose router has it."""
    bare = as_request_uri(uri)
    return bare if is_loose(bare) else f"{bare};lr"


def reached_at(uri: str) -> str:
    """
    Return the URI of the server that a request to `uri` is sent to: its `maddr`, where it has one.

    That stands for the host on the way there only, never in the Request-URI (RFC 3261 19.1.1).
    """
    if ";maddr=" not in uri.lower():
        return uri
    try:
        parsed = SipUri.parse(uri)
    except MalformedSip:
        return uri
    server = parsed.param("maddr")
    left = tuple(one for one in parsed.params if one[0] not in ("maddr", "ttl"))
    return str(replace(parsed, user="", host=server, params=left, headers="")) if server else uri


def _user_and_place(uri: str) -> tuple[str, str]:
    """Return all up to the `@`, and what follows it: a `;` or `?` of the user is no parameter or header."""
    before, at, place = uri.partition("@")
    return (before + at, place) if at else ("", uri)


def _own_host(host: str) -> str:
    """Return the one form of a host; an IPv6 address has many (RFC 5952), all of them equal."""
    if host.startswith("["):
        return f"[{ipaddress.IPv6Address(host[1:-1]).compressed}]"
    return host.lower().removesuffix(".")


def _telephone_identity(uri: SipUri, field: str) -> str:
    number = uri.user.translate(_VISUAL_SEPARATORS).lower()
    if _GLOBAL_NUMBER.fullmatch(number):
        return f"tel:{number}"
    context = uri.param("phone-context")
    if context is None or not _LOCAL_NUMBER.fullmatch(number):
        raise MalformedSip(field, f"not global and no phone-context: {shortened(str(uri))}")
    return f"tel:{number};phone-context={context.lower()}"


def _needed_escape(escape: re.Match[str]) -> str:
    """Undo the escape of an unreserved character: both forms are equal (RFC 3261 19.1.4)."""
    character = chr(int(escape[0][1:], 16))
    return character if _UNRESERVED_CHARACTER.fullmatch(character) else escape[0].upper()


def _check_host(host: str, field: str) -> None:
    if host.startswith("["):
        try:
            ipaddress.IPv6Address(host[1:-1])
        except ValueError:
            raise MalformedSip(field, f"not an IPv6 address: {host}") from None


def _port(digits: str | None, field: str) -> int | None:
    if digits is None:
        return None
    port = int(digits)
    if not 0 < port < 65536:
        raise MalformedSip(field, f"port {port} is not between 1 and 65535")
    return port


def _params(text: str) -> Params:
    if not text:
        return ()
    pairs = (param.partition("=") for param in text[1:].split(";"))
    return tuple((name.lower(), value if equals else None) for name, equals, value in pairs)


def host_and_port(uri: str) -> str:
    """Return host and port of a SIP URI as they are written there, in lower case, IPv6 at its shortest."""
    found = _user_and_place(uri.partition(":")[2])[1].partition(";")[0].partition("?")[0].lower()
    if not found.startswith("["):
        return found
    host, bracket, port = found.partition("]")
    try:
        return f"{_own_host(host + bracket)}{port}"
    except ValueError:
        return found
