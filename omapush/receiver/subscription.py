"""One subscription of the device, as RFC 6665 wants a subscriber to be (PRA-SUB-1..4, PRA-NOT-1..3)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Final

from omapush import clock
from omapush.errors import MalformedSip, PushError
from omapush.protocol.event_header import parse_event
from omapush.protocol.sip_core import seconds
from omapush.protocol.sip_message import SipMessage
from omapush.protocol.subscription_state import SubscriptionState
from omapush.receiver.agent import ALLOW_EVENTS, SUPPORTED, Agent
from omapush.receiver.delivery import Answer, respond
from omapush.receiver.dialog import Dialog
from omapush.receiver.endpoint import Request
from omapush.receiver.subscriber_rules import KILLS_DIALOG, Ending, refresh_in, retry_in

_GOODBYE: Final = 4
"Times T1: how long a stopping device waits for the last NOTIFY."
_LEAST_REFRESH_S: Final = 0.2

Content = Callable[[Request], Awaitable[Answer]]
"Takes the body of a NOTIFY and says what to answer."


class Subscription:
    """
    A subscription, its dialog, and the next dialog when that one ends.

    `run` lives as long as the subscription is wanted; NOTIFYs come in by `notify`.
    """

    def __init__(
        self,
        agent: Agent,
        target: str,
        event: str,
        content: Content,
        *,
        headers: Sequence[tuple[str, str]] = (),
        expires_s: int = 3600,
        name: str = "",
        again: bool = True,
    ) -> None:
        """`event`: the whole Event value; `again`: retry by rule, even when there never was one."""
        self._agent = agent
        self.target = target
        self.event = event
        self.name = name or target
        self._package = parse_event(event)
        self._content = content
        self._headers = list(headers)
        self._asked_s = expires_s
        self._again = again
        self._stopping = False
        self._goodbye_s = _GOODBYE * agent.settings.timers.t1_s
        self._dialog: Dialog | None = None
        self._ended: asyncio.Future[Ending] | None = None
        self._notified = asyncio.Event()
        self._moved = asyncio.Event()
        self.first_notify: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        "Done when the first NOTIFY of the first dialog was answered."
        self.answered: asyncio.Future[SipMessage] = asyncio.get_running_loop().create_future()
        "The final response to the first SUBSCRIBE."
        self._expires_at = 0.0
        self._handled: tuple[int, Answer] | None = None
        self._busy = asyncio.Lock()
        self.state = ""
        "`active` or `pending` while there is a subscription."
        self.ending: Ending | None = None

    # ---- which NOTIFYs are ours -------------------------------------------------------------------------

    def matches(self, request: Request) -> bool:
        """Tell whether a NOTIFY belongs here: Call-ID, our tag, theirs once it is known (RFC 6665 4.4.1)."""
        dialog = self._dialog
        core = request.core
        return (
            dialog is not None
            and core.call_id == dialog.call_id
            and core.to.param("tag") == dialog.local_tag
            and dialog.remote_tag in ("", core.from_.param("tag"))
        )

    async def notify(self, request: Request) -> None:
        """Answer a NOTIFY of ours."""
        try:
            async with self._busy:
                answer = await self._notify(request)
        except MalformedSip as error:
            request.refuse(error)
            return
        respond(request, answer)

    async def _notify(self, request: Request) -> Answer:
        dialog = self._dialog
        message, core = request.message, request.core
        if dialog is None or not self.matches(request):
            return Answer(481, "Call/Transaction Does Not Exist")
        state = _state(message)
        if _event_of(message) != (self._package.package, self._package.params.get("id")):
            return Answer(489, "Bad Event", (ALLOW_EVENTS,))
        if self._handled and core.cseq.number == self._handled[0]:
            return self._handled[1]  # sent again by a notifier that lost our answer
        if core.cseq.number < dialog.remote_cseq:
            return Answer(500, "Server Internal Error")  # RFC 3261 12.2.2: out of order
        if not dialog.remote_tag:
            dialog.take_route(message)
            dialog.remote_tag = core.from_.param("tag") or ""
        else:
            dialog.refresh_target(message)
        dialog.remote_cseq = core.cseq.number
        self._take_state(state)
        answer = await self._content(request) if message.body else Answer(200, "OK")
        self._handled = (core.cseq.number, answer)
        self._notified.set()
        if not self.first_notify.done():
            asyncio.get_running_loop().call_soon(_done, self.first_notify)
        if state.state == "terminated":
            self._end(Ending(0, state.reason, state.retry_after_s))
        return answer

    def _take_state(self, state: SubscriptionState) -> None:
        if state.state == "terminated":
            self.state = ""
            return
        if self.state != state.state:
            self._agent.tell("subscribed", {"name": self.name, "state": state.state})
        self.state = state.state
        if state.expires_s is not None:  # RFC 3265 peers leave it out
            self._expires_at = clock.monotonic() + state.expires_s

    def _end(self, ending: Ending) -> None:
        self.state = ""
        if self._ended and not self._ended.done():
            self._ended.set_result(ending)

    # ---- its life ---------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Subscribe, and again when it ends, until that makes no sense or `stop` is called."""
        failures = 0
        while not self._stopping:
            self.ending = await self._one_dialog()
            self._dialog = None
            self.state = ""
            failures = 0 if self._notified.is_set() and not self.ending.status else failures + 1
            by_rule = self._again or self.first_notify.done()
            wait_s = retry_in(self.ending, max(failures, 1)) if by_rule else None
            if self._stopping or wait_s is None:
                break
            told = {"name": self.name, "ending": str(self.ending), "again_in_s": wait_s}
            self._agent.tell("subscription_ended", told)
            await asyncio.sleep(wait_s)
        if not self._stopping:
            self._agent.tell("subscription_ended", {"name": self.name, "ending": str(self.ending)})

    async def stop(self) -> None:
        """End it with Expires 0; wait a moment for the last NOTIFY (RFC 6665 4.1.2.3)."""
        self._stopping = True
        dialog, ended = self._dialog, self._ended
        if dialog is None or ended is None or not dialog.remote_tag or ended.done():
            self._end(Ending(0, "stopped"))
            return
        with suppress(PushError, TimeoutError):
            async with asyncio.timeout(self._goodbye_s):
                response = await self._subscribe(dialog, 0)
                if response.status == 200:
                    await asyncio.shield(ended)
        self._end(Ending(0, "stopped"))

    def abandon(self) -> None:
        """End it without a word: nothing would reach the notifier."""
        self._stopping = True
        self._end(Ending(0, "stopped"))

    def move(self) -> None:
        """
        Tell the notifier the device's new address by a refresh (RFC 3261 12.2).

        A dialog whose first NOTIFY is still to come cannot be refreshed: another takes its place.
        """
        self._moved.set()
        if self._dialog is not None and not self._dialog.remote_tag and self.answered.done():
            self._end(Ending(0, "deactivated"))

    async def _one_dialog(self) -> Ending:
        agent = self._agent
        dialog = self._dialog = Dialog(agent, self.target, route=agent.preloaded_route())
        ended: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        self._ended = ended
        self._notified.clear()
        self._moved.clear()
        self._handled = None
        self._expires_at = 0.0
        started = clock.monotonic()
        asking = asyncio.create_task(self._asked(dialog))
        either: list[asyncio.Future[Any]] = [asking, ended]
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                await asyncio.wait(
                    [asking], timeout=self._goodbye_s
                )  # the 200 may come after the last NOTIFY
                return ended.result()
        finally:
            asking.cancel()
        failed = asking.result()
        if failed is not None and not self._notified.is_set():
            return failed
        timer_n_s = agent.settings.timers.longest_s - (clock.monotonic() - started)
        if not await self._until(timer_n_s, ended, self._notified):
            return Ending(408, "no NOTIFY came within Timer N")
        return await self._refreshed(dialog, ended)

    async def _asked(self, dialog: Dialog) -> Ending | None:
        """Send the first SUBSCRIBE; None when it was accepted."""
        for _ in range(3):
            try:
                response = await self._subscribe(dialog, self._asked_s)
            except PushError as error:
                return Ending(error.sip_status, str(error))
            longer = _min_expires(response)
            if response.status != 423 or longer is None or longer <= self._asked_s:
                break
            self._asked_s = longer
        if not self.answered.done():
            self.answered.set_result(response)
        if response.status not in (200, 202):
            return Ending(response.status or 500, "", _retry_after(response))
        granted = _seconds(response, "expires")
        if not self._expires_at:
            self._expires_at = clock.monotonic() + (self._asked_s if granted is None else granted)
        return None

    async def _refreshed(self, dialog: Dialog, ended: asyncio.Future[Ending]) -> Ending:
        """Keep the dialog's subscription alive until it ends."""
        while True:
            left_s = self._expires_at - clock.monotonic()
            await self._until(max(refresh_in(left_s), _LEAST_REFRESH_S), ended, self._moved)
            if ended.done():
                return ended.result()
            self._moved.clear()
            if self._expires_at <= clock.monotonic():
                return Ending(0, "timeout")
            self._notified.clear()
            try:
                response = await self._subscribe(dialog, self._asked_s)
            except PushError:
                continue  # it lives until its time
            if response.status in KILLS_DIALOG:
                return Ending(response.status or 481)
            if response.status not in (200, 202):
                continue
            granted = _seconds(response, "expires")
            self._expires_at = clock.monotonic() + (self._asked_s if granted is None else granted)
            timer_n_s = self._agent.settings.timers.longest_s
            if not await self._until(timer_n_s, ended, self._notified, self._moved):
                return Ending(408, "no NOTIFY came within Timer N")

    @staticmethod
    async def _until(wait_s: float, ended: asyncio.Future[Ending], *events: asyncio.Event) -> bool:
        """Wait for an event or the end; False when none came in time."""
        waiting = [asyncio.create_task(event.wait()) for event in events]
        either: list[asyncio.Future[Any]] = [*waiting, ended]
        try:
            done, _ = await asyncio.wait(either, timeout=max(wait_s, 0), return_when=asyncio.FIRST_COMPLETED)
            return bool(done)
        finally:
            for one in waiting:
                one.cancel()

    async def _subscribe(self, dialog: Dialog, expires_s: int) -> SipMessage:
        return await dialog.request(
            "SUBSCRIBE",
            lambda: [
                self._agent.contact(),
                ("Event", self.event),
                ("Expires", str(expires_s)),
                *self._headers,
                SUPPORTED,
                ALLOW_EVENTS,
            ],
        )


def _done(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _state(message: SipMessage) -> SubscriptionState:
    values = message.all("subscription-state")
    if len(values) != 1:
        raise MalformedSip("Subscription-State", "missing" if not values else "comes more than once")
    return SubscriptionState.parse(values[0])


def _event_of(message: SipMessage) -> tuple[str, str | None]:
    values = message.all("event")
    if len(values) != 1:
        raise MalformedSip("Event", "missing" if not values else "comes more than once")
    event = parse_event(values[0])
    return event.package, event.params.get("id")


def _seconds(message: SipMessage, name: str) -> int | None:
    try:
        return seconds(message.first(name), name)
    except MalformedSip:
        return None


def _min_expires(message: SipMessage) -> int | None:
    return _seconds(message, "min-expires")


def _retry_after(message: SipMessage) -> int | None:
    return _seconds(message, "retry-after")
