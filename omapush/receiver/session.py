"""
One INVITE dialog of the device, from its offer to its BYE (RFC 3261 13.3, 14.2, 15; RFC 3264; RFC 5547 8.3).

A session without ACK, and one in which nothing moves, is ended with BYE. A connection that breaks ends
nothing by itself: the sender may agree on a new one (re-INVITE), and what came is kept for it.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Coroutine
from contextlib import suppress
from itertools import zip_longest
from typing import Any, Final

from omapush import clock, log
from omapush.errors import PushError
from omapush.protocol.file_transfer import FileTransfer
from omapush.protocol.sdp import Address, Media, Origin, SessionDescription
from omapush.protocol.session_body import SDP_TYPE
from omapush.receiver.agent import SUPPORTED, Agent
from omapush.receiver.delivery import Delivery
from omapush.receiver.dialog import Dialog
from omapush.receiver.endpoint import Request
from omapush.receiver.file_offers import Line, answer, read_offer, require_same_lines
from omapush.receiver.files import Files
from omapush.receiver.incoming import Incoming
from omapush.receiver.invite_transaction import InviteTransaction
from omapush.receiver.push import AnswerWith, Reason, Refused
from omapush.receiver.stream import FileStream, RefusedStream, Stream, is_other_file, take

_GOODBYE: Final = 8
"Times T1: how long the answer to a BYE of ours is waited for."
_LEAST_WATCH_S: Final = 0.05


class Session:
    """A dialog with its m-lines; `ended` is called once, when it is over."""

    def __init__(
        self, agent: Agent, files: Files, delivery: Delivery, request: Request, senders: tuple[str, ...]
    ) -> None:
        """Raises MalformedSip: Contact or Record-Route cannot be read."""
        self._agent = agent
        self._settings = agent.settings.sessions
        self._files = files
        self._delivery = delivery
        self._senders = senders
        self.dialog = Dialog.of_request(agent, request.message, request.core, request.to_tag)
        self.first = request.invite
        "The INVITE that began it."
        self.ended: Callable[[Session], None] = lambda _: None
        self._media = agent.endpoint.media(self._settings)
        self._streams: list[Stream] = []
        self._origin = Origin(secrets.randbits(62), 0, Address.of(self._media.host))
        self._described: tuple[Media, ...] = ()
        self._invite: InviteTransaction | None = None
        self._invite_cseq = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._watch: asyncio.Task[None] | None = None
        self._hanging_up = False
        self.is_open = False

    @property
    def key(self) -> tuple[str, str]:
        """Call-ID and our tag."""
        return self.dialog.call_id, self.dialog.local_tag

    # ---- offers -----------------------------------------------------------------------------------------

    async def begin(self, request: Request, body: bytes) -> None:
        """
        Take the first offer, and answer 200.

        Raises:
            Refused: nothing of it is taken. PushError: it cannot be read, or there is no way to take it.
        """
        offer, lines = read_offer(body)
        refusals: list[Refused] = []
        try:
            for line in lines:
                self._streams.append(await self._stream(request, line, self._streams, refusals))
            taken = any(isinstance(one, FileStream) for one in self._streams)
            if not taken and not self._settings.refuse_by_port:
                raise refusals[0] if refusals else AnswerWith(488, "nothing is offered", phrase=_NOT_HERE)
            self._accept(request, offer, refusals)
        except BaseException:
            self.end("", tell=False)
            raise
        self.is_open = True
        told = {"sender": self._senders[0], "files": sum(one.media.port > 0 for one in self._streams)}
        self._agent.tell("session_opened", told)
        self._watch = asyncio.get_running_loop().create_task(_logged(self._watched()))

    async def reinvite(self, request: Request, body: bytes) -> None:
        """
        Take another offer: files that are closed, that are new, or that go on over another connection.

        Raises:
            PushError: it cannot be read or comes out of order; all stays as it is.
        """
        number = request.core.cseq.number
        if number <= self.dialog.remote_cseq:
            raise out_of_order()
        if self._invite is not None and self._invite.is_busy:
            raise AnswerWith(491, "the INVITE before has no ACK yet", phrase="Request Pending")
        offer, lines = read_offer(body)
        require_same_lines([one.media for one in self._streams], offer)
        self.dialog.remote_cseq = number
        self.dialog.refresh_target(request.message)
        refusals: list[Refused] = []
        streams: list[Stream] = []
        try:
            for former, line in zip_longest(self._streams, lines):
                taken = streams + self._streams[len(streams) :]
                streams.append(await self._renewed(request, former, line, taken, refusals))
        except BaseException:
            for stream in streams:
                if stream not in self._streams:
                    stream.close()
            raise
        self._streams = streams
        self._accept(request, offer, refusals)

    async def _renewed(
        self,
        request: Request,
        former: Stream | None,
        line: Line,
        others: list[Stream],
        refusals: list[Refused],
    ) -> Stream:
        if former is None:
            return await self._stream(request, line, others, refusals)
        if not line.is_closed and former.repeats(line) and not is_other_file(former, line):
            return former
        former.close()
        if line.is_closed or is_other_file(former, line):
            return RefusedStream(line)
        return await self._stream(request, line, [one for one in others if one is not former], refusals)

    async def _stream(
        self, request: Request, line: Line, others: list[Stream], refusals: list[Refused]
    ) -> Stream:
        """Return the stream of an m-line that is new, taken or refused."""
        if line.is_closed:
            return RefusedStream(line)
        try:
            if line.why_not:
                raise AnswerWith(488, line.why_not, phrase=_NOT_HERE)
            if sum(isinstance(one, FileStream) for one in others) >= self._settings.files:
                raise AnswerWith(486, "too many files at a time", phrase="Busy Here")
            wanted = await self._files.asked(request, line, self._senders)
            return await take(
                wanted,
                self._files,
                self._media,
                self._agent,
                lambda *parts: FileStream(self, self._agent, self._files, self._media, *parts),
            )
        except OSError as error:
            log.get().error("file_not_written", reason=str(error.strerror))
            refusals.append(Refused(Reason.NO_ROOM, "the file cannot be written"))
        except Refused as error:
            refusals.append(error)
        self._agent.tell("file_refused", {"file": _shown(line.file), "reason": str(refusals[-1])})
        return RefusedStream(line)

    def _accept(self, request: Request, offer: SessionDescription, refusals: list[Refused]) -> None:
        """Answer 200 with our description; its version grows when it says something new (RFC 3264 8)."""
        for refusal in refusals:
            self._delivery.refuse("INVITE", str(refusal))
        media = tuple(one.media for one in self._streams)
        if media != self._described:
            self._described = media
            self._origin = Origin(self._origin.session_id, self._origin.version + 1, self._origin.address)
        self._invite, self._invite_cseq = request.invite, request.core.cseq.number
        self._invite.on_silence = lambda: self.spawn(self.hang_up("no ACK came", acknowledged=True))
        headers = [
            *(("Record-Route", value) for value in request.message.all("record-route")),
            self._agent.contact(),
            ("Allow", self._agent.allow()),
            SUPPORTED,
            ("Content-Type", SDP_TYPE),
        ]
        if self._agent.settings.access_network:
            headers.append(("P-Access-Network-Info", self._agent.settings.access_network))
        request.answer(200, "OK", headers, answer(self._origin, self._media.host, media, offer))

    def acknowledged(self, number: int) -> None:
        """The ACK came of the INVITE with that number: media may flow."""
        if self._invite is None or number != self._invite_cseq or self._invite.is_acknowledged:
            return
        self._invite.acknowledged()
        for stream in self._streams:
            self.spawn(stream.confirmed())

    # ---- its end ----------------------------------------------------------------------------------------

    async def hang_up(self, why: str, *, acknowledged: bool = False) -> None:
        """
        End it with BYE, which has to wait for the ACK of our 2xx (RFC 3261 15).

        `acknowledged`: it came, or nobody waits for it any more.
        """
        if self._hanging_up or not self.is_open:
            return
        self._hanging_up = True
        if acknowledged or (self._invite is not None and self._invite.is_acknowledged):
            with suppress(PushError, TimeoutError):
                async with asyncio.timeout(_GOODBYE * self._agent.settings.timers.t1_s):
                    await self.dialog.request("BYE", [])
        self.end(why)

    def end(self, why: str, *, tell: bool = True) -> None:
        """Free all that it holds; a file that is not whole is kept for a later session."""
        was_open, self.is_open = self.is_open, False
        if self._invite is not None:
            self._invite.stop()
            self._invite.on_silence = None
        for stream in self._streams:
            stream.close()
        if self._watch is not None and self._watch is not asyncio.current_task():
            self._watch.cancel()
        if was_open and tell:
            octets = sum(stream.octets for stream in self._streams)
            self._agent.tell("session_ended", {"octets": octets, "reason": why})
        self.ended(self)

    async def _watched(self) -> None:
        """End it when nothing moves for long, or when it lasts too long."""
        end = clock.monotonic() + self._settings.total_s
        since, seen = clock.monotonic(), -1
        while True:
            await asyncio.sleep(max(self._settings.idle_s / 8, _LEAST_WATCH_S))
            now, octets = clock.monotonic(), sum(stream.octets for stream in self._streams)
            if octets != seen:
                since, seen = now, octets
            if now >= end:
                await self.hang_up(f"it lasts above {self._settings.total_s:g} s")
                return
            if now - since >= self._settings.idle_s:
                await self.hang_up(f"nothing moves for {self._settings.idle_s:g} s")
                return

    # ---- what its streams want --------------------------------------------------------------------------

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something that may outlive the session: a file that is whole is still handed over."""
        task = asyncio.get_running_loop().create_task(_logged(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def played(self, how: str, incoming: Incoming) -> None:
        """Stop as the device was told to."""
        self._agent.tell("stopped_in_the_middle", {"octets": incoming.octets, "by": how})
        if how == "close":
            self._media.abort(incoming)
        elif how in ("bye", "silence"):
            self._media.stop_reading(incoming)
        if how == "bye":
            self.spawn(self.hang_up("told to stop"))


_NOT_HERE: Final = "Not Acceptable Here"


def out_of_order() -> AnswerWith:
    """Return the refusal of a request that a later one has overtaken (RFC 3261 12.2.2)."""
    return AnswerWith(500, "CSeq is not above that before", phrase="Server Internal Error")


async def _logged(work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except Exception:  # noqa: BLE001 - the others go on
        log.get().exception("receiver_failed", task="session")


def _shown(file: FileTransfer | None) -> str:
    return str(file.selector) if file else ""
