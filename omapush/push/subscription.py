"""
A subscription to `ua-profile`: its record, and what each event makes of it (RFC 6665 4.2, RFC 6080).

What every NOTIFY changes (its CSeq, whether one is under way) is not in the record: Redis counts it in one
atomic step with sending (schema/functions/subscriptions.lua), so that any process may send the next one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple, get_args

from omapush.protocol.charging_vector import ChargingVector
from omapush.push import dialog as dialogs
from omapush.push.body import Body
from omapush.push.capabilities import Facts
from omapush.push.dialog import Dialog, Heard
from omapush.push.inbound import Answer
from omapush.push.request import Request
from omapush.push.subscribe import PACKAGE, ProfileType, Subscribe, Wanted

RECORD_VERSION: Final = 2
MUST_DROP: Final = frozenset({404, 405, 410, 416, *range(480, 486), 489, 501, 604})
"Answers to a NOTIFY that end the subscription (RFC 6665 4.2.2)."
SILENCE: Final = 408
"Stands for no answer, which ends it too."
_LONGEST_ICID: Final = 256

State = Literal["active", "pending", "terminated"]
Reason = Literal["", "timeout", "rejected", "deactivated", "noresource"]
REASONS: Final[tuple[Reason, ...]] = get_args(Reason)
"What the last NOTIFY may say; empty while the subscription goes on."


class Subscription(NamedTuple):
    """One subscription, with its dialog."""

    version: int
    id: str
    aor: str
    profile: ProfileType
    application: str
    "ARI whose pushes are asked for; empty with a device profile."
    state: State
    reason: Reason
    "Why it is terminated."
    dialog: Dialog
    "Its local_cseq is not used: Redis counts."
    event_id: str
    "Parameter `id` of Event, for old subscribers that share dialogs; empty: none."
    accept: tuple[str, ...]
    "Media ranges of Accept; empty: not said."
    encodings: tuple[str, ...]
    "Codings of Accept-Encoding; empty: not said."
    device: str
    "Instance id of the device, else its Contact."
    vendor: str
    model: str
    "What the device says it is; with OMA the URL of its UAProf document."
    profile_version: str
    icid: str
    "icid-value of the charging vector that it came with; empty: none."
    expires_ms: int
    at_ms: int
    "Last SUBSCRIBE, or when it was terminated."


class Notifier(NamedTuple):
    """Who sends the NOTIFYs."""

    contact: str
    "URI at which the subscriber's requests reach us."
    ioi: str


class Taken(NamedTuple):
    """What a SUBSCRIBE comes to."""

    answer: Answer
    subscription: Subscription | None = None
    "To be stored; None: nothing changes."
    is_new: bool = False


def subscribe(old: Subscription | None, wanted: Wanted, now_ms: int) -> Taken:
    """
    Return the subscription after a SUBSCRIBE, and what to answer; a NOTIFY is owed when it is stored.

    A repeated SUBSCRIBE is answered as the first and changes nothing.

    Raises:
        MalformedSip: Contact or Record-Route.
    """
    request = wanted.request
    if old is None:
        if request.to_tag:
            return Taken(_NOT_HERE)
        begun = _begun(wanted, now_ms)
        return Taken(_granted(begun, now_ms), begun, is_new=True)
    if request.from_tag != old.dialog.remote_tag or request.call_id != old.dialog.call_id:
        return Taken(_NOT_HERE)
    if request.cseq == old.dialog.remote_cseq or not request.to_tag:
        return Taken(_granted(old, now_ms))
    if dialogs.is_lower(old.dialog, request.cseq):
        return Taken(Answer(500, "CSeq Out of Order"))
    if old.state == "terminated":
        return Taken(_NOT_HERE)
    refreshed = _refreshed(old, wanted, now_ms)
    return Taken(_granted(refreshed, now_ms), refreshed)


_NOT_HERE: Final = Answer(481, "Subscription Does Not Exist")


def _begun(wanted: Wanted, now_ms: int) -> Subscription:
    request = wanted.request
    dialog = dialogs.answered(
        call_id=request.call_id,
        local_uri=request.to_uri,
        local_tag=wanted.id,
        remote_uri=request.from_uri,
        heard=_heard(request),
    )
    return Subscription(
        version=RECORD_VERSION,
        id=wanted.id,
        aor=wanted.aor,
        profile=wanted.profile,
        application=wanted.application,
        state=_state(wanted, "pending" if wanted.pending else "active"),
        reason="" if wanted.expires_s else "timeout",
        dialog=dialog,
        event_id=wanted.event_id,
        accept=wanted.accept,
        encodings=wanted.encodings,
        device=wanted.device,
        vendor=wanted.vendor,
        model=wanted.model,
        profile_version=wanted.profile_version,
        icid=wanted.icid[:_LONGEST_ICID],
        expires_ms=now_ms + wanted.expires_s * 1000,
        at_ms=now_ms,
    )


def _refreshed(old: Subscription, wanted: Wanted, now_ms: int) -> Subscription:
    return old._replace(
        state=_state(wanted, old.state),
        reason="" if wanted.expires_s else "timeout",
        dialog=dialogs.learn(old.dialog, _heard(wanted.request)),
        accept=wanted.accept or old.accept,
        encodings=wanted.encodings or old.encodings,
        vendor=wanted.vendor or old.vendor,
        model=wanted.model or old.model,
        profile_version=wanted.profile_version or old.profile_version,
        expires_ms=now_ms + wanted.expires_s * 1000,
        at_ms=now_ms,
    )


def _state(wanted: Wanted, going_on: State) -> State:
    return going_on if wanted.expires_s else "terminated"


def _heard(request: Subscribe) -> Heard:
    return Heard(request.from_tag, request.cseq, request.contact, request.record_route)


def _granted(subscription: Subscription, now_ms: int) -> Answer:
    return Answer(200, "OK", (("Expires", str(left_s(subscription, now_ms))),))


def left_s(subscription: Subscription, now_ms: int) -> int:
    """Return the seconds that the subscription has left, whole ones, upwards."""
    if subscription.state == "terminated":
        return 0
    return max(0, -(-(subscription.expires_ms - now_ms) // 1000))


def is_live(subscription: Subscription, now_ms: int) -> bool:
    """Tell whether pushes may be sent in it now."""
    return subscription.state == "active" and subscription.expires_ms > now_ms


def live(subscriptions: Sequence[Subscription], now_ms: int) -> tuple[Subscription, ...]:
    """
    Return those in which pushes may be sent now, the one last subscribed to or refreshed first.

    A device that lost its dialogs with its power has a newer one; each older one costs a time-out of half a
    minute, which the push need not wait for.
    """
    found = tuple([one for one in subscriptions if is_live(one, now_ms)])
    return found if len(found) < 2 else tuple(sorted(found, key=lambda one: -one.at_ms))


def approved(subscription: Subscription) -> Subscription | None:
    """Return the subscription after somebody approved it; None: it did not wait for that."""
    return subscription._replace(state="active") if subscription.state == "pending" else None


def terminated(subscription: Subscription, reason: Reason, now_ms: int) -> Subscription | None:
    """Return the subscription as it ends by our own will, a last NOTIFY owed; None: it has ended already."""
    if subscription.state == "terminated":
        return None
    return subscription._replace(state="terminated", reason=reason, at_ms=now_ms)


def facts(subscription: Subscription, now_ms: int, *, polled: bool, learned_s: int) -> Facts:
    """
    Return what the subscription says about the device (PROP-CAP-3): mostly where its profile is.

    A poll (Expires 0 in the first SUBSCRIBE) tells it too, and is believed as long as an answer; who
    unsubscribes takes it back.
    """
    expires_ms = now_ms + learned_s * 1000 if polled else subscription.expires_ms
    url = subscription.model if is_profile_url(subscription.model) else ""
    return Facts(subscription.device, "uaprof", now_ms, expires_ms, profile_url=url)


def is_profile_url(model: str) -> bool:
    """Tell whether the model is the URL of a profile; other devices write a name there."""
    scheme = model[:8].lower()
    return scheme.startswith(("http://", "https://")) and model.isascii() and model.isprintable()


def notify(
    subscription: Subscription,
    cseq: int,
    notifier: Notifier,
    now_ms: int,
    *,
    body: Body | None = None,
    headers: Sequence[str] = (),
) -> Request:
    """
    Return the NOTIFY with number `cseq`: of state alone, or with the content of a push (PSA-NOT-1..5).

    `headers`: further lines without CRLF.

    Raises:
        TooLarge: the peer's route set, or its Contact, is more than can be sent.
    """
    lines = [
        f"Event: {_event(subscription, carries=body is not None)}",
        f"Subscription-State: {_subscription_state(subscription, now_ms)}",
        f"Contact: <{notifier.contact}>",
    ]
    if subscription.icid:
        lines.append(f"P-Charging-Vector: {_vector(subscription.icid, notifier.ioi)}")
    lines.extend(headers)
    if body is not None:
        lines.extend(body.headers)
    before = subscription.dialog._replace(local_cseq=cseq - 1)
    request, _ = dialogs.compose(before, "NOTIFY", lines, body.data if body else b"")
    return request


def _event(subscription: Subscription, *, carries: bool) -> str:
    """Content is good at once; no other parameter of ours is ever in a NOTIFY (PROP-X-5)."""
    event = f"{PACKAGE};effective-by=0" if carries else PACKAGE
    return f"{event};id={subscription.event_id}" if subscription.event_id else event


def _subscription_state(subscription: Subscription, now_ms: int) -> str:
    if subscription.state == "terminated":
        return f"terminated;reason={subscription.reason}"
    return f"{subscription.state};expires={left_s(subscription, now_ms)}"


def _vector(icid: str, ioi: str) -> str:
    return str(ChargingVector(icid, None, f"Type 3{ioi.removeprefix('Type 3')}", None))


def ends_it(sip_code: int) -> bool:
    """Tell whether this answer to a NOTIFY, or 408 for none, ends the subscription (RFC 6665 4.2.2)."""
    return sip_code in MUST_DROP or sip_code == SILENCE


def again_in_ms(sip_code: int, retry_after_s: int | None) -> int | None:
    """
    Return in how many ms a NOTIFY without content is sent again that was answered so; None: it is not.

    Who said 503 with Retry-After has not passed it on; its subscriber waits for it, or for the end.
    """
    if retry_after_s is None or not 500 <= sip_code < 600 or sip_code in MUST_DROP:
        return None
    return max(retry_after_s, 1) * 1000
