"""
Take a MIME multipart apart and put one together (RFC 2046 5.1, RFC 2387), safe for binary bodies.

Only the outermost level is touched: a part that is itself a multipart keeps its bytes as they came.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from omapush.errors import MalformedMime, shortened

MAX_PARTS: Final = 20
MAX_PART_HEADERS: Final = 64
MAX_HEADER_BLOCK: Final = 8192
"Bytes of all header lines of one part together."
MAX_MEDIA_TYPE: Final = 1024
"Characters of a Content-Type value."

# token = 1*<any CHAR except SPACE, CTLs, or tspecials>                         RFC 2045 5.1
_NAME: Final = r"[!#$%&'*+\-.0-9A-Z^_`a-z{|}~]{1,127}"
# quoted-string                                                                 RFC 5322 3.2.4
_QUOTED: Final = r'"((?:[^"\\\x00-\x08\x0a-\x1f\x7f]|\\[\t -~])*)"'
# A bare value may hold tspecials here: `type=application/xml` and `boundary=----=_x` are common.
_BARE: Final = r"([!#-:<-~]++)"
# parameters = *( OWS ";" OWS [ parameter ] )                                   RFC 9110 5.6.6
_PARAMETER: Final = re.compile(rf"[ \t]*;[ \t]*(?:({_NAME})=(?:{_QUOTED}|{_BARE}))?")
_TYPE_AND_SUBTYPE: Final = re.compile(rf"[ \t]*({_NAME})/({_NAME})")
_QUOTED_PAIR: Final = re.compile(r"\\(.)")
# boundary = 0*69<bchars> bcharsnospace                                         RFC 2046 5.1.1
_BOUNDARY: Final = re.compile(r"[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]")
# What may follow "--" boundary: "--" on the last one, transport-padding, end of line.
_DELIMITER_TAIL: Final = re.compile(rb"(--)?[ \t]*+(\r?\n|\Z)")
_BLANK_LINE: Final = re.compile(rb"\r?\n\r?\n")
_FIELD_NAME: Final = re.compile(_NAME)
_UNSAFE: Final = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")


@dataclass(frozen=True, slots=True)
class MediaType:
    """A Content-Type value; type, subtype and parameter names are lower-case, values as sent."""

    type: str
    subtype: str
    params: tuple[tuple[str, str], ...] = ()

    @property
    def essence(self) -> str:
        """`type/subtype` without parameters."""
        return f"{self.type}/{self.subtype}"

    def param(self, name: str) -> str | None:
        """The value of a parameter with its quotes taken off, None when there is none."""
        return _lookup(self.params, name)


@dataclass(frozen=True, slots=True)
class Part:
    """One entity of a multipart: its own headers, unfolded, and its bytes."""

    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        """The value of the first header of that name, in any case; None when there is none."""
        return _lookup(self.headers, name)


def media_type(value: str, field: str) -> MediaType:
    """
    Read a Content-Type value; `field` is the name that an error shall show.

    Raises:
        MalformedMime: not `type/subtype`, a parameter that cannot be read or comes twice.
    """
    return _media_type(value, field)


@lru_cache(maxsize=256)  # requests of one initiator differ in the boundary only, parts not at all
def _media_type(value: str, field: str) -> MediaType:
    if len(value) > MAX_MEDIA_TYPE:
        raise MalformedMime(field, f"longer than {MAX_MEDIA_TYPE} characters")
    start = _TYPE_AND_SUBTYPE.match(value)
    if start is None:
        raise MalformedMime(field, f"not type/subtype: {shortened(value)!r}")
    params: dict[str, str] = {}
    at = start.end()
    while found := _PARAMETER.match(value, at):
        at = found.end()
        name, quoted, bare = found.groups()
        if name is None:
            continue
        if name.lower() in params:
            raise MalformedMime(field, f"parameter {shortened(name)} comes twice")
        params[name.lower()] = bare if quoted is None else _QUOTED_PAIR.sub(r"\1", quoted)
    if value[at:].strip(" \t"):
        raise MalformedMime(field, f"cannot be read from {shortened(value[at:])!r} on")
    return MediaType(start[1].lower(), start[2].lower(), tuple(params.items()))


def split(content_type: str, body: bytes, *, max_parts: int = MAX_PARTS) -> tuple[Part, ...]:
    """
    Return the parts of a multipart in their order; preamble and epilogue are left out.

    The line break before a boundary belongs to the boundary. A sender that ends its first boundary
    line with a bare LF is taken to end all of them so.

    Raises:
        MalformedMime: not a multipart, no boundary or no closing boundary, too many parts, a part
            header that is not `name: value` or above the limits of this module.
    """
    delimiter = b"--" + _boundary(media_type(content_type, "Content-Type"))
    at, line_end = _first_delimiter(body, delimiter)
    parts: list[Part] = []
    closed = False
    while not closed:
        if len(parts) == max_parts:
            raise MalformedMime("multipart", f"more than {max_parts} parts")
        end, after, closed = _next_delimiter(body, line_end + delimiter, at)
        parts.append(_part(body[at:end], len(parts) + 1))
        at = after
    return tuple(parts)


def entity(data: bytes) -> Part:
    """
    Return one entity that stands by itself: its headers, a blank line, its body; both may be empty.

    Raises:
        MalformedMime: as for a part of a multipart.
    """
    return _part(data, 1)


def header_block(headers: tuple[tuple[str, str], ...]) -> bytes:
    """
    Return headers and the blank line after them.

    Raises:
        MalformedMime: a header name or value that could not be read back.
    """
    return ("".join(_header_line(name, value) for name, value in headers) + "\r\n").encode()


def join(parts: tuple[Part, ...], boundary: str) -> bytes:
    """
    Return the multipart body that `split` takes apart into the same parts.

    Raises:
        MalformedMime: no parts, the boundary is not one, or occurs in a part; a header name or value
            that could not be read back.
    """
    if not parts:
        raise MalformedMime("multipart", "no parts")
    delimiter = b"--" + _boundary_bytes(boundary, "boundary")
    pieces: list[bytes] = []
    for part in parts:
        if delimiter in part.body:
            raise MalformedMime("boundary", "occurs inside a part")
        lines = "".join(_header_line(name, value) for name, value in part.headers)
        pieces += (delimiter, b"\r\n", lines.encode(), b"\r\n", part.body, b"\r\n")
    return b"".join((*pieces, delimiter, b"--\r\n"))


def _lookup(pairs: tuple[tuple[str, str], ...], name: str) -> str | None:
    wanted = name.lower()
    for key, value in pairs:
        if key.lower() == wanted:
            return value
    return None


def _boundary(kind: MediaType) -> bytes:
    if kind.type != "multipart":
        raise MalformedMime("Content-Type", f"multipart expected, not {shortened(kind.essence)}")
    boundary = kind.param("boundary")
    if boundary is None:
        raise MalformedMime("Content-Type;boundary", "missing")
    return _boundary_bytes(boundary, "Content-Type;boundary")


def _boundary_bytes(boundary: str, field: str) -> bytes:
    if _BOUNDARY.fullmatch(boundary) is None:
        raise MalformedMime(field, f"not 1 to 70 boundary characters: {shortened(boundary)!r}")
    return boundary.encode()


def _first_delimiter(body: bytes, delimiter: bytes) -> tuple[int, bytes]:
    """Where the first part begins, and the line end that the sender uses."""
    at = body.find(delimiter)
    while at >= 0:
        tail = _DELIMITER_TAIL.match(body, at + len(delimiter))
        if tail and tail[2] and not tail[1] and (at == 0 or body[at - 1] == 0x0A):
            return tail.end(), tail[2]
        at = body.find(delimiter, at + 1)
    raise MalformedMime("multipart", "no line with the opening boundary")


def _next_delimiter(body: bytes, delimiter: bytes, at: int) -> tuple[int, int, bool]:
    """End of the part that begins at `at`, where the next one begins, and whether there is none."""
    end = body.find(delimiter, at)
    while end >= 0:
        # A boundary that goes on with other characters is another one, of an inner multipart.
        tail = _DELIMITER_TAIL.match(body, end + len(delimiter))
        if tail:
            return end, tail.end(), tail[1] is not None
        end = body.find(delimiter, end + 1)
    raise MalformedMime("multipart", "closing boundary is missing")


def _part(segment: bytes, number: int) -> Part:
    if segment.startswith((b"\r\n", b"\n")):
        return Part((), segment[segment.index(b"\n") + 1 :])
    blank = _BLANK_LINE.search(segment, 0, MAX_HEADER_BLOCK + 4)
    if blank is None:  # an empty body: the break after the headers went with the boundary
        return Part(_headers(segment, number), b"")
    return Part(_headers(segment[: blank.start()], number), segment[blank.end() :])


def _headers(block: bytes, number: int) -> tuple[tuple[str, str], ...]:
    field = f"header of part {number}"
    if len(block) > MAX_HEADER_BLOCK:
        raise MalformedMime(field, f"no blank line within {MAX_HEADER_BLOCK} bytes")
    try:
        text = block.decode()
    except UnicodeDecodeError:
        raise MalformedMime(field, "not UTF-8") from None
    lines = text.replace("\r\n", "\n").removesuffix("\n").split("\n") if text else []
    headers: list[tuple[str, str]] = []
    for at, line in enumerate(lines, start=1):  # errors name the line: without a blank one it may be content
        if not line.isprintable() and _UNSAFE.search(line):
            raise MalformedMime(field, f"control character in line {at}")
        if line[:1] in (" ", "\t") and headers:
            name, value = headers[-1]
            headers[-1] = (name, f"{value} {line.strip()}".strip())
            continue
        name, colon, value = line.partition(":")
        if not colon or _FIELD_NAME.fullmatch(name) is None:
            raise MalformedMime(field, f"line {at} is not name: value")
        headers.append((name, value.strip()))
    if len(headers) > MAX_PART_HEADERS:
        raise MalformedMime(field, f"more than {MAX_PART_HEADERS} headers")
    return tuple(headers)


def _header_line(name: str, value: str) -> str:
    if _FIELD_NAME.fullmatch(name) is None or _UNSAFE.search(value):
        raise MalformedMime(shortened(name) or "header name", "not a header that a part can carry")
    return f"{name}: {value}\r\n"
