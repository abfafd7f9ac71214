"""Which SIP method carries a push, and why: a pure function, its reason goes into the event log."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final, Literal, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from omapush.errors import PeerIsWrong, PushError, PushRefused
from omapush.push import method_support, outcome, referral, refused_method
from omapush.push.body import WRAPPED_TYPE
from omapush.push.capabilities import Content, Facts, Refusal, check_way
from omapush.push.capability_sources import NO_METHOD
from omapush.push.device_choice import Devices
from omapush.push.outcome import Outcome, Reply
from omapush.push.referral import Referral
from omapush.push.refused_method import RefusedMethod
from omapush.push.registration import Registration
from omapush.push.request import LARGEST_HEADERS, LARGEST_URI, Request, length_of
from omapush.push.subscribe import in_ranges
from omapush.push.subscription import Subscription
from omapush.push.values import Delivery, Method

Rule = Literal["send", "refuse", "hold"]
"What to do without a device to send to: let the core decide, end it, or wait for the registration to change."

_REFUSAL: Final = {"unregistered": "2003", "none fits": "2006"}
_NO_METHOD: Final = "2006"
_GONE: Final = "5027"
_NEED_NONE: Final = frozenset({"MESSAGE", "INVITE", "INDIRECT"})
"Methods that need no subscription."
_NOT_SUBSCRIBED: Final = "no live subscription"


class Rules(NamedTuple):
    """What the application's profile says about sending."""

    unregistered: Rule
    "When nobody is known to be there."
    no_match: Rule
    "When devices are there, none of which has the application; or no subscription, where only that would do."
    message_bytes: int
    "Largest whole MESSAGE; above it the push needs another method (MSG-SIZE)."
    notify_bytes: int
    "Largest content of a NOTIFY."
    methods: tuple[Method, ...]
    "In order of preference."
    wrapped: bool = False
    "Content travels as application/vnd.oma.push where the device takes it."
    sessions: bool = False
    "This node opens MSRP sessions."
    links: bool = False
    "This node serves content by links."


class Situation(Struct, frozen=True, gc=False):
    """What is known when a delivery is to leave."""

    delivery: Delivery
    devices: Devices
    subscriptions: tuple[Subscription, ...] = ()
    "Live ones to the application that have not got it yet."
    referral: Referral | None = None
    refusal: Refusal | None = None
    "Why no device takes the content, as far as capabilities tell (PSA-MSG-4)."
    now_ms: int = 0
    record: Registration | None = None
    facts: tuple[Facts, ...] = ()
    "What is known of the user's devices."
    refused: tuple[RefusedMethod, ...] = ()
    "Ways that the device refused in this try."


class Composers(Struct, frozen=True, gc=False):
    """How requests are composed, each asked only when it comes to that."""

    message: Callable[[], Request]
    link: Callable[[], Request] | None = None
    "A MESSAGE with a link to the content."


class Choice(Struct, frozen=True, gc=False):
    """The method for one delivery; or none, and then its result, or that it is held."""

    method: Method | None
    why: str
    outcome: Outcome | None = None
    hold: bool = False
    "Wait in the outbox until something about the user changes."
    until_ms: int = 0
    "Held no longer than that; 0: no such bound."
    request: Request | None = None
    "The MESSAGE."
    subscription: Subscription | None = None
    "In which the NOTIFY goes."
    link: bool = False
    "The NOTIFY or MESSAGE carries a link to the content."
    refused: RefusedMethod | None = None
    "Whose refusal is the result: no other way was left."


_Step = Choice | str
"What a method comes to: it is chosen or decides; or why it is not the one."


def choose(situation: Situation, rules: Rules, composers: Composers) -> Choice:
    """
    Return how the delivery leaves; or the result when it can't; or that it is held.

    What could never be sent is not held: it is refused at once.
    """
    if situation.delivery.subscription:
        return _to_subscriber(situation, rules)
    methods = (situation.delivery.method,) if situation.delivery.method else rules.methods
    is_experienced = bool(situation.refused or situation.facts)
    reasons: list[str] = []
    for method in methods:
        if is_experienced and (why_not := _refused_before(situation, method)):
            reasons.append(why_not)
            continue
        match method:
            case "NOTIFY":
                step = _notify(situation, rules)
            case "REFER":
                step = _refer(situation, rules)
            case "INVITE":
                step = _invite(situation, rules)
            case "INDIRECT":
                step = _link(situation, rules, composers)
            case _:
                step = _message(situation, rules, composers.message)
        if isinstance(step, Choice):
            told = [reason for reason in reasons if reason != _NOT_SUBSCRIBED]
            return replace(step, why="; ".join([*told, step.why])) if told else step
        reasons.append(step)
    return _none(situation, rules, "; ".join(dict.fromkeys(reasons)))


def has_another(delivery: Delivery, method: Method, rules: Rules) -> bool:
    """Tell whether the profile allows another way behind this one, should the device refuse it."""
    if delivery.subscription or delivery.method:
        return False
    return _is_another_behind(method, rules.methods, rules.sessions, rules.links)


@lru_cache(maxsize=1024)
def _is_another_behind(method: Method, methods: tuple[Method, ...], sessions: bool, links: bool) -> bool:
    if method not in methods:
        return False
    possible = {"MESSAGE": True, "INVITE": sessions, "INDIRECT": links}
    return any(possible.get(one, False) for one in methods[methods.index(method) + 1 :])


def _refused_before(situation: Situation, method: str) -> str:
    """Why a way is passed over: the device refused it in this try, or earlier pushes by it."""
    for one in situation.refused:
        if one.method == method:
            return f"{method} was refused with {one.sip_code}"
    return "" if method == "NOTIFY" else _learnt(situation, method)


def _learnt(situation: Situation, method: str) -> str:
    if not situation.facts:
        return ""
    delivery = situation.delivery
    content = Content(delivery.media_type, delivery.length, delivery.application)
    refusal = check_way(content, method, situation.facts)
    return f"{method}: {refusal.why}" if refusal else ""


def _notify(situation: Situation, rules: Rules) -> _Step:
    if not situation.subscriptions:
        return _NOT_SUBSCRIBED
    if situation.delivery.length > rules.notify_bytes:
        return f"{situation.delivery.length} bytes, a NOTIFY carries {rules.notify_bytes}"
    for one in situation.subscriptions:
        if not _is_acceptable(one, situation, rules):
            continue
        others = len(situation.subscriptions) - 1
        more = f", {others} more to follow" if others else ""
        return Choice("NOTIFY", f"subscribed as {one.device or one.id}{more}", subscription=one)
    return f"subscribed, and takes no {situation.delivery.media_type} there"


def _is_acceptable(one: Subscription, situation: Situation, rules: Rules) -> bool:
    """What a device says in its SUBSCRIBE counts for more than what is otherwise known of it (PROP-X-3)."""
    if not one.accept:
        return situation.refusal is None and not _learnt(situation, "NOTIFY")
    wrapped = rules.wrapped and in_ranges(WRAPPED_TYPE, one.accept)
    return wrapped or in_ranges(situation.delivery.media_type, one.accept)


def _to_subscriber(situation: Situation, rules: Rules) -> Choice:
    """A push to all subscribers is for those who are it still, and for nobody by another way."""
    if situation.refused:
        return _result_of_refusal(situation, "the device refused it")
    step = _notify(situation, rules)
    if isinstance(step, Choice):
        return step
    code = _NO_METHOD if situation.subscriptions else _GONE
    why = step if situation.subscriptions else "no longer subscribed"
    return Choice(None, why, Outcome(None, "undeliverable", code, why))


def _refer(situation: Situation, rules: Rules) -> _Step:
    asked, delivery, now_ms = situation.referral, situation.delivery, situation.now_ms
    if situation.subscriptions:  # what it asks for is there: by it the push was to go
        return _refused_before(situation, "NOTIFY") or _notify(situation, rules)
    if not delivery.aor.startswith(("sip:", "sips:")):
        return "a REFER needs a SIP identity (PSA-REF-2)"
    if delivery.length > rules.notify_bytes:
        return f"{delivery.length} bytes would not fit into the NOTIFY that follows"
    failed = referral.failed_for(asked, delivery.accepted_ms, now_ms)
    if failed is not None:
        return failed.why
    if asked is not None and referral.is_waited_for(asked, now_ms):
        why = f"waits for the device to subscribe: {asked.why}"
        return Choice(None, why, hold=True, until_ms=referral.look_again_ms(asked, now_ms))
    nobody = _without_device(situation.devices, rules)
    return nobody or Choice("REFER", "no live subscription, the device is asked to subscribe")


def _message(situation: Situation, rules: Rules, message: Callable[[], Request]) -> _Step:
    delivery, devices = situation.delivery, situation.devices
    if delivery.length > len(delivery.content):
        return f"content has {delivery.length} bytes, a MESSAGE at most {rules.message_bytes} in all"
    try:
        request = message()
    except PushError as error:
        return _refused(str(error), error.pap_code)
    if situation.refusal is not None:
        return _refused(situation.refusal.why, situation.refusal.code)
    nobody = _without_device(devices, rules)
    if nobody is not None and nobody.outcome is not None:
        return nobody
    unfit = _unfit(request, rules)
    if unfit or nobody is not None:
        return unfit or nobody or ""
    return Choice("MESSAGE", f"{_size(request, rules)}, {_who(devices)}", request=request)


def _unfit(request: Request, rules: Rules) -> str:
    """Why a MESSAGE cannot be sent as it is; empty: it can."""
    if request.size > rules.message_bytes:
        return f"MESSAGE would have {request.size} bytes, limit {rules.message_bytes}"
    if length_of(request.headers) > LARGEST_HEADERS or len(request.request_uri) > LARGEST_URI:
        return "headers or URI are too long for one SIP request"
    return ""


def _size(request: Request, rules: Rules) -> str:
    return f"{request.size} of {rules.message_bytes} bytes"


def _who(devices: Devices) -> str:
    return devices.why if devices.presence == "fits" else f"{devices.why}, the core decides"


def _invite(situation: Situation, rules: Rules) -> _Step:
    delivery = situation.delivery
    if not rules.sessions:
        return "no MSRP sessions here"
    support = method_support.of_msrp(
        situation.record,
        situation.facts,
        situation.devices.fitting,
        delivery.application,
        situation.now_ms,
    )
    if support.taken is False:
        return support.why
    if situation.refusal is not None:
        return _refused(situation.refusal.why, situation.refusal.code)
    nobody = _without_device(situation.devices, rules)
    why = f"{delivery.length} bytes in an MSRP session, {support.why}, {_who(situation.devices)}"
    return nobody or Choice("INVITE", why)


def _link(situation: Situation, rules: Rules, composers: Composers) -> _Step:
    """A link goes into a subscription whose device follows links, else into a MESSAGE."""
    if not rules.links or composers.link is None:
        return "no content is served by links here"
    if situation.refusal is not None:
        return _refused(situation.refusal.why, situation.refusal.code)
    support = method_support.of_links(situation.facts, situation.delivery.application)
    why = f"link to {situation.delivery.length} bytes, {support.why}"
    for one in situation.subscriptions:
        if method_support.EXTERNAL_BODY in one.accept:
            return Choice(
                "NOTIFY", f"{why}, subscribed as {one.device or one.id}", subscription=one, link=True
            )
    if support.taken is False:
        return support.why
    if any(one.method == "MESSAGE" and one.sip_code in NO_METHOD for one in situation.refused):
        return "the device takes no MESSAGE"
    nobody = _without_device(situation.devices, rules)
    if nobody is not None:
        return nobody
    try:
        request = composers.link()
    except (PushRefused, PeerIsWrong) as error:
        return _refused(str(error), error.pap_code)
    unfit = _unfit(request, rules)
    why = f"{why}, {_size(request, rules)}, {_who(situation.devices)}"
    return unfit or Choice("MESSAGE", why, request=request, link=True)


def _without_device(devices: Devices, rules: Rules) -> Choice | None:
    """What the profile says when no device is known to be there for the push; None: it may be sent."""
    match devices.presence:
        case "unregistered":
            rule = rules.unregistered
        case "none fits":
            rule = rules.no_match
        case "fits" | "unknown":
            return None
    if rule == "refuse":
        why = f"{devices.why}, and the application's profile refuses then"
        return _refused(why, _REFUSAL[devices.presence])
    return Choice(None, devices.why, hold=True) if rule == "hold" else None


def _none(situation: Situation, rules: Rules, why: str) -> Choice:
    """No method is left: what the device said is the result, or what is missing may yet come, or 2006."""
    if situation.refused:
        return _result_of_refusal(situation, why)
    failed = referral.failed_for(situation.referral, situation.delivery.accepted_ms, situation.now_ms)
    if failed is not None and "REFER" in (situation.delivery.method, *rules.methods):
        row = outcome.row_of(Reply(failed.code or 408))
        return Choice(None, why, Outcome(None, row.state, row.code, f"{row.meaning} ({failed.why})"))
    is_subscription_missing = not situation.subscriptions and situation.delivery.length <= rules.notify_bytes
    if rules.no_match == "hold" and is_subscription_missing and _NEED_NONE.isdisjoint(rules.methods):
        return Choice(None, why, hold=True)
    return _refused(f"{why}: needs another method", _NO_METHOD)


def _result_of_refusal(situation: Situation, why: str) -> Choice:
    verdict = refused_method.verdict(situation.refused)
    return Choice(None, why, verdict, refused=situation.refused[-1])


def _refused(why: str, code: str) -> Choice:
    return Choice(None, why, Outcome(None, "undeliverable", code, why))
