"""
A link in place of content: `message/external-body` with a URL (RFC 4483, RFC 2017, RFC 2046 5.2.3).

The header says where the content is, until when, how large it is and what its hash is; the body is the header
block of the content itself.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Final, NamedTuple

from omapush.errors import MalformedMime, shortened
from omapush.protocol.multipart import Part, entity, header_block, media_type

TYPE: Final = "message/external-body"
_FIELD: Final = "Content-Type of the link"
# rfc1123-date, GMT alone                                 RFC 4483 5.2, RFC 3261 25.1
_DATE: Final = re.compile(
    r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), ([0-9]{2} (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [0-9]{4}"
    r" [0-9]{2}:[0-9]{2}:[0-9]{2}) GMT"
)
# absoluteURI, without what would end its quotes          RFC 2017 3.1
_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]{0,31}:[!#-\[\]-~]{1,900}")
_SIZE: Final = re.compile(r"[0-9]{1,15}")
_SHA1: Final = re.compile(r"[0-9A-Fa-f]{40}")


class ExternalBody(NamedTuple):
    """What a link says."""

    url: str
    expires_ms: int
    "Not to be fetched from then on."
    size: int | None
    "Bytes of the content; None: not told."
    sha1: bytes
    "Of the content; empty: not told."
    headers: tuple[tuple[str, str], ...]
    "Of the content: Content-Type, Content-Disposition, Content-ID ..."

    def header(self, name: str) -> str:
        """Return a header of the content; empty when it has none of that name."""
        return Part(self.headers, b"").header(name) or ""


def write(link: ExternalBody) -> tuple[str, bytes]:
    """
    Return the Content-Type value and the body for a link.

    Raises:
        MalformedMime: URL or a header cannot travel.
    """
    if _URL.fullmatch(link.url) is None:
        raise MalformedMime("URL", f"cannot stand in a header: {shortened(link.url)}")
    expiration = formatdate(link.expires_ms // 1000, usegmt=True)
    value = f'{TYPE}; access-type="URL"; expiration="{expiration}"; URL="{link.url}"'
    if link.size is not None:
        value += f"; size={link.size}"
    if link.sha1:
        value += f"; hash={link.sha1.hex().upper()}"
    return value, header_block(link.headers)


def read(content_type: str, body: bytes) -> ExternalBody:
    """
    Read a link out of the Content-Type value and the body of a request or of a part.

    Raises:
        MalformedMime: no link, or one without URL or expiration, or with one of its parameters wrong.
    """
    kind = media_type(content_type, _FIELD)
    if kind.essence != TYPE:
        raise MalformedMime(_FIELD, f"{TYPE} expected, not {shortened(kind.essence)}")
    if (kind.param("access-type") or "").lower() != "url":
        raise MalformedMime(f"{_FIELD};access-type", "only URL is known")
    url = "".join((kind.param("url") or "").split())  # a long one may be folded  RFC 2017 3.1
    if _URL.fullmatch(url) is None:
        raise MalformedMime(f"{_FIELD};URL", "missing, or no absolute URL")
    size, sha1 = kind.param("size"), kind.param("hash")
    if size is not None and _SIZE.fullmatch(size) is None:
        raise MalformedMime(f"{_FIELD};size", "not a number of at most 15 digits")
    if sha1 is not None and _SHA1.fullmatch(sha1) is None:
        raise MalformedMime(f"{_FIELD};hash", "not 40 hexadecimal digits")
    return ExternalBody(
        url=url,
        expires_ms=_expiration(kind.param("expiration")),
        size=None if size is None else int(size),
        sha1=bytes.fromhex(sha1 or ""),
        headers=entity(body).headers,
    )


def _expiration(text: str | None) -> int:
    found = _DATE.fullmatch(text or "")
    try:
        moment = datetime.strptime(found[1] if found else "", "%d %b %Y %H:%M:%S")
    except ValueError:
        raise MalformedMime(
            f"{_FIELD};expiration", "missing, or not such as Mon, 31 Dec 2029 10:00:00 GMT"
        ) from None
    return int(moment.replace(tzinfo=UTC).timestamp() * 1000)
