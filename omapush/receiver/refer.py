"""REFER: a sender asks the device to subscribe and hears how that went (PRA-REF-1..8, RFC 3515, 7647)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from omapush import clock, log
from omapush.errors import MalformedSip, PushError
from omapush.protocol.event_header import parse_event
from omapush.protocol.feature_sets import FeatureSet
from omapush.protocol.name_addr import parse_list
from omapush.protocol.refer_to import Referral, read_refer_to
from omapush.protocol.sip_core import seconds
from omapush.protocol.sip_message import SipMessage
from omapush.receiver import preferences
from omapush.receiver.agent import ALLOW_EVENTS, Agent
from omapush.receiver.delivery import Answer, Delivery, refusal, respond
from omapush.receiver.dialog import Dialog
from omapush.receiver.endpoint import Request
from omapush.receiver.push import AnswerWith, Reason, Refused
from omapush.receiver.subscriber_rules import KILLS_DIALOG, PACKAGE
from omapush.receiver.subscription import Subscription

CONTENT_PROFILE: Final = "oma-app"
"profile-type of a subscription to the content of an application (PROP-X-1)."
SIPFRAG: Final = "message/sipfrag;version=2.0"
_REPORT_S: Final = 60
"Lifetime of the implicit subscription: longer than Timer N, when the outcome is known at the latest."

Subscribe = Callable[[Referral, str, int, str], Subscription]
"Starts what a referral asks for: for an application, a lifetime, and by the wish of a sender."


class _Wanted(NamedTuple):
    """A REFER that passed all checks."""

    referral: Referral
    application: str
    expires_s: int
    sender: str


class _Report:
    """The implicit subscription of one REFER: its dialog, and what was said last."""

    def __init__(self, dialog: Dialog, pause_s: float) -> None:
        self.dialog = dialog
        self.is_over = False
        self.fragment = "SIP/2.0 100 Trying"
        self._pause_s = pause_s
        self._said_at: float | None = None
        self._turn = asyncio.Lock()

    async def say(self, fragment: str, state: str) -> None:
        """Send one NOTIFY, not sooner than a second after the last, and never two at a time."""
        self.fragment = fragment
        async with self._turn:
            if self.is_over:
                return
            if self._said_at is not None:
                await asyncio.sleep(max(0.0, self._said_at + self._pause_s - clock.monotonic()))
            if state.startswith("terminated"):
                self.is_over = True
            try:
                response = await self.dialog.request(
                    "NOTIFY",
                    lambda: [
                        ("Contact", self.dialog.contact),
                        ("Event", "refer"),
                        ("Subscription-State", state),
                        ("Content-Type", SIPFRAG),
                    ],
                    f"{fragment}\r\n".encode(),
                )
            except PushError as error:
                log.get().warning("referral_not_reported", reason=str(error))
                self.is_over = True
                return
            self._said_at = clock.monotonic()
            if response.status in KILLS_DIALOG:
                self.is_over = True


class Referrals:
    """All REFERs of one device."""

    def __init__(self, agent: Agent, delivery: Delivery, subscribe: Subscribe) -> None:
        self._agent = agent
        self._delivery = delivery
        self._subscribe = subscribe
        self._reports: dict[tuple[str, str], _Report] = {}
        self._last: dict[tuple[str, str], float] = {}
        self.carried_out = 0

    async def take(self, request: Request, own: FeatureSet, applications: set[str]) -> None:
        """Refuse a REFER, or accept it, do what it asks, and report."""
        try:
            wanted = self._checked(request, own, applications)
            dialog = Dialog.of_request(self._agent, request.message, request.core, request.to_tag)
        except Refused as error:
            self._delivery.refuse("REFER", str(error))
            respond(request, refusal(error))
            return
        except MalformedSip as error:
            self._delivery.refuse("REFER", str(error))
            request.refuse(error)
            return
        silent = (request.message.first("refer-sub") or "").strip().lower() == "false"
        headers = [self._agent.contact()] + ([("Refer-Sub", "false")] if silent else [])
        report = _Report(dialog, self._agent.settings.refer_pause_s)
        report.is_over = silent  # RFC 4488: no subscription, no NOTIFY
        key = (dialog.call_id, dialog.local_tag)
        self._reports[key] = report
        request.answer(200, "OK", headers)
        try:
            await report.say("SIP/2.0 100 Trying", f"active;expires={_REPORT_S}")
            outcome = await self._carried_out(wanted)
            await report.say(outcome, "terminated;reason=noresource")
        finally:
            del self._reports[key]

    def refresh(self, request: Request) -> Answer:
        """Answer a SUBSCRIBE: only the issuer of a REFER may refresh or end its report (RFC 3515 2.4.4)."""
        message = request.message
        event = message.first("event")
        package = parse_event(event).package if event else ""
        report = self._reports.get((request.core.call_id, request.core.to.param("tag") or ""))
        if package != "refer":
            return Answer(489, "Bad Event", (ALLOW_EVENTS,))
        if report is None or report.is_over:
            known = request.core.to.param("tag") is not None
            return Answer(481, "Call/Transaction Does Not Exist") if known else Answer(403, "Forbidden")
        expires = seconds(message.first("expires"), "Expires")
        granted = min(_REPORT_S if expires is None else expires, _REPORT_S)
        state = "terminated;reason=timeout" if granted == 0 else f"active;expires={granted}"
        task = asyncio.create_task(report.say(report.fragment, state))
        task.add_done_callback(_observed)
        return Answer(200, "OK", (("Expires", str(granted)), self._agent.contact()))

    # ---- may it, and what ------------------------------------------------------------------------------

    def _checked(self, request: Request, own: FeatureSet, applications: set[str]) -> _Wanted:
        """Whitelist before anything of the request counts (PRA-REF-4)."""
        message = request.message
        senders = self._delivery.senders(request)
        whitelist = self._agent.settings.whitelist
        if why_not := whitelist.why_not(senders):
            raise AnswerWith(403, why_not, phrase="Forbidden")
        if request.core.to.param("tag") is not None:
            raise AnswerWith(481, "REFER inside a dialog", phrase="Call/Transaction Does Not Exist")
        contacts = [one for value in message.all("contact") for one in parse_list(value, "Contact")]
        if len(contacts) != 1:
            raise MalformedSip("Contact", f"one is needed, {len(contacts)} came")
        referral = read_refer_to(message.all("refer-to"))
        preferences.check_preferences(message, own)
        application = _application(referral, applications)
        if why_not := whitelist.why_not(senders, application):
            raise AnswerWith(403, why_not, phrase="Forbidden")
        self._check_rate(senders[0], application)
        asked = seconds(referral.headers.get("Expires"), "Refer-To;Expires")
        limit = self._agent.settings.subscription_s
        return _Wanted(referral, application, limit if asked is None else min(asked, limit), senders[0])

    def _check_rate(self, sender: str, application: str) -> None:
        limits = self._agent.settings.limits
        now = clock.monotonic()
        last = self._last.get((sender, application))
        soon = last is not None and now - last < limits.refer_interval_s
        if soon or len(self._reports) >= limits.referrals:
            wait_s = limits.refer_interval_s - (now - last) if last is not None and soon else 5
            raise Refused(Reason.NO_ROOM, "too many REFERs", retry_after_s=max(1, round(wait_s)))
        self._last[sender, application] = now
        if len(self._last) > limits.remembered:
            self._last.pop(next(iter(self._last)))

    # ---- doing it ---------------------------------------------------------------------------------------

    async def _carried_out(self, wanted: _Wanted) -> str:
        """The status line that says how the SUBSCRIBE went, once its first NOTIFY came (PRA-REF-7)."""
        told = {"application": wanted.application, "target": wanted.referral.uri, "sender": wanted.sender}
        self._agent.tell("referred", told)
        subscription = self._subscribe(wanted.referral, wanted.application, wanted.expires_s, wanted.sender)
        self.carried_out += 1
        longest_s = self._agent.settings.timers.longest_s
        known: list[asyncio.Future[Any]] = [subscription.first_notify, subscription.answered]
        await asyncio.wait(known, timeout=longest_s, return_when=asyncio.FIRST_COMPLETED)
        response = subscription.answered.result() if subscription.answered.done() else None
        if response is not None and not 200 <= (response.status or 0) < 300:
            return _status_line(response)
        await asyncio.wait([subscription.first_notify], timeout=longest_s)
        if not subscription.first_notify.done():
            return "SIP/2.0 408 Request Timeout"
        await asyncio.wait([subscription.answered], timeout=self._agent.settings.timers.t1_s)
        return "SIP/2.0 200 OK"


def _application(referral: Referral, applications: set[str]) -> str:
    """The application that Accept-Contact inside of Refer-To names; refuses what is not ours to do."""
    if referral.method != "SUBSCRIBE":
        raise AnswerWith(
            403, f"a REFER may only ask for SUBSCRIBE, not {referral.method}", phrase="Forbidden"
        )
    event = parse_event(referral.headers.get("Event", ""))
    if event.package != PACKAGE or event.params.get("profile-type", "").lower() != CONTENT_PROFILE:
        raise AnswerWith(403, f"a REFER may only ask for {PACKAGE} {CONTENT_PROFILE}", phrase="Forbidden")
    preference = referral.headers.get("Accept-Contact", "")
    asked = SipMessage("SUBSCRIBE", referral.uri, None, (("accept-contact", preference),))
    named = preferences.named_applications(asked) if preference else ()
    if not named:
        raise MalformedSip("Refer-To", "names no push application in Accept-Contact")
    for ari in named:
        if ari in applications:
            return ari
    raise AnswerWith(404, f"no push application {named[0]} here", phrase="Not Found")


def _status_line(response: SipMessage) -> str:
    phrases = {
        403: "Forbidden", 404: "Not Found", 406: "Not Acceptable", 408: "Request Timeout",
        480: "Temporarily Unavailable", 481: "Call/Transaction Does Not Exist", 489: "Bad Event",
        500: "Server Internal Error", 503: "Service Unavailable", 603: "Decline",
    }  # fmt: skip
    return f"SIP/2.0 {response.status} {phrases.get(response.status or 0, 'Failed')}"


def _observed(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        log.get().error("referral_report_failed", reason=str(task.exception()))
