"""A push as it leaves: reference, window, what is counted and noted about it; and the end of a try."""

from __future__ import annotations

import random
from typing import Final

import metrics
from msgspec import Struct
from sent import InSubscription, Sent
from settings import Settings
from traced import marks
from window import Window, hop_of

from omapush.push import outcome
from omapush.push.method_choice import has_another
from omapush.push.outcome import Outcome, Reply
from omapush.push.request import Request
from omapush.push.values import Event, Method
from omapush.store import finish
from omapush.store.outbox import Taken

_UNCONFIRMED: Final = frozenset({"unconfirmed", "preferconfirmed"})
"Delivery methods for which a 202 is enough."
_LATE_S = 10
"How long after its transaction an answer is still kept of a push that is traced."


class Leaving(Struct, frozen=True, gc=False):
    """One push as it leaves."""

    taken: Taken
    request: Request
    reference: str
    hop: str
    "Short name of the next hop in whose window it has its place."
    why: str
    notify: InSubscription | None
    "None: it is a MESSAGE."


class Outgoing:
    """Part of a sender process, whatever the method."""

    def __init__(self, settings: Settings, sender: int, window: Window) -> None:
        self._settings = settings
        self._sender = sender
        self._window = window
        self._counts = metrics.Counts()

    def ready(
        self,
        one: Taken,
        request: Request,
        now_ms: int,
        why: str,
        notify: InSubscription | None = None,
        *,
        link: bool = False,
    ) -> Leaving:
        """
        Return one push, its content or a `link` to it, ready to leave; it has its place in the windows now.

        `why`: what the method was chosen for, for the event log.
        """
        hop = hop_of(request.goes_to)
        delivery, application = one.delivery, one.delivery.application
        way: Method = "INDIRECT" if link else "NOTIFY" if notify else "MESSAGE"
        reference = Sent(
            one.ticket,
            one.attempt,
            self._settings.retry_index(application),
            now_ms,
            self._sender,
            hop,
            delivery.deliver_before_ms,
            delivery.delivery_method in _UNCONFIRMED,
            notify,
            link and self._settings.config.profile(application).link_delivered == "fetch",
            link,
            has_another(delivery, way, self._settings.rules(application)),
        )
        lifetime_s = self._settings.config.delivery.transaction_s + _LATE_S
        marks.mark(request.call_id, delivery.ref, delivery.recipient, delivery.aor, lifetime_s)
        self._window.sent(hop)
        return Leaving(one, request, reference.pack(), hop, why, notify)

    def sent(self, one: Taken, request: Request, why: str, now_ms: int) -> Event:
        """Count a request for a push, and return the line of the event log about it."""
        self._counts.add("sip_requests_sent_total", request.method)
        metrics.observe("accepted_to_sent_seconds", now_ms - one.delivery.accepted_ms)
        text = f"{request.method} try {one.attempt} to {request.goes_to} {why}"
        return Event(now_ms, one.delivery.recipient, "sent", text)

    def not_left(self, leaving: Leaving) -> None:
        """Give back the place in the windows of a push that could not leave."""
        self._window.sent(leaving.hop, -1)

    def not_sent(
        self, one: Taken, now_ms: int, why: str = "next hop unknown or memory short"
    ) -> finish.Ended:
        """Return the end of a try that could not be sent at all: a path failure."""
        reply = Reply(503, why, local=True)
        return self.end(one, self.judge(one, reply, now_ms), now_ms, sip_code=503)

    def judge(self, one: Taken, reply: Reply, now_ms: int, *, unconfirmed: bool = False) -> Outcome:
        """
        Return what a reply, or what stands for one, means for the push.

        `unconfirmed`: a 202, or what stands for it, is enough.
        """
        return outcome.judge(
            reply,
            attempt=one.attempt,
            plans=self._settings.retry_plans[self._settings.retry_index(one.delivery.application)],
            unconfirmed=unconfirmed,
            now_ms=now_ms,
            deliver_before_ms=one.delivery.deliver_before_ms,
            jitter=random.random(),
        )

    def end(
        self, one: Taken, verdict: Outcome, now_ms: int, *, sip_code: int, method: str = ""
    ) -> finish.Ended:
        """Return the end of this try, counted when it is final."""
        if verdict.retry_at_ms is None:
            self._counts.add("deliveries_finished_total", verdict.state)
            label = self._settings.label_of(self._settings.retry_index(one.delivery.application))
            self._counts.add("deliveries_results_total", label, method or "none", verdict.code)
        return finish.Ended(one.ticket, verdict, method, sip_code, one.attempt, now_ms, verdict.desc)

    def flush(self) -> None:
        """Give the counts of a batch to Kamailio."""
        self._counts.flush()
