"""
SIP as text, for the fakes only.

Deliberately not `omapush.protocol`: a peer that shared our parser would share its mistakes. It reads
what a proxy on the loopback sends and is strict about nothing else.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

COMPACT = {  # RFC 3261 20 and the extensions that a push meets
    "a": "accept-contact",
    "c": "content-type",
    "e": "content-encoding",
    "f": "from",
    "i": "call-id",
    "k": "supported",
    "l": "content-length",
    "m": "contact",
    "o": "event",
    "t": "to",
    "u": "allow-events",
    "v": "via",
}
PUSH_TAG = re.compile(r'\+g\.oma\.pusheventapp\s*=\s*"([^"]*)"', re.IGNORECASE)


class NotSip(ValueError):
    """The datagram is no SIP message."""


@dataclass(frozen=True, slots=True)
class SipText:
    """One message as it was on the wire."""

    raw: bytes
    start_line: str
    headers: tuple[tuple[str, str], ...]
    "Names in lower case and long form, values unfolded, in the order they came."
    body: bytes

    @classmethod
    def parse(cls, raw: bytes) -> "SipText":
        """
        Return the message in one datagram.

        Raises:
            NotSip: There is no start line with headers behind it.
        """
        head, separator, rest = raw.partition(b"\r\n\r\n")
        if not separator:
            raise NotSip("no empty line after the headers")
        start_line, *lines = re.sub(r"\r\n[ \t]+", " ", head.decode("utf-8", "replace")).split("\r\n")
        if "SIP/2.0" not in start_line:
            raise NotSip(f"not a SIP start line: {start_line[:80]!r}")
        headers = tuple(_header(line) for line in lines)
        length = next((value for name, value in headers if name == "content-length"), "")
        return cls(raw, start_line, headers, rest[: int(length)] if length.isdecimal() else rest)

    @property
    def is_request(self) -> bool:
        return not self.start_line.startswith("SIP/2.0 ")

    @property
    def method(self) -> str:
        """The request's method, or the one a response answers."""
        return self.header("CSeq").split()[-1] if self.header("CSeq") else self.start_line.split()[0]

    @property
    def status(self) -> int:
        """The response's code; 0 for a request."""
        return 0 if self.is_request else int(self.start_line.split()[1])

    @property
    def branch(self) -> str:
        found = re.search(r";\s*branch\s*=\s*([^;,\s]+)", self.header("Via"), re.IGNORECASE)
        return found[1] if found else ""

    @property
    def apps(self) -> tuple[str, ...]:
        """The push applications that Accept-Contact names, in lower case."""
        lists = PUSH_TAG.findall(",".join(self.all("Accept-Contact")))
        return tuple(app.strip().lower() for text in lists for app in text.split(","))

    def header(self, name: str) -> str:
        """The first value under this name, or an empty text."""
        return next(iter(self.all(name)), "")

    def all(self, name: str) -> list[str]:
        return [value for known, value in self.headers if known == name.lower()]


def _header(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon:
        raise NotSip(f"not a header line: {line[:80]!r}")
    low = name.strip().lower()
    return COMPACT.get(low, low), value.strip()


def write(start_line: str, headers: Iterable[tuple[str, str]], body: bytes = b"") -> bytes:
    """The message with its Content-Length, as bytes for one datagram."""
    lines = [start_line, *(f"{name}: {value}" for name, value in headers), f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


def reply(
    request: SipText,
    code: int,
    phrase: str,
    headers: Iterable[tuple[str, str]],
    to_tag: str,
    body: bytes = b"",
) -> bytes:
    """The answer to a request with what RFC 3261 8.2.6.2 copies from it."""
    to = request.header("To")
    return write(
        f"SIP/2.0 {code} {phrase}",
        [
            *(("Via", via) for via in request.all("Via")),
            ("From", request.header("From")),
            ("To", to if ";tag=" in to else f"{to};tag={to_tag}"),
            ("Call-ID", request.header("Call-ID")),
            ("CSeq", request.header("CSeq")),
            *headers,
        ],
        body,
    )
