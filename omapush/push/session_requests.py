"""Requests of the device in a session's dialog: BYE, re-INVITE, UPDATE, and what has no place there."""

from __future__ import annotations

from typing import Final, NamedTuple

from omapush.errors import PushError
from omapush.protocol.sdp import SessionDescription
from omapush.protocol.session_body import ACCEPT, SDP_TYPE, read_session_body
from omapush.push import dialog as dialogs
from omapush.push.dialog import Heard
from omapush.push.inbound import Answer
from omapush.push.session import LOST, Ending, Session, Stream, ended
from omapush.push.session_offer import described, with_hold
from omapush.push.session_steps import over

ALLOW: Final = "INVITE, ACK, CANCEL, BYE, UPDATE, OPTIONS"
_TAKEN: Final = frozenset({"BYE", "INVITE", "UPDATE"})
"Methods that mean something in a session; any other is refused, and the session goes on."


class Asked(NamedTuple):
    """One request of the device; header values as they came."""

    method: str
    call_id: str
    our_tag: str
    heard: Heard
    content_type: str
    body: bytes
    contact: str
    "Our own Contact, for the answer."
    at_ms: int
    answer_headers: tuple[tuple[str, str], ...] = ()
    "What each answer carries besides."
    reason: str = ""
    "Reason: why it ends the session (RFC 3326)."


def on_request(session: Session | None, asked: Asked) -> tuple[Answer, Session | None]:
    """Return the answer to a request of the device, and the session after it; None: as it was."""
    if session is None or not _is_of(session, asked) or session.state in ("gathering", "inviting", "ended"):
        return _NO_DIALOG, None
    if asked.heard.cseq <= session.dialog.remote_cseq:
        return Answer(500, "CSeq Is Lower Than The Last One"), None
    counted = session._replace(
        dialog=session.dialog._replace(remote_cseq=asked.heard.cseq), at_ms=asked.at_ms
    )
    if asked.method not in _TAKEN:
        return Answer(405, "Method Not Allowed", (("Allow", ALLOW),)), counted
    if asked.method == "BYE":
        return _OK, _ended_by_device(counted, asked)
    if session.state == "closing":
        return _NO_DIALOG, counted
    if session.asked:
        return Answer(491, "Request Pending"), counted
    return _renegotiated(counted, asked)


def comes_early(session: Session | None, asked: Asked) -> bool:
    """
    Tell whether the dialog is not known yet because the device's answer to our INVITE is still on its way.

    The ACK to that answer leaves before the answer is stored: what the device says next may be read first.
    """
    if session is None or session.state != "inviting":
        return False
    return (asked.call_id, asked.our_tag) == (session.dialog.call_id, session.dialog.local_tag)


_OK: Final = Answer(200, "OK")
_NO_DIALOG: Final = Answer(481, "Call/Transaction Does Not Exist")


def _is_of(session: Session, asked: Asked) -> bool:
    dialog = session.dialog
    tags = (asked.call_id, asked.our_tag, asked.heard.tag)
    return tags == (dialog.call_id, dialog.local_tag, dialog.remote_tag)


def _ended_by_device(session: Session, asked: Asked) -> Session:
    why = "the device ended the session" + (f" ({asked.reason})" if asked.reason else "")
    lost = Ending("msrp", LOST, why, asked.at_ms)
    return over(ended(session, session.live, lost), why, asked.at_ms)


def _renegotiated(session: Session, asked: Asked) -> tuple[Answer, Session | None]:
    """
    A session description may close m-lines, or hold them; anything else that it would change is not done
    (488). A part of the body that has to be understood, and is something else, is refused (415).

    Without one, an UPDATE or INVITE refreshes the Contact, and the answer to an INVITE has our own offer.
    """
    try:
        refreshed = session._replace(dialog=dialogs.refreshed(session.dialog, asked.heard.contact))
        if not asked.body:
            return _accepted(refreshed, asked, described(refreshed) if asked.method == "INVITE" else b"")
        body = read_session_body(asked.content_type or "application/octet-stream", asked.body)
        if body.description is None or body.required:
            return Answer(415, "Unsupported Media Type", (("Accept", ACCEPT),)), session
        offer = SessionDescription.parse(body.description)
    except PushError as error:
        return Answer(400, error.sip_reason), session
    problem = _problem(session, offer)
    if problem:
        return Answer(488, "Not Acceptable Here", (("Warning", f'399 psa "{problem}"'),)), session
    streams = tuple(with_hold(_closed(one, offer, asked.at_ms), offer) for one in refreshed.streams)
    # An answer has no `actpass`, so it is another description than the last offer in any case (RFC 3264 8).
    after = refreshed._replace(streams=streams, sdp_version=session.sdp_version + 1)
    if streams != refreshed.streams:
        after = after._replace(due_ms=asked.at_ms, why=_what_changed(refreshed.streams, streams))
    return _accepted(after, asked, described(after, offer))


def _what_changed(before: tuple[Stream, ...], after: tuple[Stream, ...]) -> str:
    if [one.state for one in before] != [one.state for one in after]:
        return "the device closed a stream"
    held = sum(one.held for one in after)
    return f"the device holds {held} of its files" if held else "the device holds no file any more"


def _problem(session: Session, offer: SessionDescription) -> str:
    lines = sum(one.line >= 0 for one in session.streams)
    if len(offer.media) != lines:
        return f"{len(offer.media)} m-lines, this session has {lines}"
    for one in session.streams:
        if one.line < 0 or not (media := offer.media[one.line]).port:
            continue
        if not _is_open(one):
            return f"m-line {one.line + 1} is closed"
        if one.peer_path and (media.attribute("path") or "").strip() != one.peer_path:
            return f"m-line {one.line + 1} has another path"
    return ""


def _is_open(stream: Stream) -> bool:
    return stream.state in ("agreed", "ended")


def _closed(stream: Stream, offer: SessionDescription, at_ms: int) -> Stream:
    if stream.line < 0 or offer.media[stream.line].port:
        return stream
    if stream.state == "agreed":
        return stream._replace(
            state="closed", ending=Ending("msrp", LOST, "the device closed the stream", at_ms)
        )
    return stream._replace(state="closed") if stream.state == "ended" else stream


def _accepted(session: Session, asked: Asked, sdp: bytes) -> tuple[Answer, Session]:
    headers = [("Contact", f"<{asked.contact}>"), ("Allow", ALLOW)]
    if sdp:
        headers.append(("Content-Type", SDP_TYPE))
    return Answer(200, "OK", tuple(headers), sdp.decode()), session
