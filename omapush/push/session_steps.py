"""What the owner of a user shard does about a session that is due: INVITE, CANCEL, BYE, or wait."""

from __future__ import annotations

from typing import Final, NamedTuple

from omapush.errors import TooLarge
from omapush.push import dialog as dialogs
from omapush.push.page_mode import Sender
from omapush.push.request import Request
from omapush.push.session import LOST, Ending, Session, Stream, ended
from omapush.push.session_offer import described

KEPT_MS: Final = 600_000
"How long the results of a session stay to be seen after its end."
LOOK_MS: Final = 5_000
"How often an open session is looked at: whether its worker lives."
ASKED_LOOK_MS: Final = 2_000
"The same while a request of ours is under way: whether its Kamailio lives."
_NOT_NOW: Final = 503
_TIMEOUT: Final = 408
_TOO_LARGE: Final = 513


class Limits(NamedTuple):
    """How long things may take, in ms."""

    answer_ms: int
    "From the INVITE to its final answer; then it is cancelled."
    transaction_ms: int
    "After which a request without a result has lost its process."
    linger_ms: int
    "From the end of a stream until its m-line is closed, while others live."


class Here(NamedTuple):
    """Who looks."""

    sender: Sender
    node: str
    run: str


class Step(NamedTuple):
    """What is to be done, once `session` is stored."""

    session: Session | None
    "After the step; None: it is forgotten."
    request: Request | None = None
    cancel: bool = False
    "CANCEL the INVITE that is under way."


def step(session: Session, here: Here, limits: Limits, *, worker_lives: bool, now_ms: int) -> Step:
    """
    Return what is to be done about a session that was found due, which it may not be any more.

    Whoever changes it between the look at what is due and this one makes it due later: that only matters for
    one that has just ended, whose results are still to be read.
    """
    match session.state:
        case "gathering":
            return _invite(session, here, limits, worker_lives=worker_lives, now_ms=now_ms)
        case "inviting":
            return _await_answer(session, here, limits, now_ms)
        case "open":
            return _open(session, here, limits, worker_lives=worker_lives, now_ms=now_ms)
        case "closing":
            if _is_lost(session, here, limits.transaction_ms, now_ms):
                return Step(over(session, "BYE sent, its answer was not seen", now_ms))
            return Step(session._replace(due_ms=now_ms + ASKED_LOOK_MS, at_ms=now_ms))
        case "ended":
            return Step(session if now_ms < session.due_ms else None)


def over(session: Session, why: str, now_ms: int) -> Session:
    """Return the session after its end; what was left of its streams has ended, too."""
    left = ended(session, session.live, Ending("msrp", LOST, why, now_ms))
    return left._replace(state="ended", asked="", why=why, due_ms=now_ms + KEPT_MS, at_ms=now_ms)


# INVITE -----------------------------------------------------------------------------------------------


def _invite(session: Session, here: Here, limits: Limits, *, worker_lives: bool, now_ms: int) -> Step:
    session = _without_late(session, now_ms)
    if not session.live:
        return Step(over(session, "nothing is left to be sent", now_ms))
    if not worker_lives:
        return _given_up(session, _NOT_NOW, "its media worker went away before the INVITE", now_ms)
    offered = _numbered(session)._replace(sdp_version=1)
    try:
        request, dialog = dialogs.compose(
            offered.dialog, "INVITE", _headers(offered, here), described(offered)
        )
    except TooLarge as error:
        return _given_up(session, _TOO_LARGE, str(error), now_ms)
    number = len(offered.live)
    return Step(
        _asking(offered, "INVITE", here, now_ms)._replace(
            state="inviting",
            dialog=dialog,
            why=f"INVITE with {number} file{'s' if number > 1 else ''} to {request.next_hop}",
            due_ms=_answer_due(offered, now_ms + limits.answer_ms, now_ms),
        ),
        request,
    )


def put_off(session: Session, wait_ms: int, now_ms: int) -> Session:
    """Return a session whose INVITE has no room yet: it is due after the wait, or at a deliver-before."""
    session = _without_late(session, now_ms)
    due_ms = min((now_ms + wait_ms, *(one.deliver_before_ms for one in session.live)))
    return session._replace(due_ms=due_ms, at_ms=now_ms)


def _given_up(session: Session, code: int, why: str, now_ms: int) -> Step:
    ending = Ending("sip", code, why, now_ms, local=True)
    return Step(over(ended(session, session.live, ending), why, now_ms))


def _numbered(session: Session) -> Session:
    """Offer what is wanted, each in the next m-line."""
    line = max((one.line for one in session.streams), default=-1)
    streams: list[Stream] = []
    for one in session.streams:
        if one.state == "wanted":
            line += 1
            streams.append(one._replace(state="offered", line=line))
        else:
            streams.append(one)
    return session._replace(streams=tuple(streams))


def _headers(session: Session, here: Here) -> tuple[str, ...]:
    return (
        f"Contact: <sip:{here.sender.sent_by}>",
        *((f"P-Asserted-Identity: <{session.asserted}>",) if session.asserted else ()),
        *((f"Accept-Contact: {session.accept_contact}",) if session.accept_contact else ()),
        _charging(session, here),
        "Allow: INVITE, ACK, CANCEL, BYE, UPDATE, OPTIONS",
        "Content-Type: application/sdp",
    )


def _charging(session: Session, here: Here) -> str:
    """The same charging identifier in all requests of the dialog (TS 24.229 5.7)."""
    host = here.sender.sent_by.rsplit(":", 1)[0]
    vector = f'icid-value="{session.dialog.call_id}";icid-generated-at={host}'
    return f'P-Charging-Vector: {vector};orig-ioi="Type 3{here.sender.ioi}"'


def _asking(session: Session, method: str, here: Here, now_ms: int) -> Session:
    return session._replace(
        asked="BYE" if method == "BYE" else "INVITE",
        asked_ms=now_ms,
        cancelled=False,
        node=here.node,
        run=here.run,
        at_ms=now_ms,
    )


# While there is no final answer -----------------------------------------------------------------------


def _await_answer(session: Session, here: Here, limits: Limits, now_ms: int) -> Step:
    if _is_lost(session, here, limits.answer_ms + limits.transaction_ms, now_ms):
        return _given_up(session, _TIMEOUT, "its process died before the answer to the INVITE", now_ms)
    session = _without_late(session, now_ms)
    is_over = not session.live or now_ms >= session.asked_ms + limits.answer_ms
    if not is_over:
        due_ms = _answer_due(session, session.asked_ms + limits.answer_ms, now_ms)
        return Step(session._replace(due_ms=due_ms, at_ms=now_ms))
    waits = session._replace(due_ms=now_ms + ASKED_LOOK_MS, at_ms=now_ms)
    if session.cancelled or (session.node, session.run) != (here.node, here.run):
        return Step(waits)  # only who sent the INVITE can cancel it; a 200 that comes is followed by BYE
    why = "CANCEL as no answer came in time" if session.live else "CANCEL as nothing is left to be sent"
    return Step(waits._replace(cancelled=True, why=why), cancel=True)


def _answer_due(session: Session, answer_by_ms: int, now_ms: int) -> int:
    return min(now_ms + ASKED_LOOK_MS, answer_by_ms, *(one.deliver_before_ms for one in session.live))


def _is_lost(session: Session, here: Here, longest_ms: int, now_ms: int) -> bool:
    """Tell whether our request under way has lost its process, so that no result will come."""
    restarted = session.node == here.node and session.run != here.run
    return restarted or now_ms >= session.asked_ms + longest_ms


def _without_late(session: Session, now_ms: int) -> Session:
    """The session without what may not be offered any more; a transfer that has begun goes on."""
    late = tuple(
        one for one in session.live if one.state in ("wanted", "offered") and now_ms >= one.deliver_before_ms
    )
    return ended(session, late, Ending("us", 0, "deliver-before passed", now_ms)) if late else session


# Open -------------------------------------------------------------------------------------------------


def _open(session: Session, here: Here, limits: Limits, *, worker_lives: bool, now_ms: int) -> Step:
    if not worker_lives:
        gone = Ending("msrp", LOST, "its media worker died", now_ms)
        session = ended(session, session.live, gone)._replace(why=gone.why)
    session = _without_late(session, now_ms)
    if session.asked:
        if not _is_lost(session, here, limits.transaction_ms, now_ms):
            return Step(session._replace(due_ms=now_ms + ASKED_LOOK_MS, at_ms=now_ms))
        session = unanswered(
            session, Ending("sip", _TIMEOUT, "no answer to the re-INVITE", now_ms, local=True)
        )
    if not session.live:
        return _bye(session, here, limits, now_ms)
    wanted = any(one.state == "wanted" for one in session.streams)
    lingers_until = _lingers_until(session, limits)
    if now_ms >= session.linger_ms and (wanted or (lingers_until and now_ms >= lingers_until)):
        return _reinvite(session, here, limits, now_ms)
    due_ms = now_ms + LOOK_MS
    if wanted or lingers_until:
        due_ms = min(due_ms, max(lingers_until if not wanted else 0, session.linger_ms, now_ms + 1))
    return Step(session._replace(due_ms=due_ms, at_ms=now_ms))


def _lingers_until(session: Session, limits: Limits) -> int:
    """When the m-lines of ended streams are to be closed; 0: none waits for that (PROP-MSRP-T)."""
    ends = [one.ending.at_ms for one in session.streams if one.state == "ended" and one.ending]
    return max(ends) + limits.linger_ms if ends else 0


def unanswered(session: Session, ending: Ending) -> Session:
    """Return the session as it was before a re-INVITE that led to nothing; what it offered has ended so."""
    offered = tuple(one for one in session.streams if one.state == "offered")
    session = ended(session, offered, ending)
    never = {one.path for one in offered}
    streams = tuple(
        one._replace(state="closed", line=-1)
        if one.path in never
        else one._replace(state="ended")
        if one.state == "closing"
        else one
        for one in session.streams
    )
    return session._replace(streams=streams, asked="")


def _reinvite(session: Session, here: Here, limits: Limits, now_ms: int) -> Step:
    """Close the m-lines of all that has ended, and offer what is wanted; what is under way stays as it is."""
    streams = tuple(one._replace(state="closing") if one.state == "ended" else one for one in session.streams)
    offered = _numbered(session._replace(streams=streams, sdp_version=session.sdp_version + 1))
    try:
        request, dialog = dialogs.compose(
            offered.dialog, "INVITE", _headers(offered, here), described(offered)
        )
    except TooLarge as error:
        ending = Ending("sip", _TOO_LARGE, str(error), now_ms, local=True)
        return Step(
            unanswered(offered, ending)._replace(linger_ms=now_ms + KEPT_MS, due_ms=now_ms, at_ms=now_ms)
        )
    closing = sum(one.state == "closing" for one in offered.streams)
    new = sum(one.state == "offered" for one in offered.streams)
    return Step(
        _asking(offered, "INVITE", here, now_ms)._replace(
            dialog=dialog,
            why=f"re-INVITE with {closing} closed, {new} new",
            due_ms=now_ms + ASKED_LOOK_MS,
        ),
        request,
    )


def _bye(session: Session, here: Here, limits: Limits, now_ms: int) -> Step:
    try:
        request, dialog = dialogs.compose(session.dialog, "BYE", (_charging(session, here),))
    except TooLarge as error:
        return Step(over(session, f"BYE cannot be sent: {error}", now_ms))
    why = f"BYE to {request.next_hop} after: {session.why}"
    return Step(
        _asking(session, "BYE", here, now_ms)._replace(
            state="closing", dialog=dialog, why=why, due_ms=now_ms + ASKED_LOOK_MS
        ),
        request,
    )
