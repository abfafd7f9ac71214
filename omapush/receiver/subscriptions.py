"""All subscriptions of one device: to contents, of its profile, to its own registration."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from omapush.protocol.feature_tags import accept_contact
from omapush.protocol.name_addr import quote
from omapush.protocol.refer_to import Referral
from omapush.receiver.agent import Agent
from omapush.receiver.delivery import Answer, Delivery
from omapush.receiver.endpoint import Request
from omapush.receiver.push import Application
from omapush.receiver.refer import CONTENT_PROFILE
from omapush.receiver.subscriber_rules import PACKAGE
from omapush.receiver.subscription import Subscription
from omapush.receiver.tasks import Tasks

Key = tuple[str, str]
"Application, or `device` for its profile, and the sender's URI."
REG_EVENT: Final[Key] = ("reg", "")
"Among the subscriptions, which are those of applications or device profiles at senders."


class Subscriptions:
    """Those that are wanted, whatever their state, and those that are ending."""

    def __init__(
        self, agent: Agent, delivery: Delivery, applications: Mapping[str, Application], tasks: Tasks
    ) -> None:
        self._agent = agent
        self._settings = agent.settings
        self._delivery = delivery
        self._applications = applications
        self._tasks = tasks
        self._wanted: dict[Key, Subscription] = {}

    @property
    def wanted(self) -> tuple[Subscription, ...]:
        """Those that are wanted now, whatever their state."""
        return tuple(self._wanted.values())

    def of(self, request: Request) -> Subscription | None:
        """Return the one that a NOTIFY belongs to, which may be one that is ending; None: no such dialog."""
        return next((one for one in self._running() if one.matches(request)), None)

    def _running(self) -> list[Subscription]:
        return [key for key in self._tasks.running() if isinstance(key, Subscription)]

    # ---- which are wanted -------------------------------------------------------------------------------

    def keep_reg_event(self, make: Callable[[], Subscription]) -> None:
        """Start the subscription to the own registration, unless it is there."""
        if REG_EVENT not in self._wanted:
            self._start(REG_EVENT, make())

    def keep(self) -> None:
        """Start those that the settings name and that are not there."""
        for sender in self._settings.senders.device:
            if ("device", sender) not in self._wanted:
                self._start(("device", sender), self._device_profile(sender))
        for application, sender in self._settings.subscribe_to:
            if (application, sender) not in self._wanted:
                self.content(application, sender)

    def content(self, application: str, sender: str, expires_s: int | None = None) -> Subscription:
        """Subscribe to the content that a sender has for an application (PRA-SUB-1, -3)."""
        return self._content(application, sender, accept_contact(application, strict=False), expires_s)

    def refer(self, referral: Referral, application: str, expires_s: int, referrer: str) -> Subscription:
        """Send the SUBSCRIBE that a REFER asks for, in a dialog of its own (PRA-REF-6)."""
        name = next(known for known in self._applications if known.lower() == application)
        preference = referral.headers["Accept-Contact"]
        return self._content(name, referral.uri, preference, expires_s, referrer=referrer)

    def move(self) -> None:
        """Tell all notifiers the device's new address."""
        for subscription in self._running():
            subscription.move()

    # ---- their ends -------------------------------------------------------------------------------------

    async def leave(self, *, but: Key | None = None) -> None:
        """End them all with Expires 0."""
        ending = [self._wanted.pop(key) for key in list(self._wanted) if key != but]
        await asyncio.gather(*(one.stop() for one in ending), return_exceptions=True)

    def abandon(self, *, only: Key | None = None) -> None:
        """End them, or one, without a word: nothing would reach the notifier."""
        for key in [only] if only else list(self._wanted):
            if (subscription := self._wanted.pop(key, None)) is not None:
                subscription.abandon()

    # ---- making them ------------------------------------------------------------------------------------

    def _start(self, key: Key, subscription: Subscription) -> None:
        former = self._wanted.pop(key, None)
        if former is not None:
            self._tasks.spawn(former.stop())
        self._wanted[key] = subscription
        self._tasks.run(subscription, self._run(key, subscription))

    async def _run(self, key: Key, subscription: Subscription) -> None:
        try:
            await subscription.run()
        finally:
            if self._wanted.get(key) is subscription:
                del self._wanted[key]

    def _device_profile(self, sender: str) -> Subscription:
        senders = self._settings.senders
        event = (
            f"{PACKAGE};profile-type=device;vendor={quote(senders.vendor)}"
            f";model={quote(senders.model)};version={quote(senders.version)}"
        )
        return Subscription(
            self._agent, sender, event, _no_content, expires_s=86_400, name=f"device profile at {sender}",
            headers=[("Accept", "message/external-body, application/vnd.oma.push")],
        )  # fmt: skip

    def _content(
        self, application: str, target: str, preference: str, expires_s: int | None, *, referrer: str = ""
    ) -> Subscription:
        """`referrer`: who asked for it; what it asks for is done once and not by itself again."""

        async def content(request: Request) -> Answer:
            return await self._delivery.of_subscription(request, application, referrer or target)

        accept = self._applications[application].accept or self._settings.accept
        types = dict.fromkeys((*accept, "application/vnd.oma.push", *self._agent.link_types()))
        subscription = Subscription(
            self._agent,
            target,
            f"{PACKAGE};profile-type={CONTENT_PROFILE}",
            content,
            headers=[
                ("Accept-Contact", preference),
                ("Accept", ", ".join(types)),
                ("Accept-Encoding", "gzip, deflate, identity"),
            ],
            expires_s=self._settings.subscription_s if expires_s is None else expires_s,
            name=f"{application} at {target}",
            again=not referrer,
        )
        self._start((application, target), subscription)
        return subscription


async def _no_content(_request: Request) -> Answer:
    """A NOTIFY about the device's profile: whatever it brings is taken (PROP-CAP-2)."""
    return Answer(200, "OK")
