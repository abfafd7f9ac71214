"""MSRP requests and responses (RFC 4975) as values, and as bytes. Reading a stream: `msrp_reader`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Final

from omapush.errors import MalformedMsrp, shortened
from omapush.protocol.msrp_uri import MsrpUri, write_path

LONGEST_UNINTERRUPTIBLE: Final = 2_048
"Body octets of a chunk that need not be interruptible (RFC 4975 5.1)."
LONGEST_OTHER_BODY: Final = 10_240
"Body octets of a request other than SEND (RFC 4975 9)."
SEND: Final = "SEND"
REPORT: Final = "REPORT"

# ident = ALPHANUM 3*31ident-char                                     RFC 4975 9
IDENT: Final = r"[A-Za-z0-9][A-Za-z0-9.\-+%=]{3,31}"
_IDENT: Final = re.compile(IDENT)
_LONGEST_END: Final = 39
"Octets of seven hyphens and the longest transaction id."
# byte-range = range-start "-" range-end "/" total                    RFC 4975 9
_BYTE_RANGE: Final = re.compile(r"([0-9]{1,18})-([0-9]{1,18}|\*)/([0-9]{1,18}|\*)")
# Status = "Status:" SP namespace SP status-code [ SP text-reason ]   RFC 4975 9
_STATUS: Final = re.compile(r"([0-9]{3}) ([0-9]{3})(?: (.*))?")
_HEADER_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9\-.!%*_+`'~]{0,63}")
_NOT_IN_VALUE: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")

COMMENTS: Final = {
    200: "OK",
    400: "Bad Request",
    403: "Forbidden",
    408: "Request Timeout",
    413: "Stop Sending Message",
    415: "Unsupported Media Type",
    423: "Parameter Out Of Bounds",
    481: "No Such Session",
    501: "Unknown Method",
    506: "Session Bound Elsewhere",
}
"Status codes of RFC 4975 10, with what we say to them."


class Flag(StrEnum):
    """How a chunk ends."""

    COMPLETE = "$"
    "The last octet of the message was in it."
    MORE = "+"
    ABORTED = "#"
    "Nothing more of this message comes; what came is void."


class FailureReport(StrEnum):
    """Which answers to a SEND its sender wants to see (RFC 4975 7.1.2)."""

    YES = "yes"
    PARTIAL = "partial"
    "Errors only: no 200, and no timer."
    NO = "no"


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Which octets of the whole message one chunk carries, or a report is about."""

    start: int
    "First octet, counted from 1."
    end: int | None = None
    "Last octet; None (`*`) while the sender may still interrupt itself."
    total: int | None = None
    "Octets of the whole message; None (`*`) when not known."

    @classmethod
    def parse(cls, value: str) -> ByteRange:
        """
        Return the range of a Byte-Range header; an empty message has `1-0/0`.

        Raises:
            MalformedMsrp: not a range, it begins with 0, or it ends before it begins or after the total.
        """
        found = _BYTE_RANGE.fullmatch(value)
        if found is None:
            raise MalformedMsrp("Byte-Range", f"not a range: {shortened(value) or 'empty'}")
        start = int(found[1])
        end, total = (None if text == "*" else int(text) for text in found.groups()[1:])
        if start == 0 or (end is not None and end < start - 1):
            raise MalformedMsrp("Byte-Range", f"no octets are in {shortened(value)}")
        if total is not None and (end if end is not None else start - 1) > total:
            raise MalformedMsrp("Byte-Range", f"goes past its total: {shortened(value)}")
        return cls(start, end, total)

    def __str__(self) -> str:
        end, total = ("*" if number is None else number for number in (self.end, self.total))
        return f"{self.start}-{end}/{total}"


@dataclass(frozen=True, slots=True)
class Status:
    """What a REPORT says of the octets that it is about."""

    code: int
    comment: str = ""
    namespace: str = "000"
    "`000`: codes of MSRP; no other is in use."

    @classmethod
    def parse(cls, value: str) -> Status:
        """
        Return the value of a Status header.

        Raises:
            MalformedMsrp: not one.
        """
        found = _STATUS.fullmatch(value)
        if found is None:
            raise MalformedMsrp("Status", f"not a status: {shortened(value) or 'empty'}")
        return cls(int(found[2]), found[3] or "", found[1])

    def __str__(self) -> str:
        return f"{self.namespace} {self.code:03}{' ' if self.comment else ''}{self.comment}"


@dataclass(frozen=True, slots=True)
class Request:
    """The head of one chunk of SEND, of a REPORT, or of a method that we do not know."""

    transaction: str
    method: str
    to_path: tuple[MsrpUri, ...]
    from_path: tuple[MsrpUri, ...]
    message_id: str = ""
    "Empty only where a method has none."
    byte_range: ByteRange | None = None
    success_report: bool = False
    failure_report: FailureReport = FailureReport.YES
    status: Status | None = None
    "Of a REPORT."
    headers: tuple[tuple[str, str], ...] = ()
    "All others but Content-Type, as written."
    content_type: str | None = None
    "None: no body, not even an empty one."
    problem: str = ""
    "Why it can only be answered with 400; empty when it is well formed."

    def header(self, name: str) -> str | None:
        """Return the value of another header, None when it is absent."""
        wanted = name.lower()
        return next((value for key, value in self.headers if key.lower() == wanted), None)

    @property
    def start(self) -> int:
        """Position in the message of the first octet of this chunk, counted from 1."""
        return self.byte_range.start if self.byte_range else 1


@dataclass(frozen=True, slots=True)
class Response:
    """The answer of the next hop to one request."""

    transaction: str
    code: int
    to_path: tuple[MsrpUri, ...]
    from_path: tuple[MsrpUri, ...]
    comment: str = ""
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Body:
    """The next octets of the body of the request that was read last."""

    data: bytes | memoryview
    "A view where it was read from a buffer that is used again."


@dataclass(frozen=True, slots=True)
class End:
    """The request that was read last has ended."""

    flag: Flag


Event = Request | Body | End | Response


def response_to(request: Request, code: int, comment: str = "") -> Response | None:
    """
    Return the answer to send on the connection of `request`, None where none is wanted.

    A REPORT is never answered, a SEND as its Failure-Report says (RFC 4975 7.1.2, 7.2).
    """
    if request.method == REPORT:
        return None
    if request.method == SEND:
        only_errors = request.failure_report is FailureReport.PARTIAL
        if request.failure_report is FailureReport.NO or (only_errors and code == 200):
            return None
    said = comment or COMMENTS.get(code, "")
    return Response(request.transaction, code, request.from_path[:1], request.to_path[:1], said)


def report_on(chunk: Request, span: ByteRange, status: Status, *, transaction: str) -> Request:
    """Return the REPORT to the sender of the message that `chunk` belongs to (RFC 4975 7.1.2)."""
    return Request(
        transaction, REPORT, chunk.from_path, chunk.to_path[:1], chunk.message_id, span, status=status
    )


def write_head(request: Request) -> bytes:
    """
    Return the bytes of `request` before its body, or before its end-line when it has none.

    Raises:
        MalformedMsrp: a name or value would break the framing.
    """
    if not _IDENT.fullmatch(request.transaction):
        raise MalformedMsrp("transaction id", f"not an identifier: {shortened(request.transaction)}")
    lines = [f"MSRP {request.transaction} {request.method}"]
    headers = [("To-Path", write_path(request.to_path)), ("From-Path", write_path(request.from_path))]
    if request.message_id:
        headers.append(("Message-ID", request.message_id))
    if request.success_report:
        headers.append(("Success-Report", "yes"))
    if request.failure_report is not FailureReport.YES:
        headers.append(("Failure-Report", request.failure_report))
    if request.byte_range is not None:
        headers.append(("Byte-Range", str(request.byte_range)))
    if request.status is not None:
        headers.append(("Status", str(request.status)))
    headers += request.headers
    if request.content_type is not None:
        headers.append(("Content-Type", request.content_type))
    for name, value in headers:
        if not _HEADER_NAME.fullmatch(name) or _NOT_IN_VALUE.search(value):
            raise MalformedMsrp(shortened(name), f"cannot be written: {shortened(value)}")
        lines.append(f"{name}: {value}")
    lines.append("" if request.content_type is None else "\r\n")
    return "\r\n".join(lines).encode()


def write_end(transaction: str, flag: Flag, *, after_body: bool) -> bytes:
    """Return the end-line of a request or response, with the line break that ends a body."""
    return b"%b-------%b%b\r\n" % (b"\r\n" if after_body else b"", transaction.encode(), flag.encode())


def write_request(request: Request, body: bytes = b"", flag: Flag = Flag.COMPLETE) -> bytes:
    """
    Return a whole request; `body` counts only with a content type.

    Raises:
        MalformedMsrp: the end-line occurs in the body, or a value would break the framing.
    """
    if request.content_type is None:
        return write_head(request) + write_end(request.transaction, flag, after_body=False)
    if occurs(request.transaction, body):
        raise MalformedMsrp("transaction id", "occurs in the body")
    return b"".join((write_head(request), body, write_end(request.transaction, flag, after_body=True)))


def write_response(response: Response) -> bytes:
    """Return the bytes of a response."""
    comment = _NOT_IN_VALUE.sub("?", response.comment)
    lines = [
        f"MSRP {response.transaction} {response.code:03}{' ' if comment else ''}{comment}",
        f"To-Path: {write_path(response.to_path)}",
        f"From-Path: {write_path(response.from_path)}",
        *(f"{name}: {_NOT_IN_VALUE.sub('?', value)}" for name, value in response.headers),
        f"-------{response.transaction}{Flag.COMPLETE}\r\n",
    ]
    return "\r\n".join(lines).encode()


def meetings(*body: bytes | bytearray) -> list[tuple[bytes | bytearray, ...]]:
    """Return the octets around each place where pieces of a body meet, in which an end-line may be."""
    if all(len(piece) >= _LONGEST_END for piece in body):
        return [(one[-_LONGEST_END:], other[:_LONGEST_END]) for one, other in pairwise(body)]
    return [body]


def occurs(transaction: str, *body: bytes | bytearray) -> bool:
    """Return whether a chunk with this body, in pieces, cannot have this transaction id (RFC 4975 7.1)."""
    end = f"-------{transaction}".encode()
    before: bytes | bytearray = b""
    for piece in body:
        if end in piece or (before and end in before + piece[: len(end)]):
            return True
        before = (before + piece)[-len(end) :] if len(piece) < len(end) else piece[-len(end) :]
    return False
