"""SIP messages as they stand on a socket: where they end, and how they are written (RFC 3261 7, 18.3)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final, NamedTuple

from omapush.errors import MalformedSip, shortened
from omapush.protocol.name_addr import split_quoted
from omapush.protocol.sip_core import Via
from omapush.protocol.sip_message import DEFAULT_LIMITS, MessageLimits, SipMessage

LONGEST_STREAM_HEAD: Final = 65_536
"Bytes of start line and headers on a stream."

_LENGTH: Final = re.compile(rb"^(?:content-length|l)[ \t]*+:[ \t]*+([^\r\n]*)", re.IGNORECASE | re.MULTILINE)
_DIGITS: Final = re.compile(r"[0-9]{1,10}")
_END_OF_HEAD: Final = re.compile(rb"\r?\n\r?\n")
_UNSAFE: Final = re.compile("[\x00-\x08\x0a-\x1f\x7f]")
_NAME: Final = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]{1,128}")
_OWN_SPELLING: Final = {
    "call-id": "Call-ID",
    "cseq": "CSeq",
    "mime-version": "MIME-Version",
    "sip-etag": "SIP-ETag",
    "sip-if-match": "SIP-If-Match",
    "www-authenticate": "WWW-Authenticate",
}
# Request-Line of whatever version                        RFC 3261 7.1
_ANY_REQUEST: Final = re.compile(
    r"([A-Za-z0-9\-.!%*_+`'~]{1,64})[ \t].*[ \t]SIP/([0-9]{1,4})\.([0-9]{1,4})[ \t]*"
)
_SALVAGED: Final = {
    "via": "via", "v": "via", "from": "from", "f": "from", "to": "to", "t": "to",
    "call-id": "call-id", "i": "call-id", "cseq": "cseq",
}  # fmt: skip


class Salvaged(NamedTuple):
    """What is left of a request that cannot be read, for the answer that says so."""

    status: int
    headers: tuple[tuple[str, str], ...]
    "Via, From, To, Call-ID and CSeq as they came."


def read_datagram(data: bytes, *, limits: MessageLimits = DEFAULT_LIMITS) -> SipMessage:
    """
    Return the message in a datagram; bytes behind its Content-Length are dropped (RFC 3261 18.3).

    Raises:
        MalformedSip: also when Content-Length is larger than what came, no number, or contradicts itself.
    """
    message = SipMessage.parse(data, limits=limits)
    length = content_length(message)
    if length is None or length == len(message.body):
        return message
    if length > len(message.body):
        raise MalformedSip("Content-Length", f"{length}, but {len(message.body)} bytes came")
    return SipMessage(
        message.method, message.request_uri, message.status, message.headers, message.body[:length]
    )


def content_length(message: SipMessage) -> int | None:
    """
    Return the value of Content-Length, None without one.

    Raises:
        MalformedSip: no number, or two different ones.
    """
    values = set(message.all("content-length"))
    if not values:
        return None
    if len(values) > 1:
        raise MalformedSip("Content-Length", "comes with different values")
    text = values.pop()
    if _DIGITS.fullmatch(text) is None:
        raise MalformedSip("Content-Length", f"not a number: {shortened(text)}")
    return int(text)


class StreamReader:
    """Cuts a byte stream (TCP, TLS) into messages, however the network cut it before."""

    def __init__(self, *, limits: MessageLimits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        self._buffer = bytearray()
        self.pings = 0
        "Double CRLF keep-alives so far, each of which deserves a CRLF (RFC 5626 3.5.1)."

    def feed(self, data: bytes) -> Iterator[bytes]:
        """
        Yield each message that is complete now.

        Raises:
            MalformedSip: where the next message begins can no longer be known; close the connection.
        """
        self._buffer += data
        while (end := self._end_of_first()) is not None:
            message = bytes(self._buffer[:end])
            del self._buffer[:end]
            yield message

    def _end_of_first(self) -> int | None:
        self._drop_line_ends()
        if not self._buffer:
            return None
        found = _END_OF_HEAD.search(self._buffer, 0, LONGEST_STREAM_HEAD + 4)
        if found is None:
            if len(self._buffer) > LONGEST_STREAM_HEAD:
                raise MalformedSip("stream", f"no end of the headers within {LONGEST_STREAM_HEAD} bytes")
            return None
        length = self._body_length(bytes(self._buffer[: found.start()]))
        if found.end() + length > self._limits.message_bytes:
            raise MalformedSip("Content-Length", f"makes it longer than {self._limits.message_bytes} bytes")
        end = found.end() + length
        return end if len(self._buffer) >= end else None

    def _drop_line_ends(self) -> None:
        while self._buffer.startswith(b"\r\n\r\n"):
            del self._buffer[:4]
            self.pings += 1
        if self._buffer.startswith(b"\r\n") and len(self._buffer) > 2 and self._buffer[2:3] != b"\r":
            del self._buffer[:2]  # the answer to a ping of ours, or an empty line before a message

    def _body_length(self, head: bytes) -> int:
        values = {value.strip() for value in _LENGTH.findall(head)}
        text = values.pop().decode("utf-8", "replace") if len(values) == 1 else ""
        if _DIGITS.fullmatch(text) is None:
            raise MalformedSip("Content-Length", "not one number, which a stream needs")
        return int(text)


def write_request(method: str, uri: str, headers: Iterable[tuple[str, str]], body: bytes = b"") -> bytes:
    """
    Return a request with its Content-Length.

    Raises:
        MalformedSip: a header that would break out of its line; a URI with a space or line end.
    """
    if not uri or _UNSAFE.search(uri) or " " in uri:
        raise MalformedSip("Request-URI", f"cannot be written: {shortened(uri)}")
    return _written(f"{method} {uri} SIP/2.0", headers, body)


def write_response(status: int, reason: str, headers: Iterable[tuple[str, str]], body: bytes = b"") -> bytes:
    """
    Return a response with its Content-Length.

    Raises:
        MalformedSip: a header that would break out of its line.
    """
    return _written(f"SIP/2.0 {status} {_UNSAFE.sub(' ', reason)}", headers, body)


def answer_headers(message: SipMessage, to_tag: str) -> list[tuple[str, str]]:
    """Return what a response copies from its request (RFC 3261 8.2.6.2); `to_tag` where To has none."""
    copied = [(name, value) for name, value in message.headers if name == "via"]
    for name in ("from", "to", "call-id", "cseq"):
        value = message.first(name)
        if value is not None:
            copied.append((name, _tagged(value, to_tag) if name == "to" else value))
    return copied


def with_source(message: SipMessage, via: Via, host: str, port: int) -> SipMessage:
    """
    Return a request whose topmost Via, which `via` is, says where it came from (RFC 3261 18.2.1, RFC 3581 4).

    `received` where the sender calls itself otherwise, `received` and `rport` where it asks for that.
    """
    plain = host.partition("%")[0]
    if not via.rport_asked and via.host.strip("[]") == plain:
        return message
    at = next(number for number, (name, _) in enumerate(message.headers) if name == "via")
    first, *others = split_quoted(message.headers[at][1], ",", "Via")
    told = [f"rport={port}" if _named(one) == "rport" else one for one in split_quoted(first, ";", "Via")]
    kept = [one for one in told if _named(one) != "received"]
    fields = list(message.headers)
    fields[at] = ("via", ", ".join((f"{';'.join(kept)};received={plain}", *others)))
    return replace(message, headers=tuple(fields))


def _named(parameter: str) -> str:
    return parameter.partition("=")[0].strip().lower()


def salvage(data: bytes) -> Salvaged | None:
    """
    Return what a 400 (505 for another version) can be answered with, of bytes that are no SIP message.

    None: they are no request, or an ACK, or nobody could recognise the answer.
    """
    head = _END_OF_HEAD.split(data.lstrip(b"\r\n")[:LONGEST_STREAM_HEAD], maxsplit=1)[0]
    lines = head.decode("utf-8", "replace").replace("\r\n", "\n").split("\n")
    request = _ANY_REQUEST.fullmatch(lines[0])
    if request is None or request[1] == "ACK":
        return None
    found: list[tuple[str, str]] = []
    for line in lines[1:]:
        if line[:1] in (" ", "\t") and found:
            found[-1] = (found[-1][0], f"{found[-1][1]} {line.strip()}")
            continue
        name, _, value = line.partition(":")
        known = _SALVAGED.get(name.strip().lower())
        if known is not None and not _UNSAFE.search(value) and (known == "via" or known not in dict(found)):
            found.append((known, value.strip()))
    if {name for name, _ in found} != set(_SALVAGED.values()):
        return None
    status = 400 if (request[2], request[3]) == ("2", "0") else 505
    return Salvaged(status, tuple(found))


def _tagged(to: str, tag: str) -> str:
    rest = to[to.rfind(">") + 1 :]
    return to if re.search(r";[ \t]*tag[ \t]*=", rest, re.IGNORECASE) else f"{to};tag={tag}"


def _written(start_line: str, headers: Iterable[tuple[str, str]], body: bytes) -> bytes:
    lines = [start_line]
    for name, value in headers:
        if _NAME.fullmatch(name) is None or _UNSAFE.search(value):
            raise MalformedSip(shortened(name) or "header name", "cannot be written on one line")
        lines.append(f"{_spelling(name)}: {value}")
    lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def _spelling(name: str) -> str:
    lowered = name.lower()
    if name != lowered:
        return name
    return _OWN_SPELLING.get(lowered) or "-".join(word.capitalize() for word in lowered.split("-"))
