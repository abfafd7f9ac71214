"""What an INVITE offers, line by line, and what it is answered with (RFC 3264, 4975 8, 5547 8.3.1, 6135)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from omapush.errors import MalformedSdp, MalformedSip
from omapush.protocol.file_transfer import FileRange, FileTransfer, read_file_transfer
from omapush.protocol.msrp_media import (
    PORT_OF_ACTIVE,
    MessageMedia,
    is_message_media,
    read_message_media,
)
from omapush.protocol.msrp_uri import MsrpUri
from omapush.protocol.sdp import Address, Attributes, Media, Origin, SessionDescription
from omapush.protocol.session_body import read_session_body
from omapush.protocol.sip_message import SipMessage

_MIRRORED: Final = frozenset({"file-selector", "file-transfer-id"})
"Attributes that a refused m-line has as it was offered."


@dataclass(frozen=True, slots=True)
class Line:
    """One m-line of an offer."""

    media: Media
    message: MessageMedia | None
    "Its MSRP part; None: it is closed, or brings us nothing."
    file: FileTransfer | None
    "Its file; None: no file transfer, only messages."
    why_not: str = ""
    "Why it cannot be taken, whatever the file is; empty: it can."

    @property
    def transfer_id(self) -> str:
        """Name of the transfer, the same in every repeat; empty: it has none."""
        return (self.file.transfer_id if self.file else None) or ""

    @property
    def is_closed(self) -> bool:
        """The sender closes it, or never opened it."""
        return self.media.port == 0


@dataclass(frozen=True, slots=True)
class Terms:
    """How we take one file."""

    uri: MsrpUri
    "Our end of the MSRP session."
    connects: bool
    "We make the connection."
    accept_types: tuple[str, ...]
    max_size: int
    range: FileRange | None = None
    "The part that is wanted; None: all of it, or what was offered."
    fingerprints: tuple[tuple[str, bytes], ...] = ()
    "Of our certificate, where the session is over TLS and we have one: hash algorithm and digest."


def session_description(message: SipMessage) -> bytes | None:
    """
    Return the session description in a request, also out of a multipart body (a preview comes beside it).

    None: there is none.

    Raises:
        MalformedMime: Content-Type or the parts of the body cannot be read.
    """
    written = message.first("content-type")
    return read_session_body(written, message.body).description if message.body and written else None


def read_offer(body: bytes) -> tuple[SessionDescription, tuple[Line, ...]]:
    """
    Return an offer and its m-lines.

    Raises:
        MalformedSdp: it cannot be read, or has no m-line.
    """
    offer = SessionDescription.parse(body)
    if not offer.media:
        raise MalformedSdp("m=", "is missing: nothing is offered")
    return offer, tuple(_line(media, offer) for media in offer.media)


def _line(media: Media, offer: SessionDescription) -> Line:
    if media.port == 0:
        return Line(media, None, _file_if_readable(media))
    if not is_message_media(media):
        return Line(media, None, None, f"{media.kind} over {media.protocol} is not taken")
    file = read_file_transfer(media)
    message = read_message_media(media, offer)
    if message.direction in ("recvonly", "inactive"):
        return Line(media, None, file, f"the sender says {message.direction}: nothing would come")
    if file is not None and file.transfer_id is None:
        raise MalformedSdp("a=file-transfer-id", "is missing")
    return Line(media, message, file)


def _file_if_readable(media: Media) -> FileTransfer | None:
    try:
        return read_file_transfer(media)
    except MalformedSdp:
        return None


def refused(line: Line) -> Media:
    """Return the m-line of an answer that refuses or closes: port 0, selector and transfer-id mirrored."""
    kept: Attributes = tuple(one for one in line.media.attributes if one[0] in _MIRRORED)
    return Media(line.media.kind, 0, line.media.protocol, line.media.formats, kept)


def accepted(line: Line, terms: Terms) -> Media:
    """Return the m-line of an answer that takes a file; never its icon, disposition or dates."""
    port = PORT_OF_ACTIVE if terms.connects else terms.uri.port or PORT_OF_ACTIVE
    made = MessageMedia(
        path=(terms.uri,),
        accept_types=terms.accept_types,
        max_size=terms.max_size,
        setup="active" if terms.connects else "passive",
        direction="recvonly",
        fingerprints=terms.fingerprints,
    ).media(port)
    if line.file is None:
        return made
    file = replace(
        FileTransfer(line.file.selector, line.file.transfer_id), range=terms.range or line.file.range
    )
    return replace(made, attributes=(*made.attributes, *file.attributes()))


def answer(origin: Origin, host: str, media: Sequence[Media], offer: SessionDescription) -> bytes:
    """Return the answer: an m-line for each that was offered, and the times of the offer (RFC 3264 6)."""
    times = tuple(one for one in offer.others if one[0] == "t") or (("t", "0 0"),)
    return str(SessionDescription(origin, tuple(media), Address.of(host), others=times)).encode()


def connects(message: MessageMedia, *, wish: bool) -> bool:
    """Return whether we make the connection; `wish`: where the offer leaves it open (RFC 6135 4.2.2)."""
    return message.setup == "passive" or (message.setup == "actpass" and wish)


def require_same_lines(former: Sequence[Media], offer: SessionDescription) -> None:
    """
    Check that an offer inside a session keeps its m-lines in their places (RFC 3264 8).

    Raises:
        MalformedSip: some are gone.
    """
    if len(offer.media) < len(former):
        raise MalformedSip("m=", f"{len(offer.media)} lines where the session has {len(former)}")
