"""One user on one device: identity, contact, route, secrets."""

from __future__ import annotations

import asyncio
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from omapush import log
from omapush.protocol import content_coding, external_body
from omapush.protocol.feature_tags import PUSH_TAG
from omapush.protocol.sip_uri import SipUri, loose
from omapush.receiver.authentication import Authenticator
from omapush.receiver.endpoint import METHODS, Endpoint
from omapush.receiver.settings import Settings
from omapush.receiver.subscriber_rules import PACKAGE

USER_AGENT: Final = "omapush-receiver"
_TAKEN: Final = ("MESSAGE", "NOTIFY", "REFER", "OPTIONS")
"The methods tag: what a device is sent from outside."
_IN_SESSIONS: Final = ("INVITE", "ACK", "BYE", "CANCEL")
SUPPORTED: Final = ("Supported", "pref, path, gruu, norefersub")
ALLOW_EVENTS: Final = ("Allow-Events", f"{PACKAGE}, refer")


Tell = Callable[[str, Mapping[str, object]], None]
"An event's name and its fields."


def _nobody(_event: str, _fields: Mapping[str, object]) -> None:
    return


def not_failing(listener: Tell) -> Tell:
    """Return a listener whose exceptions are logged: what it is told of goes on, whatever it makes of it."""

    def tell(event: str, fields: Mapping[str, object]) -> None:
        try:
            listener(event, fields)
        except Exception:  # noqa: BLE001 - the program's own, and no reason to lose the registration
            log.get().exception("listener_failed", told=event)

    return tell


class Agent:
    """What registration, subscriptions and publication have in common."""

    def __init__(self, settings: Settings, endpoint: Endpoint, applications: Sequence[str]) -> None:
        """
        Raises:
            MalformedSip: the identity is no SIP URI.
        """
        self.settings = settings
        self.endpoint = endpoint
        self.uri = settings.uri
        self.home = SipUri.parse(settings.uri, "uri").host
        self.applications = tuple(applications)
        self.tell: Tell = _nobody
        self.in_push = True
        "False: the device left push and stays registered (PRA-REG-6)."
        self.instance = settings.instance or f"urn:uuid:{uuid.uuid4()}"
        self.authenticator = Authenticator(settings.credentials, settings.uri)
        self.gruu = ""
        self.settled = asyncio.Event()
        "Not set while the device moves: only REGISTER goes out from an address that nobody knows yet."
        self.settled.set()
        self.dropped_contacts: deque[str] = deque(maxlen=32)
        "Those of earlier addresses, which the device has removed: that they end says nothing of this one."
        self.service_route: tuple[str, ...] = ()
        self.contact_user = SipUri.parse(settings.uri, "uri").user.partition(":")[0] or "device"

    @property
    def contact_uri(self) -> str:
        """Where this device is reached."""
        return self.endpoint.contact_uri(self.contact_user)

    def feature_tags(self) -> str:
        """Return the parameters of the Contact: instance, applications, methods (RFC 3840 9, PRA-REG-3)."""
        tags = [f';+sip.instance="<{self.instance}>"']
        if self.in_push and self.applications:
            tags.append(f';{PUSH_TAG}="{",".join(self.applications)}"')
        if self.settings.sessions.enabled:
            tags.append(";+sip.message")
        tags.append(f';methods="{",".join(self.methods())}"')
        return "".join(tags)

    def allow(self) -> str:
        """Return the value of Allow: also what only comes inside dialogs."""
        kept = METHODS if self.settings.sessions.enabled else tuple(set(METHODS) - {"INVITE", "ACK", "BYE"})
        return ", ".join(one for one in METHODS if one in kept)

    def methods(self) -> tuple[str, ...]:
        """Return the methods that this device is sent from outside."""
        return _TAKEN + (_IN_SESSIONS if self.settings.sessions.enabled else ())

    def contact(self) -> tuple[str, str]:
        """Return the Contact of requests and responses that make a dialog: the GRUU when there is one."""
        return "Contact", f'<{self.gruu or self.contact_uri}>;+sip.instance="<{self.instance}>"'

    def link_types(self) -> tuple[str, ...]:
        """Return what Accept says besides content types when links are followed (RFC 4483 4.2)."""
        return (external_body.TYPE,) if self.settings.links.domains else ()

    def capabilities(self) -> list[tuple[str, str]]:
        """Return what answers to OPTIONS and 415 say (RFC 3261 11.2)."""
        return [
            ("Allow", self.allow()),
            ("Accept", ", ".join((*self.settings.accept, *self.link_types()))),
            ("Accept-Encoding", ", ".join(content_coding.CODINGS)),
            SUPPORTED,
            ALLOW_EVENTS,
        ]

    def preloaded_route(self) -> tuple[str, ...]:
        """Return the Route of requests outside dialogs: the proxy, then Service-Route (RFC 3608)."""
        proxy = SipUri.parse(self.endpoint.proxy, "proxy")
        if self.service_route:
            first = SipUri.parse(self.service_route[0], "Service-Route")
            if (first.host.lower(), first.port or 5060) == (proxy.host.lower(), proxy.port or 5060):
                return self.service_route
        return (loose(str(proxy)), *self.service_route)
