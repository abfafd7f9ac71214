"""Takes an MSRP stream apart as it comes in, however it was cut (RFC 4975 7.3, 9)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, TypeVar

from omapush.errors import MalformedMsrp, shortened
from omapush.protocol.msrp import (
    IDENT,
    LONGEST_OTHER_BODY,
    REPORT,
    SEND,
    Body,
    ByteRange,
    End,
    Event,
    FailureReport,
    Flag,
    Request,
    Response,
    Status,
)
from omapush.protocol.msrp_uri import LONGEST_MSRP_URI, MOST_URIS_IN_PATH, parse_path
from omapush.protocol.searching import find

LONGEST_LINE: Final = MOST_URIS_IN_PATH * (LONGEST_MSRP_URI + 1) + 16
"Bytes of one line of a head: a full path fits."
LONGEST_HEAD: Final = 16_384
"Bytes of all lines before a body."
MOST_HEADERS: Final = 64

# "MSRP" SP transact-id SP ( method / status-code [ SP comment ] )    RFC 4975 9
_START: Final = re.compile(rf"MSRP ({IDENT}) (?:([A-Z]{{1,32}})|([0-9]{{3}})(?: (.*))?)")
_MESSAGE_ID: Final = re.compile(IDENT)
# hname ":" SP hval; spaces are taken as they come                    RFC 4975 9
_HEADER: Final = re.compile(r"([A-Za-z][A-Za-z0-9\-.!%*_+`'~]{0,63}):[ \t]*+(.*?)[ \t]*")
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
# type "/" subtype *( ";" gen-param ), as far as it has to be known    RFC 4975 9
_CONTENT_TYPE: Final = re.compile(
    r"[A-Za-z0-9!#$&\-^_.+]{1,127}/[A-Za-z0-9!#$&\-^_.+]{1,127}[ \t]*+(?:;.{0,1024})?"
)
_FLAGS: Final = {flag.encode(): flag for flag in Flag}
_SUCCESS_REPORTS: Final = {"yes": True, "no": False}
_FAILURE_REPORTS: Final = {str(wish): wish for wish in FailureReport}
_READ: Final = frozenset(
    {"message-id", "byte-range", "success-report", "failure-report", "status", "content-type"}
)
_JOINED: Final = 1_024
"Octets that are first put behind what was held."
_Word = TypeVar("_Word")
Octets = bytes | bytearray


class MsrpReader:
    """
    Reader of one connection. After an error it is of no further use: the place in the stream is lost.

    What breaks the framing is such an error; a header that cannot be read in a request that is framed
    well is told in `Request.problem`, so that it can be answered with 400.
    """

    __slots__ = ("_end", "_head", "_head_size", "_held", "_in_body", "_room")

    def __init__(self) -> None:
        self._held = b""
        "What came and cannot be judged yet: part of a line, or of what may be an end-line."
        self._head: list[str] = []
        self._head_size = 0
        self._in_body = False
        self._end = b""
        "What ends the current request: `-------` and its transaction id."
        self._room: int | None = None
        "Octets that the current body may still have; None for a SEND, whose receiver sets the limit."

    @property
    def between_requests(self) -> bool:
        """Whether nothing has begun that has not ended."""
        return not self._held and not self._head and not self._in_body

    def feed(self, data: Octets, size: int | None = None) -> list[Event]:
        """
        Return what `data` brings to an end; of a body, all octets that are known to be its own.

        `size`: `data` is a buffer in which only so many octets count, and which is written over for the next
        call. Until then the octets of a body are good, which are not copied.

        Raises:
            MalformedMsrp: this is not MSRP, or a line, head, or body of another method is too long.
        """
        size = len(data) if size is None else size
        events: list[Event] = []
        at = 0
        while self._held and at < size:
            # Mostly a few octets bring what was held to its end: not all is copied behind it.
            more = min(size, at + _JOINED if not at else size)
            joined = self._held + data[at:more]
            at, self._held = more, b""
            self._take(joined, 0, len(joined), events)
        self._take(data, at, size, events)
        return events

    def _take(self, data: Octets, at: int, size: int, events: list[Event]) -> None:
        """Take the octets from `at` to `size`, but for what has to be held."""
        while 0 <= at < size:
            read = self._read_body if self._in_body else self._read_line
            at = read(data, at, size, events)

    def _read_line(self, data: Octets, at: int, size: int, events: list[Event]) -> int:
        """Take the line at `at`; return where the next one begins, -1 when all is taken."""
        end = data.find(b"\r\n", at, min(size, at + LONGEST_LINE + 2))
        if end < 0:
            if size - at > LONGEST_LINE:
                raise MalformedMsrp("MSRP", f"a line of more than {LONGEST_LINE} bytes")
            self._held = bytes(data[at:size])
            return -1
        self._take_line(bytes(data[at:end]), events)
        return end + 2

    def _take_line(self, line: bytes, events: list[Event]) -> None:
        if not self._head:
            if line:  # an empty line between requests does no harm
                self._begin(_text(line))
        elif line.startswith(b"-------"):
            self._finish_head(line, events)
        elif not line:
            self._begin_body(events)
        else:
            self._head_size += len(line) + 2
            if len(self._head) > MOST_HEADERS or self._head_size > LONGEST_HEAD:
                raise MalformedMsrp(
                    "MSRP", f"a head of more than {MOST_HEADERS} lines or {LONGEST_HEAD} bytes"
                )
            self._head.append(_text(line))

    def _begin(self, line: str) -> None:
        found = _START.fullmatch(line)
        if found is None:
            raise MalformedMsrp("MSRP", f"neither request nor response: {shortened(line)}")
        self._head = [line]
        self._head_size = len(line) + 2
        self._end = b"-------" + found[1].encode()

    def _finish_head(self, line: bytes, events: list[Event]) -> None:
        flag = _FLAGS.get(line.removeprefix(self._end))
        if flag is None:
            raise MalformedMsrp("end-line", f"of another transaction: {shortened(_text(line))}")
        message = _message(self._head, has_body=False)
        events.append(message)
        if isinstance(message, Request):
            events.append(End(flag))
        self._head = []

    def _begin_body(self, events: list[Event]) -> None:
        message = _message(self._head, has_body=True)
        if isinstance(message, Response):
            raise MalformedMsrp("MSRP", "a response with a body")
        events.append(message)
        self._head = []
        self._in_body = True
        self._room = None if message.method == SEND else LONGEST_OTHER_BODY
        self._end = b"\r\n" + self._end

    def _read_body(self, data: Octets, at: int, size: int, events: list[Event]) -> int:
        """Take the body from `at`; return where what follows its end-line begins, -1 when all is taken."""
        search = at
        while (found := find(data, self._end, search, size)) >= 0:
            after = found + len(self._end)
            rest = bytes(data[after : min(size, after + 3)])
            if rest[:1] in _FLAGS and rest[1:] == b"\r\n":
                self._take_body(data, at, found, events)
                events.append(End(_FLAGS[rest[:1]]))
                self._in_body = False
                return after + 3
            if _may_be_flag(rest):
                self._take_body(data, at, found, events)
                self._held = bytes(data[found:size])
                return -1
            search = found + 1
        cut = self._possible_end(data, at, size)
        self._take_body(data, at, cut, events)
        self._held = bytes(data[cut:size])
        return -1

    def _possible_end(self, data: Octets, at: int, size: int) -> int:
        """Return where the begin of an end-line may stand before `size`, else `size`."""
        cut = data.rfind(b"\r", max(at, size - len(self._end)), size)
        return cut if cut >= 0 and self._end.startswith(bytes(data[cut:size])) else size

    def _take_body(self, data: Octets, at: int, end: int, events: list[Event]) -> None:
        if at == end:
            return
        if self._room is not None:
            self._room -= end - at
            if self._room < 0:
                raise MalformedMsrp("MSRP", f"more than {LONGEST_OTHER_BODY} octets and not a SEND")
        events.append(Body(data[at:end] if isinstance(data, bytes) else memoryview(data)[at:end]))


def _may_be_flag(rest: bytes) -> bool:
    """Return whether the bytes after a transaction id can still become flag and line break."""
    return len(rest) < 3 and (not rest or rest[:1] in _FLAGS) and b"\r\n".startswith(rest[1:])


def _text(line: bytes) -> str:
    if _CONTROL.search(line):
        raise MalformedMsrp("MSRP", "a control character in a head")
    try:
        return line.decode()
    except UnicodeDecodeError:
        raise MalformedMsrp("MSRP", "a head that is not UTF-8") from None


def _message(head: list[str], *, has_body: bool) -> Request | Response:
    start = _START.fullmatch(head[0])
    headers = [_header(line) for line in head[1:]]
    if start is None or [name.lower() for name, _value in headers[:2]] != ["to-path", "from-path"]:
        raise MalformedMsrp("To-Path", "To-Path and From-Path have to be the first headers")
    to_path, from_path = parse_path(headers[0][1]), parse_path(headers[1][1], "From-Path")
    transaction, method, code, comment = start.groups()
    if code is not None:
        return Response(transaction, int(code), to_path, from_path, comment or "", tuple(headers[2:]))
    fields = {name.lower(): value for name, value in reversed(headers[2:])}
    others = tuple([header for header in headers[2:] if header[0].lower() not in _READ])
    try:
        _check(method, headers[2:], fields, has_body=has_body)
        byte_range, status = fields.get("byte-range"), fields.get("status")
        return Request(
            transaction,
            method,
            to_path,
            from_path,
            message_id=fields.get("message-id", ""),
            byte_range=None if byte_range is None else ByteRange.parse(byte_range),
            success_report=_one_of(_SUCCESS_REPORTS, fields, "Success-Report", default=False),
            failure_report=_one_of(_FAILURE_REPORTS, fields, "Failure-Report", default=FailureReport.YES),
            status=None if status is None else Status.parse(status),
            headers=others,
            content_type=fields.get("content-type"),
        )
    except MalformedMsrp as wrong:
        wish = _FAILURE_REPORTS.get(fields.get("failure-report", "").lower(), FailureReport.YES)
        return Request(
            transaction,
            method,
            to_path,
            from_path,
            failure_report=wish,
            headers=others,
            content_type="" if has_body else None,
            problem=str(wrong),
        )


def _header(line: str) -> tuple[str, str]:
    found = _HEADER.fullmatch(line)
    if found is None:
        raise MalformedMsrp("MSRP", f"not a header: {shortened(line)}")
    return found[1], found[2]


def _check(method: str, headers: list[tuple[str, str]], fields: dict[str, str], *, has_body: bool) -> None:
    """
    Check what concerns more than one header.

    Raises:
        MalformedMsrp: naming the header; the request can still be answered.
    """
    if len(fields) < len(headers):
        names = [name.lower() for name, _value in headers]
        twice = next(name for name, _value in headers if names.count(name.lower()) > 1)
        raise MalformedMsrp(twice, "comes twice")
    content_type = fields.get("content-type")
    if (content_type is not None) != has_body:
        raise MalformedMsrp("Content-Type", "and a body come together or not at all")
    if content_type is not None and not _CONTENT_TYPE.fullmatch(content_type):
        raise MalformedMsrp("Content-Type", f"not a media type: {shortened(content_type) or 'empty'}")
    message_id = fields.get("message-id", "")
    if (message_id or method in (SEND, REPORT)) and not _MESSAGE_ID.fullmatch(message_id):
        raise MalformedMsrp("Message-ID", f"not an identifier: {shortened(message_id) or 'absent'}")
    if method == REPORT and "status" not in fields:
        raise MalformedMsrp("Status", "is missing")


def _one_of(words: Mapping[str, _Word], fields: dict[str, str], name: str, *, default: _Word) -> _Word:
    written = fields.get(name.lower())
    if written is None:
        return default
    if written.lower() not in words:
        raise MalformedMsrp(name, f"none of {', '.join(words)}: {shortened(written) or 'empty'}")
    return words[written.lower()]
