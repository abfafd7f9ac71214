"""The push capabilities as presence: PUBLISH (RFC 3903) of a PIDF document (RFC 5196), SCR PRA-C-002."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from omapush.errors import MalformedSip, PushError
from omapush.protocol import pidf
from omapush.protocol.sip_core import seconds
from omapush.protocol.sip_message import SipMessage
from omapush.receiver.agent import Agent
from omapush.receiver.dialog import Dialog

SERVICE_PREFIX: Final = "omapush:"
"Before the ARI it names the service of a tuple."
_ASKED_S: Final = 3_600
_RETRY_S: Final = 32.0
_LONGEST_RETRY_S: Final = 3_600.0
_GOODBYE: Final = 4
"Times T1: how long a stopping device waits for the answer."


class Publication:
    """The state that we keep at the presence server."""

    def __init__(self, agent: Agent, accept: dict[str, tuple[str, ...]]) -> None:
        """`accept`: content types by application."""
        self._agent = agent
        self._accept = accept
        self._dialog: Dialog | None = None
        self.etag = ""
        "Names what the server has of us; empty: nothing."
        self._asked_s = _ASKED_S
        self._granted_s = _ASKED_S
        self.published = 0
        "Successful PUBLISH requests."
        self.refused = ""
        "Why nothing is published; empty: it is, or not asked yet."

    async def run(self) -> None:
        """Publish and refresh until cancelled; give up when the server does not want it."""
        failures = 0
        while True:
            response = await self._publish(refresh=bool(self.etag))
            status = response.status if response else 408
            if status == 200:
                failures = 0
                await asyncio.sleep(self._granted_s / 2)
            elif status in (403, 404, 405, 406, 415, 489, 501, 603):
                self.refused = f"PUBLISH refused with {status}"
                self._agent.tell("publication_failed", {"reason": self.refused})
                return
            else:
                failures += 1
                await asyncio.sleep(min(_RETRY_S * 2 ** (failures - 1), _LONGEST_RETRY_S))

    async def stop(self) -> None:
        """Take the document away."""
        if self.etag:
            with suppress(TimeoutError):
                async with asyncio.timeout(_GOODBYE * self._agent.settings.timers.t1_s):
                    await self._send(0, b"")
            self.etag = ""

    def document(self) -> bytes:
        """Return the presence document: a tuple for each application."""
        return pidf.write(
            self._agent.uri,
            [
                pidf.Service(
                    id=f"push{number}",
                    open=True,
                    contact=self._agent.gruu or self._agent.uri,
                    device=self._agent.instance,
                    service_id=f"{SERVICE_PREFIX}{application}",
                    types=types,
                    refused=(),
                    methods=self._methods(),
                )
                for number, (application, types) in enumerate(self._accept.items(), start=1)
            ],
        )

    def _methods(self) -> tuple[str, ...]:
        """Those that bring a push."""
        return tuple(one for one in ("MESSAGE", "NOTIFY", "REFER", "INVITE") if one in self._agent.methods())

    async def _publish(self, *, refresh: bool) -> SipMessage | None:
        """One PUBLISH with what its answer asks for: longer expiry (423), from the beginning (412)."""
        for _ in range(3):
            response = await self._send(self._asked_s, b"" if refresh else self.document())
            if response is None:
                return None
            if response.status == 412:
                self.etag, refresh = "", False
            elif response.status == 423 and (least := _least(response)) and least > self._asked_s:
                self._asked_s = least
            else:
                break
        if response is not None and response.status == 200:
            self.published += 1
            self.refused = ""
            self._agent.tell("published", {"etag": response.first("sip-etag") or ""})
            self.etag = response.first("sip-etag") or ""
            with suppress(MalformedSip):
                self._granted_s = seconds(response.first("expires"), "Expires") or self._asked_s
        return response

    async def _send(self, expires_s: int, body: bytes) -> SipMessage | None:
        if self._dialog is None:
            self._dialog = Dialog(self._agent, self._agent.uri, route=self._agent.preloaded_route())
        headers = [("Event", "presence"), ("Expires", str(expires_s))]
        if self.etag:
            headers.append(("SIP-If-Match", self.etag))
        if body:
            headers.append(("Content-Type", pidf.PIDF_TYPE))
        try:
            return await self._dialog.request("PUBLISH", headers, body)
        except PushError as error:
            self.refused = str(error)
            self._agent.tell("publication_failed", {"reason": str(error)})
            return None


def _least(response: SipMessage) -> int | None:
    try:
        return seconds(response.first("min-expires"), "Min-Expires")
    except MalformedSip:
        return None
