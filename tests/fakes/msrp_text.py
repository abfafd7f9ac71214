"""
MSRP framing for tests, strict: whatever breaks a rule of RFC 4975 raises.

Written from the text of RFC 4975 (sections 5, 7 and 9) alone, before its author had seen any codec of
omapush, and without one line of it: a mistake on one side does not hide the same mistake on the other.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

LONGEST_HEAD: Final = 16_384
LARGEST_UNINTERRUPTIBLE: Final = 2_048
"Octets of a SEND body whose range-end is a number (7.1.1)."
LARGEST_OTHER_BODY: Final = 10_240
"Octets of a body in anything but SEND (7.1)."

# the rules of section 9, in its order
_IDENT: Final = r"[A-Za-z0-9][A-Za-z0-9.\-+%=]{3,31}"
_TOKEN: Final = r"[!#-'*+\-.0-9A-Z^-~]+"
_START: Final = re.compile(rf"MSRP ({_IDENT}) (?:([A-Z]+)|([0-9]{{3}})(?: ([^\x00-\x08\x0a-\x1f\x7f]*))?)")
_URI: Final = re.compile(
    r"(?:msrp|msrps)://(?:[A-Za-z0-9\-._~%!$&'()*+,;=:]*@)?"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9\-._~%]+)(?::(?P<port>[0-9]{1,5}))?"
    rf"(?:/(?P<session>[A-Za-z0-9\-._~+=/]+))?;(?P<transport>[A-Za-z0-9]+)(?:;{_TOKEN}(?:={_TOKEN})?)*",
    re.IGNORECASE,
)
_HEADER: Final = re.compile(r"([A-Za-z][!#-'*+\-.0-9A-Z^-~]*): ([^\x00-\x08\x0a-\x1f\x7f]*)")
_VALUES: Final = {
    "message-id": re.compile(_IDENT),
    "success-report": re.compile("yes|no"),
    "failure-report": re.compile("yes|no|partial"),
    "byte-range": re.compile(r"[0-9]+-(?:[0-9]+|\*)/(?:[0-9]+|\*)"),
    "status": re.compile(r"[0-9]{3} [0-9]{3}(?: .*)?"),
    "content-type": re.compile(
        rf"{_TOKEN}/{_TOKEN}(?:; ?{_TOKEN}(?:=(?:{_TOKEN}|\"(?:[^\"\\\x00-\x08\x0a-\x1f]|\\[\\\"])*\"))?)*"
    ),
}
_RANGE: Final = re.compile(r"([0-9]+)-([0-9]+|\*)/([0-9]+|\*)")


class Violation(Exception):
    """The other side broke a rule; the text says which."""


@dataclass(frozen=True, slots=True)
class Range:
    """A Byte-Range; None is `*`."""

    start: int
    end: int | None
    total: int | None

    def __str__(self) -> str:
        end, total = ("*" if one is None else str(one) for one in (self.end, self.total))
        return f"{self.start}-{end}/{total}"


@dataclass(frozen=True, slots=True)
class Frame:
    """One request or response."""

    transaction: str
    method: str
    "Empty: a response."
    status: int
    "0: a request."
    headers: tuple[tuple[str, str], ...]
    "In order, To-Path and From-Path first."
    body: bytes | None = None
    "None: none, which is something else than an empty one."
    flag: str = "$"

    def header(self, name: str) -> str | None:
        """Return a header's value, whatever the case of its name."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    @property
    def to_path(self) -> list[str]:
        return (self.header("To-Path") or "").split(" ")

    @property
    def from_path(self) -> list[str]:
        return (self.header("From-Path") or "").split(" ")

    @property
    def message_id(self) -> str:
        return self.header("Message-ID") or ""

    @property
    def byte_range(self) -> Range | None:
        found = _RANGE.fullmatch(self.header("Byte-Range") or "")
        if found is None:
            return None
        end, total = (None if piece == "*" else int(piece) for piece in (found[2], found[3]))
        return Range(int(found[1]), end, total)

    def serialize(self) -> bytes:
        """Write it as section 9 says."""
        start = f"MSRP {self.transaction} {self.method or f'{self.status:03} Said'}"
        lines = (start, *(f"{name}: {value}" for name, value in self.headers))
        head = "".join(f"{line}\r\n" for line in lines)
        content = b"" if self.body is None else b"\r\n" + self.body + b"\r\n"
        return head.encode() + content + f"-------{self.transaction}{self.flag}\r\n".encode()


@dataclass(frozen=True, slots=True)
class Partial:
    """A frame whose body is still coming."""

    head: Frame
    octets: int
    "Of the body so far; the last few may turn out to belong to the end-line."


def session_of(uri: str) -> str:
    """Return the session-id of an MSRP URI, empty when it has none."""
    found = _URI.fullmatch(uri)
    return (found["session"] or "") if found else ""


def place_of(uri: str) -> tuple[str, int]:
    """Return host and port of an MSRP URI that has both."""
    found = _URI.fullmatch(uri)
    if found is None or found["port"] is None:
        raise Violation(f"no MSRP URI with a port: {uri}")
    return found["host"].strip("[]"), int(found["port"])


class FrameReader:
    """Takes bytes as they come and returns the frames that are complete."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._head: Frame | None = None
        self._searched = 0

    @property
    def partial(self) -> Partial | None:
        """The frame whose head has come and whose end has not."""
        return Partial(self._head, len(self._buffer)) if self._head else None

    @property
    def is_between_frames(self) -> bool:
        """True when the stream may end here."""
        return self._head is None and not self._buffer

    def feed(self, data: bytes) -> Iterator[Frame]:
        """
        Return what is complete now.

        Raises:
            Violation: a rule is broken; what follows in this stream means nothing.
        """
        self._buffer += data
        while (frame := self._next()) is not None:
            yield frame

    def _next(self) -> Frame | None:
        if self._head is None:
            whole = self._read_head()
            if whole is not None or self._head is None:
                return whole
        return self._read_body(self._head)

    def _read_head(self) -> Frame | None:
        """Return a frame without a body; with one, keep its head and return None."""
        lines: list[str] = []
        at = 0
        while (end := self._buffer.find(b"\r\n", at)) >= 0:
            if end > LONGEST_HEAD:
                raise Violation("the head is too long")
            line = _text(bytes(self._buffer[at:end]))
            at = end + 2
            if not lines:
                _start_line(line)
            ending = _end_of(lines, line)
            if ending:
                del self._buffer[:at]
                return _checked(lines, None, ending)
            if not line:
                del self._buffer[:at]
                self._head = _checked(lines, b"", "")
                self._searched = 0
                return None
            lines.append(line)
        if len(self._buffer) > LONGEST_HEAD:
            raise Violation("a head without end")
        return None

    def _read_body(self, head: Frame) -> Frame | None:
        marker = f"-------{head.transaction}".encode()
        while (at := self._buffer.find(marker, self._searched)) >= 0:
            after = at + len(marker)
            if len(self._buffer) < after + 3:
                return None
            flag = chr(self._buffer[after])
            if flag in "$+#":
                if at < 2 or self._buffer[at - 2 : at] != b"\r\n":
                    raise Violation("an end-line without CRLF before it")
                if self._buffer[after + 1 : after + 3] != b"\r\n":
                    raise Violation("an end-line inside the body")
                body = bytes(self._buffer[: at - 2])
                del self._buffer[: after + 3]
                self._head = None
                frame = Frame(head.transaction, head.method, head.status, head.headers, body, flag)
                _check_body(frame)
                return frame
            self._searched = at + 1
        self._searched = max(self._searched, len(self._buffer) - len(marker))
        return None


def _text(line: bytes) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        raise Violation(f"a head line that is not UTF-8: {line!r}") from None


def _start_line(line: str) -> re.Match[str]:
    found = _START.fullmatch(line)
    if found is None:
        raise Violation(f"no start line: {line!r}")
    return found


def _end_of(lines: Sequence[str], line: str) -> str:
    """Return the flag when this line ends a frame without a body."""
    if not lines:
        return ""
    end = f"-------{lines[0].split(' ')[1]}"
    return line[-1] if line[:-1] == end and line[-1] in "$+#" else ""


def _checked(lines: Sequence[str], body: bytes | None, flag: str) -> Frame:
    if not lines:
        raise Violation("an empty line instead of a start line")
    start = _start_line(lines[0])
    headers = []
    for line in lines[1:]:
        found = _HEADER.fullmatch(line)
        if found is None:
            raise Violation(f"no header field: {line!r}")
        headers.append((found[1], found[2]))
    frame = Frame(start[1], start[2] or "", int(start[3] or 0), tuple(headers), body, flag)
    _check_headers(frame)
    _check_kind(frame)
    return frame


def _check_headers(frame: Frame) -> None:
    names = [name.lower() for name, _ in frame.headers]
    if names[:2] != ["to-path", "from-path"]:
        raise Violation(f"To-Path and From-Path do not come first: {names}")
    if len(set(names)) != len(names):
        raise Violation(f"a header comes twice: {names}")
    for path in (*frame.to_path, *frame.from_path):
        if _URI.fullmatch(path) is None:
            raise Violation(f"no MSRP URI: {path!r}")
    for name, value in frame.headers:
        rule = _VALUES.get(name.lower())
        if rule is not None and rule.fullmatch(value) is None:
            raise Violation(f"{name} cannot be {value!r}")
    mime = [name.startswith("content-") for name in names]
    if mime != sorted(mime):
        raise Violation(f"a header of MSRP after those of the content: {names}")
    if frame.body is not None and names[-1] != "content-type":
        raise Violation(f"Content-Type is not the last header before a body: {names}")
    if frame.body is None and any(mime):
        raise Violation(f"headers of a content without a body: {names}")


def _check_kind(frame: Frame) -> None:
    if not frame.method:
        if frame.body is not None or frame.flag != "$":
            raise Violation("a response has a body, or is not whole")
        return
    reports = frame.header("Success-Report"), frame.header("Failure-Report")
    if frame.method == "SEND" and not frame.message_id:
        raise Violation("SEND without Message-ID")
    if frame.method == "REPORT":
        if not frame.message_id or frame.header("Status") is None:
            raise Violation("REPORT without Message-ID or Status")
        if reports != (None, None):
            raise Violation("REPORT that asks for reports")
    if frame.method != "SEND" and frame.flag not in ("$", ""):
        raise Violation(f"{frame.method} in more than one chunk")
    covers = frame.byte_range
    if covers is not None and covers.start < 1:
        raise Violation(f"bytes count from 1: {covers}")


def _check_body(frame: Frame) -> None:
    octets = len(frame.body or b"")
    if frame.method != "SEND":
        if octets > LARGEST_OTHER_BODY or frame.flag != "$":
            raise Violation(f"{frame.method} with a body of {octets} octets, ended by {frame.flag}")
        return
    covers = frame.byte_range
    if octets > LARGEST_UNINTERRUPTIBLE and (covers is None or covers.end is not None):
        raise Violation(f"a chunk of {octets} octets that says it cannot be interrupted: {covers}")
    if covers is None:
        return
    last = covers.start + octets - 1
    if covers.end is not None and frame.flag != "#" and covers.end != last:
        raise Violation(f"{octets} octets in a chunk that says {covers}")
    if covers.total is not None and last > covers.total:
        raise Violation(f"{octets} octets at {covers.start} of {covers.total}")
    if covers.total is not None and frame.flag == "$" and last != covers.total:
        raise Violation(f"the last octet is {last}, not that of {covers}")
