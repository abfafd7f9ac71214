"""
Subscriptions of our own, one to each watched event package of a user (RFC 6665 4.1, PSA-REG-2, PSA-S-002).

Each rule turns a `Watch` and an event into the next `Watch`. It is stored before its SUBSCRIBE leaves, for
the NOTIFY may come first and to another process.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from omapush.errors import MalformedSip
from omapush.protocol.sip_uri import loose
from omapush.protocol.subscription_state import SubscriptionState
from omapush.push import dialog as dialogs
from omapush.push.dialog import Heard
from omapush.push.hosted import Arrived
from omapush.push.inbound import Answer
from omapush.push.request import Request
from omapush.push.watch import (
    NO_VERSION,
    Core,
    Full,
    Identity,
    Plan,
    Subject,
    Watch,
    active,
    again_later,
    call_id_start,
    call_of,
    event_of,
    give_up,
    place_of_call,
    refresh_in_ms,
    resting,
    wait_for_register,
)

TIMER_N_MS: Final = 32_000
"64*T1 after a SUBSCRIBE its first NOTIFY must be there (RFC 6665 4.1.2.4)."

KILLS: Final = frozenset({404, 405, 410, 416, 480, 481, 482, 483, 484, 485, 489, 501, 604})
"Answers to a refresh that end the subscription (RFC 6665 4.1.2.2); after others it lives until its end."
_LARGEST_MIN_EXPIRES_S: Final = 604_800
_MOST_423: Final = 3


class FinalAnswer(NamedTuple):
    """The final answer to one of our SUBSCRIBEs; header values as they came."""

    code: int
    local: bool
    "Nobody answered: our own transaction timeout."
    call: str
    "Call-ID of the dialog, without its host."
    cseq: int
    expires: str
    min_expires: str
    retry_after: str
    contact: str
    to_tag: str
    at_ms: int


class Notified(NamedTuple):
    """A NOTIFY as it came; header values."""

    call_id: str
    our_tag: str
    "Tag of To."
    heard: Heard
    package: str
    "As the Event header has it."
    subscription_state: str
    content_type: str
    body: bytes
    "Empty where `pushed` has it."
    at_ms: int
    pushed: Arrived | None = None
    "What it brings to a hosted application, as far as it is a push."
    answer_headers: tuple[tuple[str, str], ...] = ()
    "What each answer carries besides."


# What to send ---------------------------------------------------------------------------------------


def next_request(
    watch: Watch,
    plan: Plan,
    core: Core,
    *,
    s_cscf: str,
    registered: bool,
    token: str,
    jitter: float,
    now_ms: int,
) -> tuple[Watch, Request | None]:
    """
    Return the watch whose time has come, and its SUBSCRIBE; None when there is nothing to send now.

    `s_cscf`: where the user is now. `registered`: whether anybody is known to be there; nobody is watched
    who is not, unless the plan is a standing one. `token`: fresh random digits for a new dialog; `jitter`:
    chance between 0 and 1. Called before `due_ms`, full state is wanted: something contradicts what is known.

    Raises:
        TooLarge: the dialog's routes do not fit into a request.
    """
    early = now_ms < watch.due_ms
    doubted = early and not plan.standing  # pushes have no state that could be asked for again
    registered = registered or plan.standing
    if early and watch.s_cscf == s_cscf and watch.state != "active":
        return watch, None  # its answer, its NOTIFY or its back-off is still to come
    if watch.asked_ms and now_ms < watch.asked_ms + TIMER_N_MS and watch.s_cscf == s_cscf:
        full: Full = "wanted" if doubted else watch.full
        return watch._replace(due_ms=watch.asked_ms + TIMER_N_MS, full=full), None
    if not registered and watch.state != "active":
        return wait_for_register(watch, "nobody is registered", now_ms), None
    if watch.state == "asking" and watch.s_cscf == s_cscf:
        return again_later(watch, plan, jitter, None, "no NOTIFY came (timer N)", now_ms), None
    if not _goes_on(watch, s_cscf, now_ms):
        return _subscribe(watch, plan, core, s_cscf, token, now_ms)
    if not registered and not early:
        return watch._replace(due_ms=0, why="nobody is registered: not refreshed", at_ms=now_ms), None
    if watch.full == "asked" and not early:
        return _subscribe(watch, plan, core, s_cscf, token, now_ms)
    wanted_now = doubted or watch.full
    return _send(watch._replace(full="asked" if wanted_now else ""), plan, now_ms)


def _goes_on(watch: Watch, s_cscf: str, now_ms: int) -> bool:
    """Whether the dialog is still there, and leads to where the user is."""
    return watch.state == "active" and watch.expires_ms > now_ms and watch.s_cscf == s_cscf


def _subscribe(
    watch: Watch, plan: Plan, core: Core, s_cscf: str, token: str, now_ms: int
) -> tuple[Watch, Request]:
    """A new dialog; what the old one told of versions ends with it."""
    identity = _identity(watch, plan, core, s_cscf)
    dialog = dialogs.begin(
        call_id=f"{call_id_start(Subject(watch.aor, watch.package))}{token}@{plan.sent_by.rsplit(':', 1)[0]}",
        local_uri=plan.sender_uri,
        local_tag=token,
        remote_uri=watch.aor,
        route=(loose(s_cscf),),
    )
    asking = watch._replace(
        state="asking",
        dialog=dialog,
        s_cscf=s_cscf,
        identity=identity,
        expires_ms=0,
        doc_version=NO_VERSION,
        full="",
    )
    return _send(asking, plan, now_ms)


def _send(watch: Watch, plan: Plan, now_ms: int) -> tuple[Watch, Request]:
    asserted = watch.aor if watch.identity == "user" else plan.sender_uri
    request, dialog = dialogs.compose(
        watch.dialog,
        "SUBSCRIBE",
        (
            f"Contact: <sip:{plan.sent_by}>",
            f"Event: {plan.event}",
            *plan.headers,
            f"Expires: {max(plan.expires_s, watch.min_expires_s)}",
            f"P-Asserted-Identity: <{asserted}>",
            f'P-Charging-Vector: icid-value="{watch.dialog.call_id}";orig-ioi="Type 3{plan.ioi}"',
        ),
    )
    sent = watch._replace(dialog=dialog, asked_ms=now_ms, due_ms=now_ms + TIMER_N_MS, at_ms=now_ms)
    return sent, request


def _identity(watch: Watch, plan: Plan, core: Core, s_cscf: str) -> Identity:
    """What configuration says; between the two, what this core took before."""
    if plan.identity != "as-then-user":
        return plan.identity
    if watch.s_cscf == s_cscf and watch.identity == "user":
        return "user"
    return "user" if core.identity == "user" else "as"


# Answers to our SUBSCRIBEs --------------------------------------------------------------------------


def on_final(watch: Watch, answer: FinalAnswer, plan: Plan, *, jitter: float) -> Watch | None:
    """
    Return the watch after the final answer to its SUBSCRIBE, None when the answer is to another.

    `jitter`: chance between 0 and 1 that spreads refreshes and repeats.
    """
    dialog = watch.dialog
    if (answer.call, answer.cseq) != (call_of(dialog.call_id), dialog.local_cseq) or not watch.asked_ms:
        return None
    watch = watch._replace(asked_ms=0, at_ms=answer.at_ms)
    if 200 <= answer.code < 300:
        return _granted(watch, answer, plan, jitter)
    return _refused(watch, answer, plan, jitter)


def _granted(watch: Watch, answer: FinalAnswer, plan: Plan, jitter: float) -> Watch:
    """202 is 200 (RFC 6665 8.3.1). The end may only be sooner than asked for."""
    asked_s = max(plan.expires_s, watch.min_expires_s)
    granted_s = _seconds(answer.expires)
    granted_s = asked_s if granted_s is None else min(granted_s, asked_s)
    if granted_s == 0:  # not given, or taken away
        return again_later(resting(watch), plan, jitter, None, "granted for no time", answer.at_ms)
    try:
        dialog = dialogs.learn_from_answer(watch.dialog, Heard(answer.to_tag, 0, answer.contact, ""))
    except MalformedSip:
        dialog = watch.dialog
    watch = watch._replace(dialog=dialog, expires_ms=answer.at_ms + granted_s * 1000)
    if watch.state == "asking":  # due is Timer N still: the NOTIFY makes it a subscription
        return watch
    if watch.full:
        return watch._replace(due_ms=answer.at_ms + (TIMER_N_MS if watch.full == "asked" else 0))
    # A failure is over with this; what is wrong with the last document is not.
    why = "" if watch.attempts else watch.why
    return active(watch, granted_s, jitter, answer.at_ms)._replace(why=why)


def _refused(watch: Watch, answer: FinalAnswer, plan: Plan, jitter: float) -> Watch:
    code, now_ms = answer.code, answer.at_ms
    said = "no answer" if answer.local else f"answered {code}"
    retry_s = _seconds(answer.retry_after)
    watch = watch._replace(full="wanted" if watch.full else "")
    if code == 423 and (min_s := _seconds(answer.min_expires)) and watch.attempts < _MOST_423:
        longer = min(min_s, _LARGEST_MIN_EXPIRES_S)
        again = watch._replace(min_expires_s=longer, attempts=watch.attempts + 1, why=said, due_ms=now_ms)
        return again if watch.state == "active" else resting(again)
    if code == 403 and watch.identity == "as" and plan.identity == "as-then-user":
        again = watch._replace(identity="user", why="answered 403: asserts the user", due_ms=now_ms)
        return again if watch.state == "active" else resting(again)
    is_refresh = watch.state == "active"
    if is_refresh and code == 481:
        return resting(watch._replace(due_ms=now_ms, why="answered 481: the dialog is gone"))
    if is_refresh and code not in KILLS:
        return again_later(watch, plan, jitter, retry_s, said, now_ms)
    if code in (408, 481, 491) or (500 <= code < 600 and code not in KILLS) or retry_s is not None:
        return again_later(watch, plan, jitter, retry_s, said, now_ms)
    return give_up(watch, plan, jitter, said, now_ms)


# NOTIFYs --------------------------------------------------------------------------------------------

_OK: Final = Answer(200, "OK")
NO_SUBSCRIPTION: Final = Answer(481, "Subscription Does Not Exist")


class Taken(NamedTuple):
    """What a NOTIFY comes to."""

    answer: Answer
    watch: Watch | None = None
    "The watch after it; None: as it was."


def admit(notified: Notified) -> Answer | None:
    """Return why a NOTIFY can't be one of ours, from the NOTIFY alone; None: its watch has to decide."""
    place = place_of_call(notified.call_id)
    if place is None:
        return NO_SUBSCRIPTION
    event = event_of(place.package)
    return None if notified.package == event else Answer(489, "Bad Event", (("Allow-Events", event),))


def on_notify(watch: Watch | None, notified: Notified, plan: Plan, *, jitter: float, gone: bool) -> Taken:
    """
    Return the answer to a NOTIFY and the watch after it, apart from its document (`on_document`).

    `gone`: the document says that nobody is registered any more.
    """
    if watch is None or notified.package != event_of(watch.package) or not watch.dialog.call_id:
        return Taken(NO_SUBSCRIPTION)
    dialog, heard = watch.dialog, notified.heard
    if (notified.call_id, notified.our_tag) != (dialog.call_id, dialog.local_tag):
        return Taken(NO_SUBSCRIPTION)
    if dialog.remote_cseq != dialogs.NOT_HEARD and heard.tag != dialog.remote_tag:
        return Taken(NO_SUBSCRIPTION)  # a fork: one dialog only (RFC 3680 4.9, RFC 3856 6.9)
    if dialogs.is_lower(dialog, heard.cseq):
        return Taken(Answer(500, "CSeq Is Lower Than The Last One"))
    if not notified.subscription_state:
        return Taken(Answer(400, "Missing Subscription-State"))
    try:
        said = SubscriptionState.parse(notified.subscription_state)
        learnt = watch._replace(dialog=dialogs.learn(dialog, heard), at_ms=notified.at_ms)
    except MalformedSip as error:
        return Taken(Answer(400, f"Malformed {error.field}"))
    if said.state == "terminated":
        return Taken(_OK, _terminated(learnt, said, plan, jitter, gone=gone))
    return Taken(_OK, _continued(learnt, said, plan, jitter))


def _continued(watch: Watch, said: SubscriptionState, plan: Plan, jitter: float) -> Watch:
    """`expires` may shorten, never lengthen; without it (RFC 3265) the 2xx counts."""
    now_ms = watch.at_ms
    known_s = max(watch.expires_ms - now_ms, 0) // 1000 if watch.expires_ms else 0
    left_s = known_s or max(plan.expires_s, watch.min_expires_s)
    if said.expires_s is not None:
        left_s = min(said.expires_s, max(plan.expires_s, watch.min_expires_s))
    was_waiting = watch.state == "active" and watch.due_ms == 0
    going_on = active(watch, left_s, jitter, now_ms)
    if not was_waiting and (watch.asked_ms or watch.full):
        return going_on._replace(due_ms=min(going_on.due_ms, watch.due_ms))
    return going_on


def _terminated(watch: Watch, said: SubscriptionState, plan: Plan, jitter: float, *, gone: bool) -> Watch:
    """Each reason has its own rule (RFC 6665 4.1.3)."""
    now_ms = watch.at_ms
    why = f"terminated by the peer: {said.reason or 'no reason given'}"
    ended = resting(watch)._replace(why=why)
    if gone or said.reason in ("rejected", "noresource", "invariant"):
        return wait_for_register(watch, why, now_ms)
    lived = watch.state == "active"  # one that is ended at once each time must not go round in a circle
    at_once = said.reason in ("deactivated", "timeout")
    if lived and (at_once or (said.retry_after_s is None and said.reason not in ("probation", "giveup"))):
        return ended._replace(due_ms=now_ms)
    return again_later(ended, plan, jitter, said.retry_after_s, why, now_ms)


def is_news(watch: Watch, version: int) -> bool:
    """
    Tell whether a document of the watch's dialog is newer than what it told before (RFC 3680 5.2).

    NO_VERSION, of a package without versions, always is: CSeq has ordered them.
    """
    return NO_VERSION in (version, watch.doc_version) or version > watch.doc_version


def on_document(watch: Watch, version: int, *, full: bool, jitter: float) -> Watch:
    """
    Return the watch after a document of its dialog that is news.

    A gap is answered by a refresh for full state (RFC 3680 5.2), once: a notifier that always skips versions
    must not make us ask all the time. Full state is what the refresh would bring, so after it none is due.
    """
    known = watch.doc_version
    if watch.state != "active":
        return watch
    watch = watch._replace(doc_version=version)
    if watch.full and full:
        due_ms = watch.at_ms + refresh_in_ms(watch.expires_ms - watch.at_ms, jitter)
        return watch._replace(full="", due_ms=watch.due_ms if watch.asked_ms else due_ms)
    if full or watch.full or known == NO_VERSION or version == known + 1:
        return watch
    return watch._replace(full="wanted", due_ms=watch.at_ms, why=f"version {version} came after {known}")


def on_older_document(watch: Watch, version: int) -> Watch:
    """
    Return the watch after a document of its dialog with a version below one that came before it.

    It changes nothing (RFC 3680 5.2), and neither would all that follow until their notifier has counted up
    to where it was: one that was restarted, and has kept its dialogs. A new dialog begins a new count.
    """
    if watch.state != "active" or watch.full:
        return watch
    why = f"version {version} came after {watch.doc_version}"
    return watch._replace(full="asked", due_ms=watch.at_ms, why=why)


def on_broken_document(watch: Watch, problem: str, *, jitter: float) -> Watch:
    """
    Return the watch after a document that cannot be read: what is known stays, full state is asked for.

    Once: a peer that answers that with another broken one is not asked again before the next change.
    """
    if watch.state != "active":
        return watch
    why = f"the last document cannot be read: {problem}"
    if watch.full != "asked":
        return watch._replace(full="wanted", due_ms=watch.at_ms, why=why)
    due_ms = watch.at_ms + refresh_in_ms(watch.expires_ms - watch.at_ms, jitter)
    return watch._replace(full="", due_ms=watch.due_ms if watch.asked_ms else due_ms, why=why)


def _seconds(text: str) -> int | None:
    """Read Expires, Min-Expires or Retry-After; comment and parameters do not matter here."""
    digits = text.split(";")[0].split("(")[0].strip()
    if not digits or len(digits) > 20 or not (digits.isascii() and digits.isdigit()):
        return None
    return min(int(digits), 2**31 - 1)
