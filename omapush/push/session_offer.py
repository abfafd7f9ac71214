"""What a session offers: streams made of deliveries, and the description of its m-lines (RFC 5547)."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final, NamedTuple

from omapush.protocol.file_transfer import (
    ATTACHMENT,
    RENDER,
    FileDates,
    FileSelector,
    FileTransfer,
    safe_file_name,
)
from omapush.protocol.msrp_media import MessageMedia
from omapush.protocol.msrp_uri import MsrpUri
from omapush.protocol.sdp import Address, Media, Origin, SessionDescription, direction
from omapush.protocol.sip_uri import loose
from omapush.push import dialog as dialogs
from omapush.push.page_mode import Sender
from omapush.push.session import (
    RECORD_VERSION,
    Place,
    Session,
    Stream,
    call_id_of,
    file_id_of,
)
from omapush.push.values import Delivery, target

GATHER_MS: Final = 50
"How long further pushes for the same user and application may join before the INVITE leaves."
_FINGERPRINT: Final = "sha-256"
"Hash algorithm by which media workers tell their certificate."
_MIME: Final = frozenset({"content-encoding", "content-language"})
"What else the device has to know of the content: without its coding it could not read it (RFC 4975 9)."
# filename-parm = "filename" "=" ( token / quoted-string )                                       RFC 2183 2
_FILE_NAME: Final = re.compile(r';\s*filename\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;"]+))', re.IGNORECASE)
_QUOTED_PAIR: Final = re.compile(r"\\(.)")


class Whom(NamedTuple):
    """Whom a session is with, and as what."""

    aor: str
    application: str
    accept_contact: str
    asserted: str
    s_cscf: str


def stream_of(
    delivery: Delivery, ticket: str, attempt: int, *, sha1: str, place: Place, token: str
) -> Stream:
    """
    Return the stream that will carry this try of a delivery.

    `sha1`: of the content, 40 hexadecimal digits. `token`: fresh and unguessable; session-id of our URI.
    """
    headers = {name.lower(): value for name, value in delivery.content_headers}
    disposition = headers.get("content-disposition", "")
    return Stream(
        ticket=ticket,
        attempt=attempt,
        deliver_before_ms=delivery.deliver_before_ms,
        file_id=file_id_of(delivery),
        message_id=delivery.id,
        path=f"{place.uri}/{token};tcp",
        content_type=delivery.content_type,
        size=delivery.length,
        sha1=sha1,
        name=_file_name(disposition),
        disposition=ATTACHMENT if _is_for_later(disposition) else RENDER,
        description=headers.get("content-description", ""),
        accepted_ms=delivery.accepted_ms,
        mime=tuple((name, value) for name, value in delivery.content_headers if name.lower() in _MIME),
    )


def _is_for_later(disposition: str) -> bool:
    """Whether the user is asked first: the initiator said so, or said what nobody knows (RFC 2183 2.8)."""
    kind = disposition.partition(";")[0].strip().lower()
    return kind not in ("", RENDER, "inline")


def _file_name(disposition: str) -> str:
    found = _FILE_NAME.search(disposition)
    if found is None:
        return ""
    quoted, token = found.groups()
    return safe_file_name(_QUOTED_PAIR.sub(r"\1", quoted) if quoted else token or "", "")


def begin(whom: Whom, stream: Stream, *, sender: Sender, place: Place, token: str, now_ms: int) -> Session:
    """Return a new session that gathers streams; `token`: 16 fresh hexadecimal digits."""
    name = target(whom.aor) + token
    dialog = dialogs.begin(
        call_id=call_id_of(name, sender.sent_by.rsplit(":", 1)[0]),
        local_uri=sender.uri,
        local_tag=token,
        remote_uri=whom.aor,
        route=(loose(whom.s_cscf or sender.next_hop),),
    )
    return Session(
        version=RECORD_VERSION,
        id=name,
        aor=whom.aor,
        application=whom.application,
        state="gathering",
        dialog=dialog,
        place=place,
        streams=(stream,),
        node="",
        run="",
        asked="",
        asked_ms=0,
        cancelled=False,
        sdp_version=0,
        linger_ms=0,
        due_ms=now_ms + GATHER_MS,
        why="begun",
        begun_ms=now_ms,
        at_ms=now_ms,
        accept_contact=whom.accept_contact,
        asserted=whom.asserted,
        s_cscf=whom.s_cscf,
    )


def join(session: Session, stream: Stream, *, asserted: str, most: int, now_ms: int) -> Session | None:
    """
    Return the session with one more stream, to be offered next; None when it takes no more.

    `asserted`: who sends it. The device was told one sender in the INVITE, and judges by it what comes.
    """
    if session.asserted != asserted:
        return None
    if session.state not in ("gathering", "inviting", "open") or len(session.streams) >= most:
        return None
    if not session.live or session.cancelled:
        return None  # about to end
    due_ms = now_ms if session.state == "open" else session.due_ms
    return session._replace(streams=(*session.streams, stream), due_ms=due_ms, at_ms=now_ms)


def described(session: Session, offer: SessionDescription | None = None) -> bytes:
    """
    Return the session description of the session as it is; m-lines keep their positions.

    `offer`: what it answers, with the same m-lines; None: it is an offer itself.
    """
    own = MsrpUri.parse(session.streams[0].path)
    lines = sorted((one for one in session.streams if one.line >= 0), key=lambda one: one.line)
    description = SessionDescription(
        Origin(session.begun_ms, session.sdp_version, Address.of(own.host), "psa"),
        tuple(_media(one, session.place, own.port or 0, _asked_for(one, offer)) for one in lines),
        Address.of(own.host),
    )
    return str(description).encode()


def with_hold(stream: Stream, description: SessionDescription) -> Stream:
    """Return a stream as the device's description has it: held where nothing is taken (RFC 3264 8.4)."""
    if stream.state != "agreed" or stream.line < 0:
        return stream
    return stream._replace(held=_asked_for(stream, description) not in ("recvonly", "sendrecv"))


def _asked_for(stream: Stream, offer: SessionDescription | None) -> str:
    """Return the direction that the peer offers for a stream; empty: it offers nothing."""
    return direction((*offer.media[stream.line].attributes, *offer.attributes)) if offer else ""


def _media(stream: Stream, place: Place, port: int, asked_for: str) -> Media:
    is_open = stream.state in ("offered", "agreed", "ended")
    role = "active" if stream.connects else "passive"
    message = MessageMedia(
        path=(MsrpUri.parse(stream.path),),
        accept_types=("*",),
        accept_wrapped_types=("*",),
        max_size=stream.size,
        setup=role if asked_for else "actpass",
        direction="sendonly" if asked_for in ("", "recvonly", "sendrecv") else "inactive",
        fingerprints=((_FINGERPRINT, bytes.fromhex(place.fingerprint)),) if place.fingerprint else (),
    ).media(port if is_open else 0)
    accepted = datetime.fromtimestamp(stream.accepted_ms // 1000, UTC)
    file = FileTransfer(
        FileSelector(
            name=stream.name or None,
            media_type=stream.content_type.partition(";")[0].strip().lower(),
            size=stream.size,
            hashes=(("sha-1", bytes.fromhex(stream.sha1)),),
        ),
        stream.file_id,
        stream.disposition,
        FileDates(creation=accepted),
    )
    return Media(
        message.kind,
        message.port,
        message.protocol,
        message.formats,
        (*message.attributes, *file.attributes()),
        message.connection,
    )
