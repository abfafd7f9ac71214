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
from omapush.protocol.feature_tags import accept_contact
from omapush.protocol.name_addr import parse_one, quote
from omapush.protocol.refer_to import Referral
from omapush.protocol.sip_core import Core
from omapush.receiver.agent import Agent, Tell
from omapush.receiver.delivery import Answer, Delivery, respond
from omapush.receiver.device_policy import DevicePolicy
from omapush.receiver.endpoint import Endpoint, Request
from omapush.receiver.presence import Publication
from omapush.receiver.push import Application, Callback
from omapush.receiver.refer import CONTENT_PROFILE, Referrals
from omapush.receiver.reg_event import RegEvent, Verdict
from omapush.receiver.registration import Registration, RegistrationFailed
from omapush.receiver.sessions import Sessions
from omapush.receiver.settings import Settings, application_name
from omapush.receiver.subscriber_rules import PACKAGE
from omapush.receiver.subscription import Subscription

Applications = Mapping[str, Application | Callback]
_REG_EVENT = ("reg", "")
"Among the subscriptions, which are those of applications or device profiles at senders."


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
        `settings` are the fields of `Settings`; `on_event` is told of what happens, by name and fields.

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
            self.agent.tell = on_event
        self.delivery = Delivery(self.agent, self.applications)
        self._registration = Registration(self.agent, self._on_registered, self._on_lost)
        self._publication = Publication(self.agent, self._accept_by_application())
        self._referrals = Referrals(self.agent, self.delivery, self._refer)
        self._reg_event = RegEvent(self.agent, self._on_taken_away)
        self._sessions = Sessions(self.agent, self.delivery)
        self._subscriptions: dict[tuple[str, str], Subscription] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._running: dict[object, asyncio.Task[None]] = {}

    # ---- what an embedder calls -------------------------------------------------------------------------

    async def start(self) -> None:
        """
        Register, and begin to take pushes.

        Raises:
            RegistrationFailed: the registrar said no, or nothing. TransportFailed: no way to the proxy.
            PolicyUnavailable: the document that says who may push cannot be read.
        """
        if isinstance(self.settings.whitelist, DevicePolicy):
            await self.settings.whitelist.load()
            self._run("policy", self.settings.whitelist.keep(self.agent.tell))
        if self._own_endpoint:
            await self.endpoint.start()
        self.agent.contact_user = self.endpoint.attach(self.agent.contact_user, self)
        try:
            if self.settings.register:
                await self._registration.register()
            else:
                self._on_registered()
        except BaseException:
            await self._close()
            raise

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
        await self._leave(but=_REG_EVENT)
        await self._registration.register()

    async def join_push(self) -> None:
        """Take pushes again after `leave_push`; raises RegistrationFailed."""
        self.agent.in_push = True
        await self._registration.register()

    async def refresh(self) -> None:
        """Register again now; raises RegistrationFailed."""
        await self._registration.register()

    def subscribe(self, application: str, sender: str, *, expires_s: int | None = None) -> Subscription:
        """Subscribe to the content that `sender`, a SIP URI, has for an application (PRA-SUB-1, -3)."""
        if application not in self.applications:
            raise BadConfiguration("application", f"{application} is not an application of this receiver")
        return self._content(application, sender, expires_s)

    @property
    def is_registered(self) -> bool:
        """The registrar holds a binding of this device."""
        return self._registration.granted_s > 0

    @property
    def subscriptions(self) -> tuple[Subscription, ...]:
        """Those that are wanted now, whatever their state."""
        return tuple(self._subscriptions.values())

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
        """Where requests reach the device."""
        return self.endpoint.transport.local

    # ---- what follows a registration --------------------------------------------------------------------

    def _on_registered(self) -> None:
        told = {"uri": self.agent.uri, "contact": self.agent.contact_uri, "gruu": self.agent.gruu}
        self.agent.tell("registered", told)
        if self.settings.watch_registration:
            self._keep(_REG_EVENT, lambda: self._start(_REG_EVENT, self._reg_event.subscription()))
        if not self.agent.in_push:
            return
        for sender in self.settings.senders.device:
            self._keep(("device", sender), lambda sender=sender: self._device_subscription(sender))
        for application, sender in self.settings.subscribe_to:
            self._keep(
                (application, sender),
                lambda application=application, sender=sender: self._content(application, sender),
            )
        if self.settings.publish and "publication" not in self._running:
            self._run("publication", self._publication.run())

    def _on_lost(self, reason: str) -> None:
        self.agent.tell("registration_lost", {"uri": self.agent.uri, "reason": reason})

    def _on_taken_away(self, verdict: Verdict) -> None:
        """The network ended the registration: its reg event is over, too, and begins with the next one."""
        if self._registration.granted_s == 0:
            return  # told before
        again = verdict.kind == "again"
        ended = [_REG_EVENT] if again else list(self._subscriptions)
        for key in ended:
            if (subscription := self._subscriptions.pop(key, None)) is not None:
                subscription.abandon()
        if not again and "publication" in self._running:
            self._running["publication"].cancel()
        self._registration.taken_away(verdict.wait_s if again else None)
        self._on_lost(f"ended by the network: {verdict.reason}")

    def _keep(self, key: tuple[str, str], make: Any) -> None:
        """Start a subscription after each registration, unless it is still there."""
        if key not in self._subscriptions:
            make()

    def _content(self, application: str, sender: str, expires_s: int | None = None) -> Subscription:
        preference = accept_contact(application, strict=False)
        return self._content_subscription(application, sender, preference, expires_s)

    def _device_subscription(self, sender: str) -> None:
        senders = self.settings.senders
        event = (
            f"{PACKAGE};profile-type=device;vendor={quote(senders.vendor)}"
            f";model={quote(senders.model)};version={quote(senders.version)}"
        )
        subscription = Subscription(
            self.agent, sender, event, self._no_content, expires_s=86_400, name=f"device profile at {sender}",
            headers=[("Accept", "message/external-body, application/vnd.oma.push")],
        )  # fmt: skip
        self._start(("device", sender), subscription)

    def _content_subscription(
        self, application: str, target: str, preference: str, expires_s: int | None, *, referrer: str = ""
    ) -> Subscription:
        """`referrer`: who asked for it; what it asks for is done once and not by itself again."""

        async def content(request: Request) -> Answer:
            return await self.delivery.of_subscription(request, application, referrer or target)

        accept = self.applications[application].accept or self.settings.accept
        subscription = Subscription(
            self.agent,
            target,
            f"{PACKAGE};profile-type={CONTENT_PROFILE}",
            content,
            headers=[
                ("Accept-Contact", preference),
                (
                    "Accept",
                    ", ".join(dict.fromkeys((*accept, "application/vnd.oma.push", *self.agent.link_types()))),
                ),
                ("Accept-Encoding", "gzip, deflate, identity"),
            ],
            expires_s=self.settings.subscription_s if expires_s is None else expires_s,
            name=f"{application} at {target}",
            again=not referrer,
        )
        self._start((application, target), subscription)
        return subscription

    def _refer(self, referral: Referral, application: str, expires_s: int, referrer: str) -> Subscription:
        """The SUBSCRIBE that a REFER asks for: in a dialog of its own (PRA-REF-6)."""
        name = next(known for known in self.applications if known.lower() == application)
        preference = referral.headers["Accept-Contact"]
        return self._content_subscription(name, referral.uri, preference, expires_s, referrer=referrer)

    def _start(self, key: tuple[str, str], subscription: Subscription) -> None:
        former = self._subscriptions.pop(key, None)
        if former is not None:
            self._spawn(former.stop())
        self._subscriptions[key] = subscription
        self._run(subscription, self._run_subscription(key, subscription))

    async def _run_subscription(self, key: tuple[str, str], subscription: Subscription) -> None:
        try:
            await subscription.run()
        finally:
            if self._subscriptions.get(key) is subscription:
                del self._subscriptions[key]

    @staticmethod
    async def _no_content(request: Request) -> Answer:
        """A NOTIFY about the device's profile: whatever it brings is taken (PROP-CAP-2)."""
        return Answer(200, "OK")

    # ---- what arrives -----------------------------------------------------------------------------------

    def take(self, request: Request) -> None:
        """Answer a request: the endpoint has checked what holds for all of them."""
        match request.method:
            case "OPTIONS":
                request.answer(200, "OK", self.agent.capabilities())
            case "MESSAGE":
                self._spawn(self._guarded(request, self._message(request)))
            case "NOTIFY":
                self._notify(request)
            case "INVITE" if self.settings.sessions.enabled:
                self._spawn(self._guarded(request, self._sessions.invite(request, self._features)))
            case "BYE" if self.settings.sessions.enabled:
                self._sessions.bye(request)
            case "INVITE" | "BYE" | "ACK":
                request.answer(405, "Method Not Allowed", [("Allow", self.agent.allow())])
            case "REFER":
                known = {name.lower() for name in self.applications} if self.agent.in_push else set()
                self._spawn(self._guarded(request, self._referrals.take(request, self._features(), known)))
            case _:
                respond(request, self._referrals.refresh(request))

    def acknowledged(self, core: Core) -> None:
        """An ACK came that belongs to a session."""
        self._sessions.acknowledged(core)

    def connection_lost(self) -> None:
        """The connection that requests came over is gone: open one, and tell the registrar."""
        if self.settings.register:
            self._spawn(self._registration.again())

    async def _message(self, request: Request) -> None:
        if request.core.to.param("tag") is not None:
            request.answer(481, "Call/Transaction Does Not Exist")
            return
        respond(request, await self.delivery.page_mode(request, self._features()))

    def _notify(self, request: Request) -> None:
        for subscription in self._candidates(request):
            if subscription.matches(request):
                self._spawn(self._guarded(request, subscription.notify(request)))
                return
        request.answer(481, "Call/Transaction Does Not Exist")

    def _candidates(self, request: Request) -> list[Subscription]:
        """Also those that are ending: their last NOTIFY is still theirs."""
        return [one for one in self._running if isinstance(one, Subscription)]

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

    # ---- tasks ------------------------------------------------------------------------------------------

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _run(self, key: object, work: Coroutine[Any, Any, None]) -> None:
        async def logged() -> None:
            try:
                await work
            except PushError as error:
                log.get().warning("receiver_task_ended", reason=str(error))
            except Exception:  # noqa: BLE001 - the others go on
                log.get().exception("receiver_failed", task=str(key))
            finally:
                self._running.pop(key, None)

        self._running[key] = asyncio.create_task(logged())

    async def _leave(self, *, but: tuple[str, str] | None = None) -> None:
        ending = [self._subscriptions.pop(key) for key in list(self._subscriptions) if key != but]
        await asyncio.gather(*(one.stop() for one in ending), return_exceptions=True)
        if "publication" in self._running:
            self._running["publication"].cancel()
            await self._publication.stop()

    async def _close(self) -> None:
        self._registration.stop()
        await self._sessions.close(say_so=False)
        await self.delivery.links.close()
        self.endpoint.detach(self.agent.contact_user)
        tasks = [*self._running.values(), *self._tasks]
        for task in tasks:
            if task is not asyncio.current_task():
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._own_endpoint:
            with suppress(AttributeError):  # it never opened
                await self.endpoint.close()
