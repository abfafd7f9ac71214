"""SIP messages that travel as a body (message/sip): start line, headers, body."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from omapush.errors import MalformedSip

Headers = tuple[tuple[str, str], ...]
"Header fields in their order: long name in lower case, value on one line without space around it."


@dataclass(frozen=True, slots=True)
class MessageLimits:
    """How large a message may be before it is refused unread."""

    message_bytes: int = 65_536
    headers: int = 256
    line_characters: int = 8_192


DEFAULT_LIMITS: Final = MessageLimits()

# token                                                   RFC 3261 25.1
_TOKEN: Final = r"[A-Za-z0-9\-.!%*_+`'~]++"  # noqa: S105 - a grammar rule, not a secret
# SIP-Version, case-insensitive                           RFC 3261 7.1
_VERSION: Final = r"[Ss][Ii][Pp]/2\.0"
# Request-Line                                            RFC 3261 7.1
_REQUEST_LINE: Final = re.compile(rf"({_TOKEN}) ([^\s<>\"]++) {_VERSION}")
# Status-Line; the space before an empty reason is often left out   RFC 3261 7.2
_STATUS_LINE: Final = re.compile(rf"{_VERSION} ([1-6][0-9][0-9])(?: [^\x00-\x08\x0a-\x1f\x7f]*+)?")
# message-header, one on each line                        RFC 3261 7.3
_HEADER: Final = re.compile(rf"^({_TOKEN})[ \t]*+:[ \t]*+([^\x00-\x08\x0a-\x1f\x7f]*+)$", re.MULTILINE)
# A line that starts with space goes on with the one before   RFC 3261 7.3.1
_FOLD: Final = re.compile(r"\n[ \t]++")
_END_OF_HEADERS: Final = re.compile(rb"\n\r?\n")
# Compact forms   RFC 3261 7.3.3, 3265, 3515, 3841, 3892, 4028, 4474 and the IANA list
_LONG_NAMES: Final = {
    "a": "accept-contact",
    "b": "referred-by",
    "c": "content-type",
    "d": "request-disposition",
    "e": "content-encoding",
    "f": "from",
    "i": "call-id",
    "j": "reject-contact",
    "k": "supported",
    "l": "content-length",
    "m": "contact",
    "n": "identity-info",
    "o": "event",
    "r": "refer-to",
    "s": "subject",
    "t": "to",
    "u": "allow-events",
    "v": "via",
    "x": "session-expires",
    "y": "identity",
}
# fmt: off
_USUAL_NAMES: Final = (
    "Accept", "Allow", "Authorization", "CSeq", "Call-ID", "Contact", "Content-Length",
    "Content-Type", "Event", "Expires", "From", "Max-Forwards", "P-Access-Network-Info",
    "P-Associated-URI", "P-Charging-Vector", "P-Preferred-Identity", "P-Visited-Network-ID", "Path",
    "Proxy-Authorization", "Proxy-Require", "Require", "Route", "Security-Client",
    "Security-Verify", "Server", "Service-Route", "Supported", "To", "User-Agent", "Via",
)
# fmt: on
_WRITTEN_NAMES: Final = {name: name.lower() for name in _USUAL_NAMES}
"Names as nearly everybody writes them; others take a little longer."


@dataclass(frozen=True, slots=True)
class SipMessage:
    """A request (`method` is set) or a response (`status` is set) with its header fields."""

    method: str | None
    request_uri: str
    "As written; empty for a response."
    status: int | None
    headers: Headers
    body: bytes = b""

    @classmethod
    def parse(cls, data: bytes, *, limits: MessageLimits = DEFAULT_LIMITS) -> SipMessage:
        """
        Return the message that fills `data`.

        Whoever carries it has said where it ends, so Content-Length is not looked at and the empty line
        may be missing when no body follows. Lines may end in LF alone; what is not UTF-8 becomes U+FFFD.

        Raises:
            MalformedSip: the text tells the line's number, never its content, which may be a credential.
        """
        if len(data) > limits.message_bytes:
            raise MalformedSip("message/sip", f"longer than {limits.message_bytes} bytes")
        data = data.lstrip(b"\r\n")
        end = _END_OF_HEADERS.search(data)
        if end is None and not data.endswith(b"\n"):
            raise MalformedSip("message/sip", "ends in the middle of a line")
        head, body = (data, b"") if end is None else (data[: end.start()], data[end.end() :])
        lines = _unfolded(head.decode("utf-8", "replace").replace("\r\n", "\n").removesuffix("\r"))
        start_line, _, rest = lines.rstrip("\n").partition("\n")
        method, request_uri, status = _start_line(start_line)
        return cls(method, request_uri, status, _headers(rest, start_line, limits), body)

    def first(self, name: str) -> str | None:
        """Return the first value of header `name` (long form, lower case), None when it is absent."""
        for key, value in self.headers:
            if key == name:
                return value
        return None

    def all(self, name: str) -> tuple[str, ...]:
        """Return the values of every header field `name` (long form, lower case), not yet split at commas."""
        return tuple([value for key, value in self.headers if key == name])

    def without(self, names: Collection[str]) -> SipMessage:
        """Return the same message without the header fields `names` (long form, lower case)."""
        kept = tuple([field for field in self.headers if field[0] not in names])
        return self if len(kept) == len(self.headers) else replace(self, headers=kept)


def _unfolded(lines: str) -> str:
    return _FOLD.sub(" ", lines) if "\n " in lines or "\n\t" in lines else lines


def _start_line(line: str) -> tuple[str | None, str, int | None]:
    if request := _REQUEST_LINE.fullmatch(line):
        return request[1], request[2], None
    if response := _STATUS_LINE.fullmatch(line):
        return None, "", int(response[1])
    raise MalformedSip("start line", "neither a request nor a response of SIP/2.0")


def _headers(lines: str, start_line: str, limits: MessageLimits) -> Headers:
    return _plain_headers(lines, start_line, limits) or _any_headers(lines, start_line, limits)


def _plain_headers(lines: str, start_line: str, limits: MessageLimits) -> Headers:
    """Most messages: known names, printable ASCII, nothing near a limit. Empty when it is none of these."""
    if len(lines) + len(start_line) > limits.line_characters or not lines.isascii():
        return ()
    split = lines.split("\n")
    if len(split) > limits.headers or not "".join(split).isprintable():
        return ()
    found = []
    for line in split:
        written, _, value = line.partition(":")
        name = _WRITTEN_NAMES.get(written)
        if name is None or not (value or line.endswith(":")):
            return ()
        found.append((name, value.strip(" ")))
    return tuple(found)


def _any_headers(lines: str, start_line: str, limits: MessageLimits) -> Headers:
    if len(lines) + len(start_line) > limits.line_characters:
        _check_line_lengths([start_line, *lines.split("\n")], limits)
    found = _HEADER.findall(lines)
    if len(found) > limits.headers:
        raise MalformedSip("message/sip", f"more than {limits.headers} header fields")
    if lines and len(found) != lines.count("\n") + 1:
        raise MalformedSip(f"line {_first_bad_line(lines)}", "not a header field")
    return tuple([(_long_name(name), value.rstrip(" \t")) for name, value in found])


def _check_line_lengths(lines: list[str], limits: MessageLimits) -> None:
    for number, line in enumerate(lines, start=1):
        if len(line) > limits.line_characters:
            raise MalformedSip(f"line {number}", f"longer than {limits.line_characters} characters")


def _first_bad_line(lines: str) -> int:
    """Return its number, the start line being 1 and folded lines counting with the one they belong to."""
    numbered = enumerate(lines.split("\n"), start=2)
    return next(number for number, line in numbered if not _HEADER.fullmatch(line))


@lru_cache(maxsize=512)
def _long_name(name: str) -> str:
    lowered = name.lower()
    return _LONG_NAMES.get(lowered, lowered)
