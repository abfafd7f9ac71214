"""Requests of one device that belong together: a dialog, or what has only its Call-ID and CSeq."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import Final

from omapush.protocol.name_addr import parse_list
from omapush.protocol.sip_core import Core
from omapush.protocol.sip_message import SipMessage
from omapush.protocol.sip_uri import as_request_uri
from omapush.receiver.agent import USER_AGENT, Agent
from omapush.receiver.routing import path
from omapush.receiver.transactions import Moved
from omapush.receiver.transport import TransportFailed

Headers = Sequence[tuple[str, str]]
_MOST_TRIES: Final = 5
"Of one request: challenge, synchronisation (AKA), stale nonce, another address."


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
        self.call_id = call_id or f"{secrets.token_hex(10)}@{agent.endpoint.local[0]}"
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
        self, method: str, headers: Headers | Callable[[], Headers], body: bytes = b"", *, target: str = ""
    ) -> SipMessage:
        """
        Send the next request, answering challenges, and return its final response.

        `headers` that name our address are a function: after a move they are written anew, and the request
        is sent again from there.

        Raises:
            NoAnswer, TransportFailed: there is none.
            MalformedSip, NotOurNetwork: a challenge that cannot be answered.
        """
        way = path(target or self.target, self.route, in_dialog=bool(self.remote_tag))
        proof: list[tuple[str, str]] = []
        response: SipMessage | None = None
        written: Headers | None = None
        for _ in range(_MOST_TRIES):
            if method != "REGISTER":
                await self._agent.settled.wait()
            self._cseq += 1
            if written is None:
                written = headers() if callable(headers) else headers
            lines = [*self._headers(method, way.routes), *_without(written, proof), *proof]
            try:
                response = await self._agent.endpoint.request(
                    method, way.request_uri, lines, body, hop=way.hop
                )
            except Moved:
                written = None
                continue
            answer = self._agent.authenticator.answer(response, method, way.request_uri)
            if answer is None:
                return response
            proof = [one for one in proof if one[0] != answer[0]] + [answer]
        if response is None:
            raise TransportFailed("the device moves too often")
        return response

    def _headers(self, method: str, routes: Sequence[str]) -> list[tuple[str, str]]:
        to = f"<{self.remote_uri}>" + (f";tag={self.remote_tag}" if self.remote_tag else "")
        found = [
            *(("Route", f"<{uri}>") for uri in routes),
            ("From", f"<{self._agent.uri}>;tag={self.local_tag}"),
            ("To", to),
            ("Call-ID", self.call_id),
            ("CSeq", f"{self._cseq} {method}"),
            ("User-Agent", USER_AGENT),
        ]
        if self._agent.settings.access_network:
            found.append(("P-Access-Network-Info", self._agent.settings.access_network))
        return found


def _without(headers: Headers, replaced: Headers) -> list[tuple[str, str]]:
    names = {name.lower() for name, _ in replaced}
    return [header for header in headers if header[0].lower() not in names]
