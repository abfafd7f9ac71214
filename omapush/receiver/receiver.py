"""The Push Receiver Agent: one user on one device, with push applications."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from omapush import log
from omapush.errors import BadConfiguration, MalformedSip, PushError
from omapush.protocol.feature_sets import FeatureSet
from omapush.protocol.name_addr import parse_one
from omapush.protocol.sip_core import Core
from omapush.receiver.agent import Agent, Tell, not_failing
from omapush.receiver.delivery import Delivery, respond
from omapush.receiver.device_policy import DevicePolicy, PolicyUnavailable
from omapush.receiver.endpoint import Endpoint, Request
from omapush.receiver.presence import Publication
from omapush.receiver.push import Application, Callback
from omapush.receiver.refer import Referrals
from omapush.receiver.reg_event import RegEvent, Verdict
from omapush.receiver.registration import Registration, RegistrationFailed, retry_in
from omapush.receiver.sessions import Sessions
from omapush.receiver.settings import Settings, application_name
from omapush.receiver.subscription import Subscription
from omapush.receiver.subscriptions import REG_EVENT, Subscriptions
from omapush.receiver.tasks import Tasks
from omapush.receiver.transport import TransportFailed

_BEGINNING = "beginning"
Applications = Mapping[str, Application | Callback]


class Receiver:
    """
    A device that registers its push applications and hands them what is pushed.

    `async with Receiver(...)`, or `start` and `stop`. An `endpoint` that is given is shared with other
    receivers and outlives this one.
    """

    def __init__(
        self,
        uri: str,
        proxy: str,
        applications: Applications,
        *,
        endpoint: Endpoint | None = None,
        on_event: Tell | None = None,
        **settings: Any,
    ) -> None:
        """
        `settings` are the fields of `Settings`; `on_event(name, fields)` is told of what happens.

        Raises:
            MalformedSip, BadConfiguration: a value that cannot work.
        """
        self.settings = Settings(uri, proxy, **settings)
        if self.settings.senders.device and not self.settings.senders.model:
            raise BadConfiguration("senders.model", "the URL of the UAProf document is missing")
        self._own_endpoint = endpoint is None
        self.endpoint = endpoint or Endpoint(
            proxy, self.settings.listen, timers=self.settings.timers, trusted=self.settings.trusted
        )
        self.applications = {
            application_name(name): one if isinstance(one, Application) else Application(one)
            for name, one in applications.items()
        }
        self.agent = Agent(self.settings, self.endpoint, tuple(self.applications))
        if on_event is not None:
            self.agent.tell = not_failing(on_event)
        self.delivery = Delivery(self.agent, self.applications)
        self._registration = Registration(self.agent, self._on_registered, self._on_lost)
        self._publication = Publication(self.agent, self._accept_by_application())
        self._tasks = Tasks()
        self._moving = asyncio.Lock()
        self._starting = asyncio.Lock()
        self._is_open = False
        "The endpoint works, and knows of this device."
        self._is_wanted = asyncio.Event()
        "Somebody knows that there may be a network now."
        self._has_moved = False
        "The senders of its subscriptions are still to be told."
        self._subscriptions = Subscriptions(self.agent, self.delivery, self.applications, self._tasks)
        self._referrals = Referrals(self.agent, self.delivery, self._subscriptions.refer)
        self._reg_event = RegEvent(self.agent, self._on_taken_away)
        self._sessions = Sessions(self.agent, self.delivery)

    # ---- what an embedder calls -------------------------------------------------------------------------

    async def start(self) -> None:
        """
        Register, and begin to take pushes; with `wait_for_network` now or later.

        Raises:
            RegistrationFailed: the registrar said no, or nothing. TransportFailed: no way to the proxy.
            PolicyUnavailable: the document that says who may push cannot be read.
        """
        try:
            await self._begin()
        except (TransportFailed, PolicyUnavailable, RegistrationFailed) as error:
            is_refused = isinstance(error, RegistrationFailed) and error.status != 0
            if is_refused or not self.settings.wait_for_network:
                await self._close()
                raise
            self._on_lost(str(error))
            self._tasks.run(_BEGINNING, self._begin_later())
        except BaseException:
            await self._close()
            raise

    async def _begin(self) -> None:
        """Go on where an earlier try had to end."""
        async with self._starting:
            if isinstance(self.settings.whitelist, DevicePolicy) and "policy" not in self._tasks:
                await self.settings.whitelist.load()
                self._tasks.run("policy", self.settings.whitelist.keep(self.agent.tell))
            if not self._is_open:
                if self._own_endpoint:
                    await self.endpoint.start()
                self.agent.contact_user = self.endpoint.attach(self.agent.contact_user, self)
                self._is_open = True
            if self.settings.register:
                await self._registration.register()
            else:
                self._on_registered()

    async def _begin_later(self) -> None:
        """Try again until it works."""
        failures = 0
        while True:
            failures += 1
            with suppress(TimeoutError):
                async with asyncio.timeout(retry_in(failures)):
                    await self._is_wanted.wait()
            self._is_wanted.clear()
            try:
                await self._begin()
            except (TransportFailed, PolicyUnavailable, RegistrationFailed) as error:
                self._on_lost(str(error))
            else:
                return

    def _is_beginning(self) -> bool:
        """Have the next try made now; False: it has begun, and no try is needed."""
        self._is_wanted.set()
        return _BEGINNING in self._tasks

    async def stop(self) -> None:
        """End all that is open, de-register, close. Never raises for a peer that is gone."""
        try:
            await self._sessions.close(say_so=True)
            await self._leave()
            if self.settings.register:
                with suppress(RegistrationFailed):
                    await self._registration.deregister()
        finally:
            await self._close()

    async def abandon(self) -> None:
        """Stop without a word to anybody, as a device that lost power."""
        self._registration.stop()
        await self._close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.stop()

    async def leave_push(self) -> None:
        """
        Take no pushes any more but stay registered (PRA-REG-6).

        Raises:
            RegistrationFailed: the registrar still has the push tags.
        """
        self.agent.in_push = False
        if self._is_beginning():
            return
        await self._leave(but=REG_EVENT)
        await self._registration.register()

    async def join_push(self) -> None:
        """Take pushes again after `leave_push`; raises RegistrationFailed."""
        self.agent.in_push = True
        if self._is_beginning():
            return
        await self._registration.register()

    async def refresh(self) -> None:
        """Register again now; raises RegistrationFailed, unless it still waits for a network."""
        if self._is_beginning():
            return
        await self._registration.register()

    async def move(self, host: str = "") -> None:
        """
        Go on from another local address: `host`, or the one that leads to the proxy now.

        Registers from there, drops the old binding in the same request, then tells the senders of its
        subscriptions. What comes at the old address within 64*T1, or while a session is open, is still taken
        and answered.

        Raises:
            TransportFailed: nothing can be opened there; all stays as it was.
            RegistrationFailed: nothing reaches the device; it is tried again by plan.
            BadConfiguration: the endpoint is not the receiver's own.
        """
        if not self._own_endpoint:
            raise BadConfiguration("endpoint", "one that is shared with others does not move")
        if self._is_beginning() and not self._is_open:
            return
        async with self._moving:
            self.agent.settled.clear()
            try:
                await self.endpoint.move(host)
                self._has_moved = True
                if self.settings.register:
                    await self._registration.move()
                else:
                    self._on_registered()
            finally:
                self.agent.settled.set()

    def subscribe(self, application: str, sender: str, *, expires_s: int | None = None) -> Subscription:
        """Subscribe to the content that `sender`, a SIP URI, has for an application (PRA-SUB-1, -3)."""
        if application not in self.applications:
            raise BadConfiguration("application", f"{application} is not an application of this receiver")
        return self._subscriptions.content(application, sender, expires_s)

    @property
    def is_registered(self) -> bool:
        """The registrar holds a binding of this device."""
        return self._registration.granted_s > 0

    @property
    def subscriptions(self) -> tuple[Subscription, ...]:
        """Those that are wanted now, whatever their state."""
        return self._subscriptions.wanted

    @property
    def sessions(self) -> Sessions:
        """Those in which files come."""
        return self._sessions

    @property
    def publication(self) -> Publication:
        """What is published as presence."""
        return self._publication

    @property
    def address(self) -> tuple[str, int]:
        """Where requests reach the device; nowhere (`("", 0)`) before there is a network."""
        return self.endpoint.local if self._is_open else ("", 0)

    # ---- what follows a registration --------------------------------------------------------------------

    def _on_registered(self) -> None:
        told = {"uri": self.agent.uri, "contact": self.agent.contact_uri, "gruu": self.agent.gruu}
        self.agent.tell("registered", told)
        if self.settings.watch_registration:
            self._subscriptions.keep_reg_event(self._reg_event.subscription)
        if self._has_moved:
            self._has_moved = False
            self._subscriptions.move()
        if not self.agent.in_push:
            return
        self._subscriptions.keep()
        if self.settings.publish and "publication" not in self._tasks:
            self._tasks.run("publication", self._publication.run())

    def _on_lost(self, reason: str) -> None:
        self.agent.tell("registration_lost", {"uri": self.agent.uri, "reason": reason})

    def _on_taken_away(self, verdict: Verdict) -> None:
        """The network ended the registration: its reg event is over, too, and begins with the next one."""
        if self._registration.granted_s == 0:
            return  # told before
        again = verdict.kind == "again"
        self._subscriptions.abandon(only=REG_EVENT if again else None)
        if not again:
            self._tasks.cancel("publication")
        self._registration.taken_away(verdict.wait_s if again else None)
        self._on_lost(f"ended by the network: {verdict.reason}")

    # ---- what arrives -----------------------------------------------------------------------------------

    def take(self, request: Request) -> None:
        """Answer a request: the endpoint has checked what holds for all of them."""
        match request.method:
            case "OPTIONS":
                request.answer(200, "OK", self.agent.capabilities())
            case "MESSAGE":
                self._tasks.spawn(self._guarded(request, self._message(request)))
            case "NOTIFY":
                self._notify(request)
            case "INVITE" if self.settings.sessions.enabled:
                self._tasks.spawn(self._guarded(request, self._sessions.invite(request, self._features)))
            case "BYE" if self.settings.sessions.enabled:
                self._sessions.bye(request)
            case "INVITE" | "BYE" | "ACK":
                request.answer(405, "Method Not Allowed", [("Allow", self.agent.allow())])
            case "REFER":
                known = {name.lower() for name in self.applications} if self.agent.in_push else set()
                self._tasks.spawn(
                    self._guarded(request, self._referrals.take(request, self._features(), known))
                )
            case _:
                respond(request, self._referrals.refresh(request))

    def acknowledged(self, core: Core) -> None:
        """An ACK came that belongs to a session."""
        self._sessions.acknowledged(core)

    def connection_lost(self) -> None:
        """The connection that requests came over is gone: open one, and tell the registrar."""
        self._has_moved = True
        if self.settings.register:
            self._tasks.spawn(self._registration.again())

    async def _message(self, request: Request) -> None:
        if request.core.to.param("tag") is not None:
            request.answer(481, "Call/Transaction Does Not Exist")
            return
        respond(request, await self.delivery.page_mode(request, self._features()))

    def _notify(self, request: Request) -> None:
        subscription = self._subscriptions.of(request)
        if subscription is None:
            request.answer(481, "Call/Transaction Does Not Exist")
        else:
            self._tasks.spawn(self._guarded(request, subscription.notify(request)))

    def _features(self) -> FeatureSet:
        return FeatureSet.of(parse_one(f"<sip:me@localhost>{self.agent.feature_tags()}", "Contact").params)

    def _accept_by_application(self) -> dict[str, tuple[str, ...]]:
        return {name: one.accept or self.settings.accept for name, one in self.applications.items()}

    async def _guarded(self, request: Request, work: Coroutine[Any, Any, None]) -> None:
        """Every request gets an answer, whatever happens to its handler."""
        try:
            await work
        except MalformedSip as error:
            if not request.is_answered:
                request.refuse(error)
        except PushError as error:
            log.get().warning("request_failed", method=request.method, reason=str(error))
            if not request.is_answered:
                request.refuse(error)
        except Exception:  # noqa: BLE001 - every request gets an answer
            log.get().exception("receiver_failed", method=request.method)
            if not request.is_answered:
                request.answer(500, "Server Internal Error")

    # ---- its end ----------------------------------------------------------------------------------------

    async def _leave(self, *, but: tuple[str, str] | None = None) -> None:
        await self._subscriptions.leave(but=but)
        if self._tasks.cancel("publication"):
            await self._publication.stop()

    async def _close(self) -> None:
        self._registration.stop()
        await self._sessions.close(say_so=False)
        await self.delivery.links.close()
        self.endpoint.detach(self.agent.contact_user)
        await self._tasks.close()
        if self._own_endpoint:
            with suppress(AttributeError):  # it never opened
                await self.endpoint.close()
