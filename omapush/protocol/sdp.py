"""Session descriptions (RFC 4566, 3264), as far as an offer or answer of message media needs them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from omapush.errors import MalformedSdp, shortened

LONGEST_SDP: Final = 32_768
"Bytes of a whole session description."
MOST_MEDIA: Final = 32
"m-lines of one description."
MOST_LINES: Final = 1_024
"Lines of one description, those of all media together."

Attributes = tuple[tuple[str, str | None], ...]
"a-lines in their order: name, and value or None for a name only."
OtherLines = tuple[tuple[str, str], ...]
"Lines that are kept and not looked into: letter, value."

# Possessive quantifiers stand on single characters only: on groups that can backtrack, Python before
# 3.11.5 goes on from the wrong place.
# token                                                               RFC 4566 9
_TOKEN: Final = r"[A-Za-z0-9!#$%&'*+\-.^_`{|}~]{1,64}"  # noqa: S105 - a grammar rule, not a secret
_ADDRESS: Final = r"[^\s\x00-\x1f\x7f/]{1,255}"
# o=<username> <sess-id> <sess-version> IN <addrtype> <address>       RFC 4566 5.2
_ORIGIN: Final = re.compile(rf"(\S{{1,255}}) ([0-9]{{1,20}}) ([0-9]{{1,20}}) IN (IP[46]) ({_ADDRESS})")
# c=IN <addrtype> <connection-address>                                RFC 4566 5.7
_CONNECTION: Final = re.compile(rf"IN (IP[46]) ({_ADDRESS})(?:/[0-9]{{1,3}}){{0,2}}")
# m=<media> <port>[/<number of ports>] <proto> <fmt> ...              RFC 4566 5.14
_MEDIA: Final = re.compile(
    rf"({_TOKEN}) ([0-9]{{1,5}})(?:/[0-9]{{1,5}})? ({_TOKEN}(?:/{_TOKEN}){{0,4}})((?: [^\s\x00-\x1f]++)+)"
)
# a=<attribute>[:<value>]                                             RFC 4566 5.13
_ATTRIBUTE: Final = re.compile(rf"({_TOKEN})(?::([^\x00\r\n]*+))?")
# the order of lines; an r-line belongs to the t-line above it         RFC 4566 5
_SESSION_ORDER: Final = {
    letter: rank
    for rank, letters in enumerate(("v", "o", "s", "i", "u", "e", "p", "c", "b", "tr", "z", "k", "a"))
    for letter in letters
}
_MEDIA_ORDER: Final = {letter: rank for rank, letter in enumerate("micbka")}
_DIRECTIONS: Final = frozenset({"sendonly", "recvonly", "sendrecv", "inactive"})


@dataclass(frozen=True, slots=True)
class Address:
    """An address of an o- or c-line."""

    host: str
    "IPv4, IPv6 without brackets, or a name."
    kind: str = "IP4"
    "`IP4` or `IP6`."

    @classmethod
    def of(cls, host: str) -> Address:
        """Return the line's form of `host`, which may have the brackets of a URI."""
        bare = host.strip("[]")
        return cls(bare, "IP6" if ":" in bare else "IP4")

    def __str__(self) -> str:
        return f"IN {self.kind} {self.host}"


@dataclass(frozen=True, slots=True)
class Origin:
    """Who made a description, and which state of it this is (RFC 4566 5.2)."""

    session_id: int
    version: int
    "One more with each change, the same in an offer that changes nothing (RFC 3264 8)."
    address: Address
    username: str = "-"

    def __str__(self) -> str:
        return f"{self.username} {self.session_id} {self.version} {self.address}"


@dataclass(frozen=True, slots=True)
class Media:
    """One m-line with what belongs to it."""

    kind: str
    "`message`, `audio` ..."
    port: int
    "0: refused, or closed."
    protocol: str
    "`TCP/MSRP`, `TCP/TLS/MSRP` ..."
    formats: tuple[str, ...] = ("*",)
    attributes: Attributes = ()
    connection: Address | None = None
    others: OtherLines = ()
    "i-, b- and k-lines."

    def attribute(self, name: str) -> str | None:
        """Return the value of the first `a=name:`, empty for `a=name` alone, None when there is none."""
        return _attribute(self.attributes, name)

    def closed(self) -> Media:
        """Return the same m-line refused or closed: port 0, all else as it is (RFC 3264 6, 8.2)."""
        return replace(self, port=0)


@dataclass(frozen=True, slots=True)
class SessionDescription:
    """An offer or an answer. m-lines keep their positions from the first offer to the end (RFC 3264 8)."""

    origin: Origin
    media: tuple[Media, ...]
    connection: Address | None = None
    attributes: Attributes = ()
    name: str = "-"
    others: OtherLines = (("t", "0 0"),)

    @classmethod
    def parse(cls, body: bytes) -> SessionDescription:
        """
        Return the description that `body` is.

        Lines may end with LF alone, as in some stacks, and stand in any order within their section.

        Raises:
            MalformedSdp: naming the line; a bound is broken, v= or o= is missing or not what we read, or a
                letter is unknown, after which nothing may be used (RFC 4566 5).
        """
        session, *media = _sections(body)
        origin = next((value for letter, value in session if letter == "o"), None)
        if origin is None:
            raise MalformedSdp("o=", "is missing")
        return cls(
            origin=_origin(origin),
            media=tuple([_media(lines) for lines in media]),
            connection=_connection(session),
            attributes=_attributes(session),
            name=next((value for letter, value in session if letter == "s"), "-"),
            others=_others(session, _SESSION_ORDER),
        )

    def __str__(self) -> str:
        lines = [("v", "0"), ("o", str(self.origin)), ("s", self.name), *self.others]
        lines += _common_lines(self.connection, self.attributes)
        lines.sort(key=lambda line: _SESSION_ORDER[line[0]])
        for media in self.media:
            section = [*media.others, *_common_lines(media.connection, media.attributes)]
            section.sort(key=lambda line: _MEDIA_ORDER[line[0]])
            formats = " ".join(media.formats)
            lines += [("m", f"{media.kind} {media.port} {media.protocol} {formats}"), *section]
        return "".join(f"{letter}={value}\r\n" for letter, value in lines)

    def address(self, media: Media) -> Address | None:
        """Return the address that is good for `media`: its own c-line, or the session's."""
        return media.connection or self.connection


def direction(attributes: Attributes) -> str:
    """
    Return `sendonly`, `recvonly`, `sendrecv` (also when nothing is said) or `inactive`; the first one counts.

    Pass the attributes of an m-line, then those of the session.
    """
    return next((name for name, _value in attributes if name in _DIRECTIONS), "sendrecv")


def _sections(body: bytes) -> list[list[tuple[str, str]]]:
    """Return the lines of the session, then those of each m-line, the m-line first."""
    if len(body) > LONGEST_SDP:
        raise MalformedSdp("SDP", f"longer than {LONGEST_SDP} bytes")
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise MalformedSdp("SDP", "not UTF-8") from None
    lines = text.removesuffix("\n").split("\n", MOST_LINES)
    if len(lines) > MOST_LINES:
        raise MalformedSdp("SDP", f"more than {MOST_LINES} lines")
    sections: list[list[tuple[str, str]]] = [[]]
    for number, written in enumerate(lines):
        line = written.removesuffix("\r")
        letter, value = line[:1], line[2:]
        if number == 0 and line != "v=0":
            raise MalformedSdp("v=", f"the first line is not v=0 but {shortened(line) or 'empty'}")
        if letter == "m":
            sections.append([])
        known = _SESSION_ORDER if len(sections) == 1 else _MEDIA_ORDER
        if line[1:2] != "=" or letter not in known or "\r" in value or "\0" in value:
            raise MalformedSdp("SDP", f"line {number + 1} has no place here: {shortened(line) or 'empty'}")
        sections[-1].append((letter, value))
    if len(sections) > MOST_MEDIA + 1:
        raise MalformedSdp("m=", f"more than {MOST_MEDIA} m-lines")
    return sections


def _origin(value: str) -> Origin:
    found = _ORIGIN.fullmatch(value)
    if found is None:
        raise MalformedSdp("o=", f"not an origin: {shortened(value)}")
    username, session_id, version, kind, host = found.groups()
    return Origin(int(session_id), int(version), Address(host, kind), username)


def _media(lines: list[tuple[str, str]]) -> Media:
    value = lines[0][1]
    found = _MEDIA.fullmatch(value)
    if found is None:
        raise MalformedSdp("m=", f"not a media line: {shortened(value)}")
    kind, digits, protocol, formats = found.groups()
    if int(digits) > 65535:
        raise MalformedSdp("m=", f"port {digits} is above 65535")
    return Media(
        kind=kind,
        port=int(digits),
        protocol=protocol,
        formats=tuple(formats[1:].split(" ")),
        attributes=_attributes(lines),
        connection=_connection(lines),
        others=_others(lines, _MEDIA_ORDER),
    )


def _connection(lines: Iterable[tuple[str, str]]) -> Address | None:
    for letter, value in lines:
        if letter == "c":
            found = _CONNECTION.fullmatch(value)
            if found is None:
                raise MalformedSdp("c=", f"not an address: {shortened(value)}")
            return Address(found[2], found[1])
    return None


def _attributes(lines: Iterable[tuple[str, str]]) -> Attributes:
    attributes: list[tuple[str, str | None]] = []
    for letter, value in lines:
        if letter == "a":
            found = _ATTRIBUTE.fullmatch(value)
            if found is None:
                raise MalformedSdp("a=", f"not an attribute: {shortened(value) or 'empty'}")
            attributes.append((found[1], found[2]))
    return tuple(attributes)


def _others(lines: Iterable[tuple[str, str]], order: dict[str, int]) -> OtherLines:
    """Return the lines that no field stands for, in the order in which they are written."""
    others = [line for line in lines if line[0] not in "vosmca"]
    others.sort(key=lambda line: order[line[0]])
    return tuple(others)


def _attribute(attributes: Attributes, name: str) -> str | None:
    return next((value or "" for key, value in attributes if key == name), None)


def _common_lines(connection: Address | None, attributes: Attributes) -> list[tuple[str, str]]:
    lines = [] if connection is None else [("c", str(connection))]
    lines += [("a", name if value is None else f"{name}:{value}") for name, value in attributes]
    return lines
