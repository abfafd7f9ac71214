"""One user on one device: identity, contact, route, secrets; and the requests sent in that name."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from omapush.protocol import content_coding, external_body
from omapush.protocol.feature_tags import PUSH_TAG
from omapush.protocol.name_addr import parse_list
from omapush.protocol.sip_core import Core
from omapush.protocol.sip_message import SipMessage
from omapush.protocol.sip_uri import SipUri, as_request_uri
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
_MOST_TRIES: Final = 4
"Of one request: challenge, synchronisation (AKA), stale nonce."


Tell = Callable[[str, Mapping[str, object]], None]
"An event's name and its fields."


def _nobody(_event: str, _fields: Mapping[str, object]) -> None:
    return


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
        loose = str(proxy) if proxy.param("lr") or ";lr" in str(proxy) else f"{proxy};lr"
        return (loose, *self.service_route)


class Dialog:
    """
    Requests with one Call-ID and a CSeq that grows.

    A dialog, or what only looks like one: all REGISTERs of a device, all its PUBLISH requests.
    """

    def __init__(
        self,
        agent: Agent,
        remote_uri: str,
        *,
        target: str = "",
        route: Sequence[str] = (),
        call_id: str = "",
        local_tag: str = "",
        remote_tag: str = "",
    ) -> None:
        self._agent = agent
        self.remote_uri = remote_uri
        self.target = target or remote_uri
        self.route = tuple(route)
        self.call_id = call_id or f"{secrets.token_hex(10)}@{agent.endpoint.transport.local[0]}"
        self.local_tag = local_tag or secrets.token_hex(6)
        self.remote_tag = remote_tag
        self.remote_cseq = -1
        self._cseq = 0

    @property
    def contact(self) -> str:
        """The Contact value of a request inside this dialog."""
        return self._agent.contact()[1]

    @classmethod
    def of_request(cls, agent: Agent, message: SipMessage, core: Core, local_tag: str) -> Dialog:
        """
        Return the dialog that a request to us makes (RFC 3261 12.1.1).

        Raises:
            MalformedSip: Contact or Record-Route cannot be read.
        """
        made = cls(
            agent, core.from_.uri, call_id=core.call_id, local_tag=local_tag,
            remote_tag=core.from_.param("tag") or "",
        )  # fmt: skip
        made.take_route(message)
        made.remote_cseq = core.cseq.number
        return made

    def take_route(self, message: SipMessage) -> None:
        """Take remote target and route set from a request of the other side."""
        self.refresh_target(message)
        routes = [
            one.uri for value in message.all("record-route") for one in parse_list(value, "Record-Route")
        ]
        self.route = tuple(routes)

    def refresh_target(self, message: SipMessage) -> None:
        """Take the remote target, if the request names one (RFC 6665 4.5: SUBSCRIBE and NOTIFY do)."""
        contact = message.first("contact")
        if contact is not None:
            self.target = as_request_uri(parse_list(contact, "Contact")[0].uri)

    async def request(
        self, method: str, headers: Sequence[tuple[str, str]], body: bytes = b"", *, target: str = ""
    ) -> SipMessage:
        """
        Send the next request, answering challenges, and return its final response.

        Raises:
            NoAnswer, TransportFailed: there is none.
            MalformedSip, NotOurNetwork: a challenge that cannot be answered.
        """
        uri = target or self.target
        proof: list[tuple[str, str]] = []
        for _ in range(_MOST_TRIES):
            self._cseq += 1
            response = await self._agent.endpoint.request(
                method,
                uri,
                [*self._headers(method), *_without(headers, proof), *proof],
                body,
                in_dialog=bool(self.remote_tag),
            )
            answer = self._agent.authenticator.answer(response, method, uri)
            if answer is None:
                break
            proof = [one for one in proof if one[0] != answer[0]] + [answer]
        return response

    def _headers(self, method: str) -> list[tuple[str, str]]:
        to = f"<{self.remote_uri}>" + (f";tag={self.remote_tag}" if self.remote_tag else "")
        found = [
            *(("Route", f"<{uri}>") for uri in self.route),
            ("From", f"<{self._agent.uri}>;tag={self.local_tag}"),
            ("To", to),
            ("Call-ID", self.call_id),
            ("CSeq", f"{self._cseq} {method}"),
            ("User-Agent", USER_AGENT),
        ]
        if self._agent.settings.access_network:
            found.append(("P-Access-Network-Info", self._agent.settings.access_network))
        return found


def _without(
    headers: Sequence[tuple[str, str]], replaced: Sequence[tuple[str, str]]
) -> list[tuple[str, str]]:
    names = {name.lower() for name, _ in replaced}
    return [header for header in headers if header[0].lower() not in names]
