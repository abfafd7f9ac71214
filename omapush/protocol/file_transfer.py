"""Attributes of a file that an m-line of message media transfers (RFC 5547 6)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Final

from omapush.errors import MalformedSdp, shortened
from omapush.protocol.sdp import Attributes, Media

LONGEST_NAME: Final = 1_024
"Bytes of a file name, as written with its escapes."
MOST_HASHES: Final = 8
LONGEST_SAFE_NAME: Final = 128
"Bytes of a name for the file system."
RENDER: Final = "render"
ATTACHMENT: Final = "attachment"

# Possessive quantifiers stand on single characters only: on groups that can backtrack, Python before
# 3.11.5 goes on from the wrong place.
# token                                                               RFC 4566 9
_TOKEN: Final = r"[A-Za-z0-9!#$%&'*+\-.^_`{|}~]"  # noqa: S105 - a grammar rule, not a secret
_TRANSFER_ID: Final = re.compile(rf"{_TOKEN}{{1,128}}")
_DISPOSITION: Final = re.compile(rf"{_TOKEN}{{1,64}}")
# filename-string = 1*( filename-char / percent-encoded )             RFC 5547 6
_NAME: Final = rf'name:"([^"\0\r\n]{{1,{LONGEST_NAME}}})"'
# filetype-selector = "type:" type "/" subtype *( ";" ft-parameter )
_TYPE_NAME: Final = r"[A-Za-z0-9!#$&\-^_.+]{1,127}"
_TYPE: Final = rf'type:({_TYPE_NAME}/{_TYPE_NAME}(?:;[^\s=";]{{1,64}}="[^"\r\n]{{0,128}}"){{0,8}})'
_SIZE: Final = r"size:([0-9]{1,18})"
# hash-selector = "hash:" hash-algorithm ":" 2HEXDIG *( ":" 2HEXDIG )
_HASH: Final = rf"hash:({_TOKEN}{{1,32}}):([0-9A-Fa-f]{{2}}(?::[0-9A-Fa-f]{{2}}){{0,63}})"
_SELECTOR: Final = re.compile(rf"(?:{_NAME}|{_TYPE}|{_SIZE}|{_HASH})(?: +|$)")
# file-range-attr = "file-range:" start-offset "-" ( stop-offset / "*" )
_RANGE: Final = re.compile(r"([0-9]{1,18})-([0-9]{1,18}|\*)")
# file-icon-attr = "file-icon:" cid-url
_ICON: Final = re.compile(r"[Cc][Ii][Dd]:([^\s<>\"]{1,255})")
# date-param = ( "creation:" / "modification:" / "read:" ) DQUOTE date-time DQUOTE
_DATE: Final = re.compile(r'(creation|modification|read):"([^"\r\n]{1,64})"(?: +|$)', re.IGNORECASE)
# date-time, with a numeric zone                                      RFC 5322 3.3
_DATE_TIME: Final = re.compile(
    r"(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), +)?([0-9]{1,2}) +([A-Z][a-z]{2}) +([0-9]{4}) +"
    r"([0-9]{2}):([0-9]{2})(?::([0-9]{2}))? +([+-])([0-9]{2})([0-9]{2})"
)
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_ESCAPE: Final = re.compile(rb"%([0-9A-Fa-f]{2})")
_NEEDS_ESCAPE: Final = re.compile(rb'[\x00\r\n"%]')
_UNSAFE: Final = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|]+')


@dataclass(frozen=True, slots=True)
class FileSelector:
    """Which file is meant; an empty one only says that selectors are understood."""

    name: str | None = None
    "As its owner calls it, escapes undone. Not fit for a file system: see `safe_file_name`."
    media_type: str | None = None
    "With parameters, as written."
    size: int | None = None
    "Octets."
    hashes: tuple[tuple[str, bytes], ...] = ()
    "Algorithm in lower case (`sha-1`) and digest, each algorithm once."

    @classmethod
    def parse(cls, value: str) -> FileSelector:
        """
        Return the selector that a file-selector attribute has after its colon.

        Raises:
            MalformedSdp: something in it is no selector, or one comes twice.
        """
        name = media_type = size = None
        hashes: dict[str, bytes] = {}
        end = 0
        while end < len(value):
            found = _SELECTOR.match(value, end)
            if found is None:
                raise MalformedSdp("a=file-selector", f"not a selector: {shortened(value[end:])}")
            end = found.end()
            twice = (found[1] and name) or (found[2] and media_type) or (found[3] and size) is not None
            if twice or (found[4] or "").lower() in hashes or len(hashes) > MOST_HASHES:
                raise MalformedSdp("a=file-selector", f"comes twice: {shortened(found[0])}")
            name = _unescaped(found[1]) if found[1] else name
            media_type = found[2] or media_type
            size = found[3] or size
            if found[4]:
                hashes[found[4].lower()] = bytes.fromhex(found[5].replace(":", ""))
        return cls(name, media_type, None if size is None else int(size), tuple(hashes.items()))

    def __str__(self) -> str:
        parts = []
        if self.name:
            parts.append(f'name:"{_escaped(self.name)}"')
        if self.media_type is not None:
            parts.append(f"type:{self.media_type}")
        if self.size is not None:
            parts.append(f"size:{self.size}")
        parts += [f"hash:{algorithm}:{digest.hex(':').upper()}" for algorithm, digest in self.hashes]
        return " ".join(parts)

    def digest(self, algorithm: str = "sha-1") -> bytes | None:
        """Return the digest by `algorithm`, None when it is not given."""
        return next((digest for name, digest in self.hashes if name == algorithm), None)


def same_file(one: FileSelector, other: FileSelector) -> bool:
    """Return whether nothing that both selectors say differs: type, size, hash (names do not count)."""
    types = {_bare(selector.media_type) for selector in (one, other) if selector.media_type}
    sizes = {selector.size for selector in (one, other) if selector.size is not None}
    both = dict(one.hashes)
    hashes_agree = all(both.get(algorithm, digest) == digest for algorithm, digest in other.hashes)
    return len(types) < 2 and len(sizes) < 2 and hashes_agree


def safe_file_name(name: str, default: str = "content") -> str:
    """
    Return a name for the file system that cannot leave its folder, hide or hurt; at most 128 bytes.

    `default` when nothing of `name` is left.
    """
    last = re.split(r"[/\\]", name)[-1]
    cleaned = "".join(char for char in _UNSAFE.sub("_", last) if char.isprintable()).strip(" .")
    while len(cleaned.encode("utf-8", "replace")) > LONGEST_SAFE_NAME:
        cleaned = cleaned[:20] + cleaned[21:]  # out of the middle: the ending tells the type
    return cleaned.encode("utf-8", "replace").decode() or default


@dataclass(frozen=True, slots=True)
class FileRange:
    """The part of a file that is transferred, counted from 1 (RFC 5547 6)."""

    start: int
    stop: int | None = None
    "Last octet; None (`*`) for the end of the file."

    @classmethod
    def parse(cls, value: str) -> FileRange:
        """
        Return the range that a file-range attribute has.

        Raises:
            MalformedSdp: not a range, begins with 0, or ends before it begins.
        """
        found = _RANGE.fullmatch(value)
        if found is None:
            raise MalformedSdp("a=file-range", f"not a range: {shortened(value) or 'empty'}")
        start, stop = int(found[1]), None if found[2] == "*" else int(found[2])
        if start == 0 or (stop is not None and stop < start):
            raise MalformedSdp("a=file-range", f"no octets are in {shortened(value)}")
        return cls(start, stop)

    def __str__(self) -> str:
        return f"{self.start}-{'*' if self.stop is None else self.stop}"


@dataclass(frozen=True, slots=True)
class FileDates:
    """When a file was made, changed and read; each with its zone."""

    creation: datetime | None = None
    modification: datetime | None = None
    read: datetime | None = None

    @classmethod
    def parse(cls, value: str) -> FileDates:
        """
        Return the dates that a file-date attribute has.

        Raises:
            MalformedSdp: one cannot be read or comes twice.
        """
        dates: dict[str, datetime] = {}
        end = 0
        while end < len(value):
            found = _DATE.match(value, end)
            if found is None or found[1].lower() in dates:
                raise MalformedSdp("a=file-date", f"not a date, or twice: {shortened(value[end:])}")
            dates[found[1].lower()] = parse_date_time(found[2])
            end = found.end()
        return cls(dates.get("creation"), dates.get("modification"), dates.get("read"))

    def __str__(self) -> str:
        named = (("creation", self.creation), ("modification", self.modification), ("read", self.read))
        return " ".join(f'{name}:"{write_date_time(date)}"' for name, date in named if date is not None)


def parse_date_time(text: str, where: str = "a=file-date") -> datetime:
    """
    Return the instant of an RFC 5322 date with numeric zone.

    Raises:
        MalformedSdp: naming `where`.
    """
    found = _DATE_TIME.fullmatch(text)
    if found is None or found[2] not in _MONTHS:
        raise MalformedSdp(where, f"not a date: {shortened(text)}")
    day, year, hour, minute, second = (int(found[group] or 0) for group in (1, 3, 4, 5, 6))
    offset = timedelta(hours=int(found[8]), minutes=int(found[9]))
    try:
        zone = timezone(-offset if found[7] == "-" else offset)
        month = _MONTHS.index(found[2]) + 1
        return datetime(year, month, day, hour, minute, 59 if second == 60 else second, tzinfo=zone)
    except ValueError:
        raise MalformedSdp(where, f"no such date: {shortened(text)}") from None


def write_date_time(date: datetime) -> str:
    """Return an RFC 5322 date with numeric zone; a date without zone counts as UTC."""
    zoned = date if date.tzinfo else date.replace(tzinfo=timezone(timedelta(0)))
    day = f"{_DAYS[zoned.weekday()]}, {zoned.day:02} {_MONTHS[zoned.month - 1]} {zoned.year:04}"
    return f"{day} {zoned.strftime('%H:%M:%S %z')[:14]}"


@dataclass(frozen=True, slots=True)
class FileTransfer:
    """All that an m-line says about its file."""

    selector: FileSelector
    transfer_id: str | None = None
    "The same in every repeat about the same transfer; None only in an offer of capabilities."
    disposition: str | None = None
    "`render` (also when None), `attachment` or another token; only from the sender of a file."
    dates: FileDates = field(default_factory=FileDates)
    icon: str | None = None
    "Content-ID of a picture in the same multipart body."
    range: FileRange | None = None

    def attributes(self) -> Attributes:
        """Return the a-lines, file-selector first."""
        lines: list[tuple[str, str | None]] = [("file-selector", str(self.selector) or None)]
        if self.transfer_id is not None:
            lines.append(("file-transfer-id", self.transfer_id))
        if self.disposition is not None:
            lines.append(("file-disposition", self.disposition))
        if dates := str(self.dates):
            lines.append(("file-date", dates))
        if self.icon is not None:
            lines.append(("file-icon", f"cid:{self.icon}"))
        if self.range is not None:
            lines.append(("file-range", str(self.range)))
        return tuple(lines)


def read_file_transfer(media: Media) -> FileTransfer | None:
    """
    Return what an m-line says about its file, None for one without file-selector: no file transfer.

    Raises:
        MalformedSdp: naming the attribute.
    """
    selector = media.attribute("file-selector")
    if selector is None:
        return None
    transfer_id = _token(media, "file-transfer-id", _TRANSFER_ID)
    disposition = _token(media, "file-disposition", _DISPOSITION)
    icon = media.attribute("file-icon")
    found = None if icon is None else _ICON.fullmatch(icon)
    if icon is not None and found is None:
        raise MalformedSdp("a=file-icon", f"not a cid URL: {shortened(icon) or 'empty'}")
    part = media.attribute("file-range")
    return FileTransfer(
        selector=FileSelector.parse(selector),
        transfer_id=transfer_id,
        disposition=disposition,
        dates=FileDates.parse(media.attribute("file-date") or ""),
        icon=found[1] if found else None,
        range=None if part is None else FileRange.parse(part),
    )


def _token(media: Media, name: str, form: re.Pattern[str]) -> str | None:
    value = media.attribute(name)
    if value is not None and not form.fullmatch(value):
        raise MalformedSdp(f"a={name}", f"not a token: {shortened(value) or 'empty'}")
    return value


def _bare(media_type: str | None) -> str:
    return (media_type or "").partition(";")[0].lower()


def _unescaped(text: str) -> str:
    """Undo percent escapes; octets that are not UTF-8 become replacement characters."""
    octets = _ESCAPE.sub(lambda escape: bytes([int(escape[1], 16)]), text.encode("utf-8", "replace"))
    return octets.decode("utf-8", "replace")


def _escaped(text: str) -> str:
    octets = text.encode("utf-8", "replace")
    return _NEEDS_ESCAPE.sub(lambda char: b"%%%02X" % char[0][0], octets).decode()
