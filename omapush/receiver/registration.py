"""
REGISTER: in, kept alive, out of push, out (PRA-REG-1..8).

RFC 3261 10, RFC 3327 (Path), RFC 3608 (Service-Route), RFC 5627 (GRUU), TS 24.229 5.1.1.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from omapush import clock, log
from omapush.errors import MalformedSip, PushError
from omapush.protocol.name_addr import NameAddr, parse_list, split_quoted
from omapush.protocol.sip_core import seconds
from omapush.protocol.sip_message import SipMessage
from omapush.receiver.agent import Agent
from omapush.receiver.dialog import Dialog
from omapush.receiver.transactions import NoAnswer
from omapush.receiver.transport import TransportFailed

_MOST_423: Final = 2
_MOST_FORMER: Final = 4
"Contacts of earlier addresses that one REGISTER removes."
_FIRST_RETRY_S: Final = 30.0
_LONGEST_RETRY_S: Final = 1800.0
"Longest wait between tries that fail: doubles between these (RFC 5626 4.5)."


class RegistrationFailed(PushError):
    """The registrar said no, or nothing; `status` is its code, 0 for no answer."""

    def __init__(self, status: int, text: str, *, retry_after_s: int = 0) -> None:
        super().__init__(f"registration failed: {text}")
        self.status = status
        self.retry_after_s = retry_after_s


class PreferencesNotSupported(RegistrationFailed):
    """The registrar does not keep feature tags: 420 to `Require: pref` (PRA-REG-4)."""


class Registration:
    """The binding of one device at its registrar."""

    def __init__(self, agent: Agent, registered: Callable[[], None], lost: Callable[[str], None]) -> None:
        """`registered` is called after each success, `lost` when a refresh failed, with the reason."""
        self._agent = agent
        self._registered = registered
        self._lost = lost
        self._dialog: Dialog | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._asking = asyncio.Lock()
        self._expires_s = agent.settings.expires_s
        self._require_pref = True
        self._contacts: list[str] = []
        "Contacts of ours that the registrar may hold, the newest last."
        self._registered_at = 0.0
        self._short_lived = 0
        "Bindings in a row that the network ended soon after it had granted them."
        self.granted_s = 0
        "Lifetime of the binding; 0: there is none, or its last refresh failed."
        self._ends_at = 0.0
        "When the registrar forgets the last binding that it granted."

    async def register(self) -> None:
        """
        Register, or refresh with what the agent says of itself now, and keep the binding alive.

        Raises:
            RegistrationFailed: and PreferencesNotSupported when only `Require: pref` was the trouble.
        """
        async with self._asking:
            self._take(await self._ask(self._expires_s))
            if len(self._contacts) > 1:
                self._take(await self._ask(self._expires_s))
        self._keep_alive()
        self._registered()

    async def deregister(self) -> None:
        """
        Remove the binding; nothing when there is none. One whose refresh failed is still there until its end.

        Raises:
            RegistrationFailed: it ends by itself at its time.
        """
        self._stop_keeping()
        async with self._asking:
            if self.granted_s or clock.monotonic() < self._ends_at:
                self.granted_s, self._ends_at = 0, 0.0
                await self._ask(0)

    async def move(self) -> None:
        """
        Register from the address that the device has now, and drop the binding of the one before.

        Raises:
            RegistrationFailed: nothing reaches the device; it is tried again by plan.
        """
        try:
            await self.register()
        except RegistrationFailed as error:
            self.granted_s = 0
            self._stop_keeping()
            self._keeper = asyncio.create_task(self._keep(max(error.retry_after_s, _FIRST_RETRY_S)))
            self._lost(str(error))
            raise

    async def again(self) -> None:
        """Register once more because requests to us no longer arrive; a failure is retried by plan."""
        self._stop_keeping()
        self._keeper = asyncio.create_task(self._keep(0.0))

    def taken_away(self, again_s: float | None) -> None:
        """
        Take note that the network ended the binding; register again after `again_s`, None: not by itself.

        A network that ends each binding as soon as it has granted it is not asked in a circle.
        """
        self._stop_keeping()
        self.granted_s, self._ends_at = 0, 0.0
        if again_s is None:
            return
        if clock.monotonic() - self._registered_at < _FIRST_RETRY_S:
            pause_s = min(_FIRST_RETRY_S * 2 ** (self._short_lived - 1), _LONGEST_RETRY_S)
            again_s = max(again_s, pause_s if self._short_lived else 0.0)
            self._short_lived += 1
        else:
            self._short_lived = 0
        self._keeper = asyncio.create_task(self._keep(again_s))

    def stop(self) -> None:
        """Refresh no more, and leave the binding."""
        self._stop_keeping()

    # ---- one REGISTER -----------------------------------------------------------------------------------

    async def _ask(self, expires_s: int) -> SipMessage:
        for _ in range(_MOST_423 + 2):
            response = await self._send(expires_s)
            if response.status == 423 and expires_s:
                expires_s = self._expires_s = _longer(response, expires_s)
            elif response.status == 420 and self._require_pref and _names_pref(response):
                if not self._agent.settings.pref_optional:
                    raise PreferencesNotSupported(
                        420, "the registrar does not support caller preferences (420 Unsupported: pref)"
                    )
                log.get().warning("registrar_without_preferences", uri=self._agent.uri)
                self._require_pref = False
            else:
                break
        if response.status != 200:
            raise _failure(response)
        return response

    async def _send(self, expires_s: int) -> SipMessage:
        agent = self._agent
        if self._dialog is None:
            self._dialog = Dialog(agent, agent.uri)
        uri = f"sip:{agent.home}"

        def headers() -> list[tuple[str, str]]:
            return [
                *self._bindings(expires_s),
                ("Expires", str(expires_s)),
                *([("Require", "pref")] if self._require_pref else ()),
                ("Supported", "path, gruu"),
                ("Allow", self._agent.allow()),
                *agent.authenticator.first(agent.home, uri),
            ]

        for left in reversed(range(agent.endpoint.proxy_addresses if expires_s else 1)):
            try:
                await agent.endpoint.ready()
                response = await self._dialog.request("REGISTER", headers, target=uri)
                break
            except PushError as error:
                if not left or not isinstance(error, NoAnswer | TransportFailed):
                    if expires_s:
                        await agent.endpoint.find_proxy_again()  # for the next try
                    raise RegistrationFailed(0, str(error)) from error
                log.get().warning("proxy_without_answer", uri=agent.uri, reason=str(error))
                agent.endpoint.use_next_proxy()
        if response.status == 200:
            del self._contacts[:-1]
        return response

    def _bindings(self, expires_s: int) -> list[tuple[str, str]]:
        """The Contact of the device, and those that it had before, to be removed (RFC 3261 10.2.2)."""
        agent = self._agent
        contact = agent.contact_uri
        self._contacts = [*[one for one in self._contacts if one != contact][-_MOST_FORMER:], contact]
        agent.dropped_contacts.extend(self._contacts[:-1])
        return [
            ("Contact", f"<{contact}>{agent.feature_tags()};expires={expires_s}"),
            *(("Contact", f"<{former}>;expires=0") for former in self._contacts[:-1]),
        ]

    def _take(self, response: SipMessage) -> None:
        agent = self._agent
        try:
            found = [one for value in response.all("contact") for one in parse_list(value, "Contact")]
            own = self._own_contact(found)
            expires = seconds(response.first("expires"), "Expires")
            granted = seconds(own.param("expires") if own else None, "Contact;expires")
            route = [
                one.uri
                for value in response.all("service-route")
                for one in parse_list(value, "Service-Route")
            ]
        except MalformedSip as error:
            raise RegistrationFailed(200, f"the answer cannot be read: {error}") from error
        if granted is None:
            granted = self._expires_s if expires is None else expires
        if granted == 0 or (own is None and response.first("contact") is not None):
            raise RegistrationFailed(200, "the answer does not list our contact")
        if own is not None:
            self._note_left_behind(found, own)
        agent.service_route = tuple(route)
        gruu = own.param("pub-gruu") if own else None
        if gruu and gruu.startswith("sip"):
            agent.gruu = gruu
        if not self.granted_s:
            self._registered_at = clock.monotonic()
        self.granted_s, self._ends_at = granted, clock.monotonic() + granted

    def _note_left_behind(self, found: list[NameAddr], own: NameAddr) -> None:
        """
        Have the bindings removed that this device left when it was killed or lost its network.

        They have its instance and its user part, and another host or port. Where the registrar writes our URI
        otherwise than we do, nobody can tell them from ours, and they stay until their time.
        """
        if own.uri == self._agent.contact_uri and own.param("+sip.instance"):
            left = [one.uri for one in found if one.uri != own.uri and _was_ours(one, own)]
            self._contacts = [*left, own.uri][-_MOST_FORMER - 1 :]

    def _own_contact(self, found: list[NameAddr]) -> NameAddr | None:
        """Ours among all of the user: both URI and instance fit, else either of them."""
        instance = f"<{self._agent.instance}>"
        for one in found:
            if one.param("+sip.instance") == instance and one.uri == self._agent.contact_uri:
                return one
        return next((one for one in found if one.uri == self._agent.contact_uri), None) or next(
            (one for one in found if one.param("+sip.instance") == instance), None
        )

    # ---- keeping it -------------------------------------------------------------------------------------

    def _keep_alive(self) -> None:
        current = asyncio.current_task()
        if self._keeper is not current:
            self._stop_keeping()
            self._keeper = asyncio.create_task(self._keep(refresh_in(self.granted_s)))

    def _stop_keeping(self) -> None:
        if self._keeper and self._keeper is not asyncio.current_task():
            self._keeper.cancel()
        self._keeper = None

    async def _keep(self, wait_s: float) -> None:
        failures = 0
        while True:
            await asyncio.sleep(wait_s)
            try:
                await self.register()
            except RegistrationFailed as error:
                failures += 1
                wait_s = max(error.retry_after_s, retry_in(failures))
                log.get().warning("registration_lost", uri=self._agent.uri, reason=str(error), retry_s=wait_s)
                self.granted_s = 0
                self._lost(str(error))
            else:
                failures = 0
                wait_s = refresh_in(self.granted_s)


def _was_ours(one: NameAddr, own: NameAddr) -> bool:
    """A flow of its own (`reg-id`) belongs to another client of the device, for we use none (RFC 5626)."""
    same = one.param("+sip.instance") == own.param("+sip.instance") and one.param("reg-id") is None
    return same and one.uri.partition("@")[0] == own.uri.partition("@")[0]


def retry_in(failures: int) -> float:
    """
    Return how long to wait after so many failures in a row, half of the longest wait at least (RFC 5626 4.5).

    What lost its registrar together does not come back together.
    """
    longest_s = min(_FIRST_RETRY_S * 2 ** min(failures - 1, 16), _LONGEST_RETRY_S)
    return float(longest_s * random.uniform(0.5, 1.0))


def refresh_in(granted_s: int) -> float:
    """Return when to refresh: 600 s before the end of a long lifetime, else at half (TS 24.229 5.1.1.4.1)."""
    return granted_s - 600 if granted_s > 1200 else granted_s / 2


def _longer(response: SipMessage, asked_s: int) -> int:
    """The lifetime that a 423 asks for; RegistrationFailed when it asks for nothing longer."""
    least = None
    with suppress(MalformedSip):
        least = seconds(response.first("min-expires"), "Min-Expires")
    if least is None or least <= asked_s:
        raise RegistrationFailed(423, f"423 Interval Too Brief with Min-Expires {least} for {asked_s} s")
    return least


def _names_pref(response: SipMessage) -> bool:
    values = response.all("unsupported")
    return any(tag.lower() == "pref" for value in values for tag in split_quoted(value, ",", "Unsupported"))


def _failure(response: SipMessage) -> RegistrationFailed:
    status = response.status or 0
    words = {401: "wrong credentials", 403: "forbidden", 404: "unknown user", 407: "wrong credentials"}
    retry_after = None
    with suppress(MalformedSip):
        retry_after = seconds(response.first("retry-after"), "Retry-After")
    detail = words.get(status, "refused")
    told = response.first("warning")
    text = f"{status}: {detail}" + (f" ({told[:200]})" if told else "")
    return RegistrationFailed(status, text, retry_after_s=retry_after or 0)
