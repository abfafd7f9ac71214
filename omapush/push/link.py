"""
Links to the content of a push: one for each recipient, that nobody can guess and that run out.

A link's token names push and recipient and until when it is good, under a MAC whose key is a secret of the
push: nothing has to be stored for a link, and whoever has the push record can tell whether it is genuine.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import struct
from typing import Final, NamedTuple

from omapush.protocol import external_body
from omapush.protocol.external_body import ExternalBody
from omapush.push.values import REF_LENGTH, Delivery, Push

_CLAIM: Final = struct.Struct(f">B{REF_LENGTH // 2}sIQ")
_VERSION: Final = 1
_MAC: Final = 16
_TOKEN: Final = re.compile(r"[A-Za-z0-9_\-]{52}")
_TRAVELS: Final = ("content-language", "content-encoding", "content-description")
_DISPOSITION: Final = "content-disposition"


class Claim(NamedTuple):
    """What a token says; true only when it is genuine."""

    ref: str
    recipient: int
    until_ms: int


class Token(NamedTuple):
    """A token, taken apart."""

    claim: Claim
    mac: bytes


class Link(NamedTuple):
    """Where one recipient finds the content of a push."""

    url: str
    until_ms: int
    sha1: bytes
    content_id: str
    "Without brackets; another content would have another one (RFC 4483 5.4)."


def token_of(claim: Claim, secret: bytes) -> str:
    """Return the token of a claim: 52 characters that may stand in a URL."""
    packed = _packed(claim)
    return base64.urlsafe_b64encode(packed + _mac(packed, secret)).decode().rstrip("=")


def read(text: str) -> Token | None:
    """Return what a token says; None when it cannot be one."""
    if _TOKEN.fullmatch(text) is None:
        return None
    try:
        data = base64.urlsafe_b64decode(text)
        version, ref, recipient, until_ms = _CLAIM.unpack(data[:-_MAC])
    except (binascii.Error, struct.error):
        return None
    return Token(Claim(ref.hex(), recipient, until_ms), data[-_MAC:]) if version == _VERSION else None


def is_genuine(token: Token, secret: bytes) -> bool:
    """Tell whether the token was made with the secret of its push."""
    return hmac.compare_digest(token.mac, _mac(_packed(token.claim), secret))


def until_ms(delivery: Delivery, lifetime_s: int, now_ms: int) -> int:
    """Return until when a link made now is good: never beyond the time that the push itself has."""
    return min(now_ms + lifetime_s * 1000, delivery.deliver_before_ms)


def linked(delivery: Delivery, link: Link) -> Delivery:
    """
    Return the delivery with the link in place of its content (RFC 4483 5).

    Raises:
        MalformedMime: the URL cannot stand in a header.
    """
    named = {name.lower(): value for name, value in delivery.content_headers}
    inner = [
        ("Content-Type", delivery.content_type),
        ("Content-Disposition", named.get(_DISPOSITION, "render")),
        ("Content-ID", f"<{link.content_id}>"),
    ]
    inner += [(name, value) for name, value in delivery.content_headers if name.lower() in _TRAVELS]
    kind, body = external_body.write(
        ExternalBody(link.url, link.until_ms, delivery.length, link.sha1, tuple(inner))
    )
    return delivery._replace(content_type=kind, content_headers=(), content=body, size=0)


def content_headers(push: Push) -> tuple[tuple[str, str], ...]:
    """Return what HTTP says of the content besides its length: how it is to be shown and decoded."""
    travels = (*_TRAVELS, _DISPOSITION)
    return (
        ("Content-Type", push.content_type),
        *((name, value) for name, value in push.content_headers if name.lower() in travels),
    )


def _packed(claim: Claim) -> bytes:
    return _CLAIM.pack(_VERSION, bytes.fromhex(claim.ref), claim.recipient, claim.until_ms)


def _mac(packed: bytes, secret: bytes) -> bytes:
    return hashlib.blake2s(packed, key=secret, digest_size=_MAC, person=b"pushlink").digest()
