"""What final answers to our INVITEs and BYEs mean for a session, stream by stream (RFC 3264, RFC 5547)."""

from __future__ import annotations

from contextlib import suppress
from typing import Final, NamedTuple

from omapush.errors import PushError
from omapush.protocol.file_transfer import read_file_transfer
from omapush.protocol.msrp_media import is_message_media, read_message_media, we_connect
from omapush.protocol.msrp_uri import write_path
from omapush.protocol.sdp import Media, SessionDescription
from omapush.protocol.session_body import read_session_body
from omapush.push import dialog as dialogs
from omapush.push.dialog import Heard
from omapush.push.request import Request
from omapush.push.session import LOST, REFUSED, Ending, Session, Stream, ended
from omapush.push.session_offer import with_hold
from omapush.push.session_steps import KEPT_MS, over, unanswered

_FIRST: Final = 1
"CSeq of the INVITE that begins a session."
_GLARE: Final = 491
_GLARE_MS: Final = 2_100
"Wait before a re-INVITE that met one of the peer's is sent again, at least (RFC 3261 14.1)."
_TIMEOUT: Final = 408
_GONE: Final = frozenset({408, 481})
"Answers after which a dialog is not there any more (RFC 3261 12.2.1.2)."


class Said(NamedTuple):
    """The final answer to a request of ours; header values as they came."""

    cseq: int
    code: int
    local: bool
    "Nobody answered: Kamailio's own timeout, or the request could not be sent."
    reason: str
    warning: str
    "Text of Warning or Reason."
    retry_after_s: int
    "0: nothing was said."
    heard: Heard
    body: bytes
    at_ms: int
    content_type: str = ""
    is_alone: bool = False
    "No transaction of Kamailio knows it, or any more: nobody but us acknowledges it."


def on_answer(session: Session, said: Said, *, jitter: float) -> Session | None:
    """
    Return the session after an answer; None: it changes nothing.

    `jitter` between 0 and 1 spreads what is tried again after a collision.
    """
    is_ok = 200 <= said.code < 300
    first = not session.dialog.remote_tag
    if first and is_ok and session.state in ("inviting", "ended") and said.cseq == _FIRST:
        return _established(session, said)
    if not session.asked or said.cseq != session.dialog.local_cseq:
        return None
    if session.state == "closing":
        return over(session, _words("BYE", said), said.at_ms)
    if session.state == "inviting":
        return _refused(session, said)
    if session.state == "open":
        return _changed(session, said) if is_ok else _not_changed(session, said, jitter)
    return None


def _words(method: str, said: Said) -> str:
    if said.local:
        return f"no answer to the {method}"
    text = f"{said.code} {said.reason}".strip()
    return (
        f"{method} was answered ({text}; {said.warning})"
        if said.warning
        else f"{method} was answered ({text})"
    )


def _refused(session: Session, said: Said) -> Session:
    """All files are refused as one; a CANCEL of ours is answered 487, and what it left has had no answer."""
    if session.cancelled and said.code == 487:
        ending = Ending("sip", _TIMEOUT, "no answer to the INVITE in time, cancelled", said.at_ms, local=True)
    else:
        why = said.reason if not said.warning else f"{said.reason}; {said.warning}"
        ending = Ending("sip", said.code, why, said.at_ms, said.local, said.retry_after_s)
    return over(ended(session, session.live, ending), _words("INVITE", said), said.at_ms)


# 2xx to the INVITE ------------------------------------------------------------------------------------


def _established(session: Session, said: Said) -> Session:
    """There is a dialog now. What is of no use any more is left to a BYE, which is due at once."""
    at_ms = said.at_ms
    after = session._replace(state="open", asked="", due_ms=at_ms, at_ms=at_ms, why=_words("INVITE", said))
    try:
        after = after._replace(dialog=dialogs.established(session.dialog, said.heard))
    except PushError as error:
        after = after._replace(dialog=session.dialog._replace(remote_tag=said.heard.tag))
        return ended(after, after.live, Ending("sip", 400, f"its answer has a {error}", at_ms))
    if session.state == "ended":
        return after
    if session.cancelled:
        late = Ending("sip", _TIMEOUT, "the answer came after its CANCEL", at_ms, local=True)
        return ended(after, after.live, late)
    return _agreed(after, said)


def _agreed(session: Session, said: Said) -> Session:
    """Return the session after the answer to its last offer, each m-line by itself."""
    try:
        body = read_session_body(said.content_type, said.body)
        if body.description is None:
            raise PushError(f"no session description in {', '.join(body.required) or 'its parts'}")
        description = SessionDescription.parse(body.description)
        lines = max(one.line for one in session.streams) + 1
        if len(description.media) < lines:
            raise PushError(f"answers {len(description.media)} of {lines} m-lines")
    except PushError as error:
        unread = Ending("sip", 400, f"its answer cannot be read: {error}", said.at_ms)
        return ended(session, tuple(one for one in session.streams if one.state == "offered"), unread)
    return session._replace(
        streams=tuple(
            one if one.line < 0 else _after(one, description.media[one.line], description, said.at_ms)
            for one in session.streams
        )
    )


def _after(stream: Stream, media: Media, whole: SessionDescription, at_ms: int) -> Stream:
    if media.port == 0:
        return _stopped(stream, at_ms)
    if stream.state == "closing":
        return stream._replace(state="closed")
    return _offered(stream, media, whole, at_ms) if stream.state == "offered" else with_hold(stream, whole)


def _stopped(stream: Stream, at_ms: int) -> Stream:
    """The device gave the m-line port 0: before the transfer it refuses the file, later it stops it."""
    match stream.state:
        case "offered":
            ending = Ending("msrp", REFUSED, "the device refused the file", at_ms)
            return stream._replace(state="closed", ending=ending)
        case "agreed":
            return stream._replace(
                state="closed", ending=Ending("msrp", LOST, "the device closed the stream", at_ms)
            )
        case _:
            return stream._replace(state="closed")


def _offered(stream: Stream, media: Media, whole: SessionDescription, at_ms: int) -> Stream:
    """What the device agrees to may still not be enough for the file; then its m-line is closed later."""
    try:
        if not is_message_media(media):
            raise PushError(f"its m-line is {media.kind} {media.protocol}")
        message, file = read_message_media(media, whole), read_file_transfer(media)
    except PushError as error:
        return _unfit(stream, 400, str(error), at_ms)
    if message.direction not in ("recvonly", "sendrecv"):
        why = f"the device does not receive: {message.direction}"
        return stream._replace(state="ended", ending=Ending("msrp", REFUSED, why, at_ms))
    if not message.takes(stream.content_type):
        return _unfit(stream, 415, f"the device takes {' '.join(message.accept_types)[:200]}", at_ms)
    if message.max_size is not None and message.max_size < stream.size:
        return _unfit(stream, 413, f"the device takes {message.max_size} octets", at_ms)
    part = file.range if file else None
    if part is not None and part.start > max(stream.size, 1):
        return _unfit(stream, 400, f"the device wants octets from {part.start} on of {stream.size}", at_ms)
    return stream._replace(
        state="agreed",
        peer_path=write_path(message.path),
        connects=we_connect("actpass", message.setup, we_offered=True),
        peer_fingerprints=tuple((name, digest.hex()) for name, digest in message.fingerprints),
        start=part.start if part else 1,
        stop=part.stop or 0 if part else 0,
    )


def _unfit(stream: Stream, code: int, why: str, at_ms: int) -> Stream:
    return stream._replace(state="ended", ending=Ending("sip", code, why, at_ms))


def left_to_us(session: Session, said: Said) -> tuple[Request, ...]:
    """
    Return what a 2xx to an INVITE asks for that Kamailio does not do by itself (RFC 3261 13.2.2.4).

    ACK again, when the device of the session repeats it after its transaction is over. ACK and BYE for a
    device that took the INVITE after another had, or after it was given up because its process had died.
    Until it is known who was first, or that nobody waits, nothing: the device repeats its 2xx.
    """
    dialog = session.dialog
    if dialog.remote_tag and said.heard.tag == dialog.remote_tag:
        return _acknowledged_again(session, said) if said.is_alone else ()
    is_given_up = said.is_alone and session.state == "ended"
    if not (dialog.remote_tag or is_given_up) or not said.heard.tag or said.cseq != _FIRST:
        return ()
    try:
        fork = dialogs.established(dialog, said.heard)._replace(local_cseq=_FIRST - 1)
        ack, acknowledged = dialogs.compose(fork, "ACK", ())
        bye, _ = dialogs.compose(acknowledged, "BYE", ())
    except PushError:
        return ()
    return ack, bye


def _acknowledged_again(session: Session, said: Said) -> tuple[Request, ...]:
    if not 0 < said.cseq <= session.dialog.local_cseq:
        return ()
    try:
        ack, _ = dialogs.compose(session.dialog._replace(local_cseq=said.cseq - 1), "ACK", ())
    except PushError:
        return ()
    return (ack,)


# Answers to a re-INVITE -------------------------------------------------------------------------------


def _changed(session: Session, said: Said) -> Session:
    after = session._replace(asked="", due_ms=said.at_ms, at_ms=said.at_ms, why=_words("re-INVITE", said))
    with suppress(PushError):  # a Contact that cannot be read leaves it where it was
        after = after._replace(dialog=dialogs.refreshed(session.dialog, said.heard.contact))
    answered = _agreed(after, said)
    return answered._replace(
        streams=tuple(
            one._replace(state="closed") if one.state == "closing" else one for one in answered.streams
        )
    )


def _not_changed(session: Session, said: Said, jitter: float) -> Session:
    """The session goes on as it was, unless the answer tells that it is not there any more."""
    why = _words("re-INVITE", said)
    at_ms = said.at_ms
    if said.code == _GLARE:
        again_ms = at_ms + _GLARE_MS + int(jitter * 1_900)
        streams = tuple(
            one._replace(state="wanted", line=-1)
            if one.state == "offered"
            else one._replace(state="ended")
            if one.state == "closing"
            else one
            for one in session.streams
        )
        return session._replace(
            streams=streams, asked="", linger_ms=again_ms, due_ms=again_ms, at_ms=at_ms, why=why
        )
    ending = Ending("sip", said.code, said.reason, at_ms, said.local, said.retry_after_s)
    after = unanswered(session, ending)._replace(due_ms=at_ms, at_ms=at_ms, why=why)
    if said.code in _GONE:
        return ended(after, after.live, Ending("msrp", LOST, why, at_ms))  # a BYE is due
    return after._replace(linger_ms=at_ms + KEPT_MS)  # what has ended is closed by the BYE
