"""All sessions of one device: who may open one, and which request belongs to which (PRA-MSRP-1..4)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from omapush.errors import PushError
from omapush.protocol.feature_sets import FeatureSet
from omapush.protocol.session_body import SDP_TYPE
from omapush.protocol.sip_core import Core, seconds
from omapush.receiver.agent import Agent
from omapush.receiver.delivery import Answer, Delivery, refusal, respond
from omapush.receiver.endpoint import Request, warning
from omapush.receiver.file_offers import session_description
from omapush.receiver.files import Files
from omapush.receiver.media_tls import MediaTls
from omapush.receiver.push import AnswerWith, Reason, Refused
from omapush.receiver.session import Session, out_of_order

_RING_S: Final = 0.2
"An answer that takes longer is announced by 180."
_NO_SESSION: Final = Answer(481, "Call/Transaction Does Not Exist")


class Sessions:
    """INVITE, BYE and ACK of one device."""

    def __init__(self, agent: Agent, delivery: Delivery) -> None:
        self._agent = agent
        self._settings = agent.settings.sessions
        self._delivery = delivery
        self._files = Files(agent, delivery)
        MediaTls(self._settings)  # a certificate that cannot be used is told at the start
        self._sessions: dict[tuple[str, str], Session] = {}
        "By Call-ID and our tag."
        self._pending = 0
        self._closing = False
        self._spawned: set[asyncio.Task[None]] = set()

    @property
    def open(self) -> int:
        """How many there are now."""
        return len(self._sessions)

    # ---- INVITE -----------------------------------------------------------------------------------------

    async def invite(self, request: Request, features: Callable[[], FeatureSet]) -> None:
        """Answer an INVITE, of a new session or of one that is there."""
        expires_s = seconds(request.message.first("expires"), "Expires")
        loop = asyncio.get_running_loop()
        work = loop.create_task(self._judged(request, features))
        taken_back = False

        def cancel() -> None:
            nonlocal taken_back
            taken_back = True
            work.cancel()

        request.invite.on_cancel = cancel
        request.provisional(100, "Trying")
        timers = [loop.call_later(_RING_S, self._ring, request)]
        if expires_s:  # RFC 3261 13.3.1: as if it was taken back then
            timers.append(loop.call_later(expires_s, cancel))
        try:
            await work
        except asyncio.CancelledError:
            if not taken_back:
                raise
            request.answer(487, "Request Terminated")
            self._agent.tell("session_cancelled", {"sender": request.core.from_.uri})
        finally:
            for timer in timers:
                timer.cancel()
            request.invite.on_cancel = None

    async def _judged(self, request: Request, features: Callable[[], FeatureSet]) -> None:
        try:
            await self._answered(request, features)
        except Refused as error:
            self._delivery.refuse("INVITE", str(error))
            respond(request, _refusal(error))
            if not error.status:  # it rings, and nobody answers
                await asyncio.sleep(self._settings.total_s)
        except PushError as error:
            self._delivery.refuse("INVITE", str(error))
            request.refuse(error)

    def _ring(self, request: Request) -> None:
        request.provisional(180, "Ringing", [self._agent.contact()])

    async def _answered(self, request: Request, features: Callable[[], FeatureSet]) -> None:
        if request.core.to.param("tag") is not None:
            session = self._of(request.core)
            if session is None:
                respond(request, _NO_SESSION)
            else:
                await session.reinvite(request, self._lines(request))
            return
        if self._closing:
            raise Refused(Reason.UNAVAILABLE, "the device stops")
        if len(self._sessions) + self._pending >= self._settings.sessions:
            raise AnswerWith(486, "too many sessions", phrase="Busy Here")
        self._pending += 1
        try:
            await self._begin(request, self._delivery.admitted(request, features()))
        finally:
            self._pending -= 1

    async def _begin(self, request: Request, senders: tuple[str, ...]) -> None:
        body = self._lines(request)
        session = Session(self._agent, self._files, self._delivery, request, senders)
        session.ended = self._forget
        self._sessions[session.key] = session
        try:
            await session.begin(request, body)
        finally:
            if not session.is_open:
                self._forget(session)

    @staticmethod
    def _lines(request: Request) -> bytes:
        """The session description; one that is not there cannot be made up by a device that only receives."""
        body = session_description(request.message)
        if body is None and request.message.body:
            raise AnswerWith(415, "a session description is needed", phrase="Unsupported Media Type")
        if body is None:
            raise AnswerWith(488, "nothing is offered", phrase="Not Acceptable Here")
        return body

    # ---- ACK, BYE ---------------------------------------------------------------------------------------

    def acknowledged(self, core: Core) -> None:
        """The ACK of a 2xx came."""
        session = self._of(core)
        if session is not None:
            session.acknowledged(core.cseq.number)

    def bye(self, request: Request) -> None:
        """Answer a BYE, then free what its session held (PRA-MSRP-1..3)."""
        session = self._of(request.core)
        if session is None:
            respond(request, _NO_SESSION)
            return
        if request.core.cseq.number <= session.dialog.remote_cseq:
            respond(request, refusal(out_of_order()))
            return
        request.answer(200, "OK")
        if session.is_open:
            session.end("the sender ended it")
        else:  # it is not answered yet (RFC 3261 15.1.2)
            session.first.cancel()

    async def close(self, *, say_so: bool) -> None:
        """End all sessions, with BYE when `say_so`."""
        self._closing = True
        sessions = list(self._sessions.values())
        if say_so:
            await asyncio.gather(*(one.hang_up("the device stops") for one in sessions))
        for session in sessions:
            session.end("the device stops")
        self._files.close()

    def _of(self, core: Core) -> Session | None:
        session = self._sessions.get((core.call_id, core.to.param("tag") or ""))
        return session if session and session.dialog.remote_tag == core.from_.param("tag") else None

    def _forget(self, session: Session) -> None:
        self._sessions.pop(session.key, None)


def _refusal(error: Refused) -> Answer:
    """What a refusal becomes in answer to an INVITE, whose own body is not what is refused."""
    if not isinstance(error, AnswerWith) and error.reason is Reason.TYPE:
        return Answer(488, "Not Acceptable Here", (warning(str(error)),))
    if error.status == 415:
        return Answer(415, error.phrase, (("Accept", SDP_TYPE), warning(str(error))))
    return refusal(error)
