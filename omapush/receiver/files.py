"""From a file that is offered to the application, and from its octets to one push (RFC 5547 8.3.1)."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import tempfile
from collections.abc import Hashable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from omapush import log
from omapush.errors import PushError
from omapush.protocol import content_coding
from omapush.protocol.file_transfer import FileRange, FileSelector, safe_file_name
from omapush.protocol.msrp_media import MessageMedia
from omapush.protocol.multipart import media_type
from omapush.protocol.wrapped_push import WRAPPED_TYPE, unwrap
from omapush.receiver.agent import Agent
from omapush.receiver.delivery import Delivery
from omapush.receiver.endpoint import Request
from omapush.receiver.file_offers import Line
from omapush.receiver.incoming import Message
from omapush.receiver.once import Decision, Once
from omapush.receiver.push import AnswerWith, FileOffer, Push, Reason, Refused
from omapush.receiver.settings import Play
from omapush.receiver.spool import Shelf, Spool

_STATUS: Final = {Reason.TYPE: 415, Reason.TOO_LARGE: 413, Reason.NO_ROOM: 413}
"MSRP status of a refusal after the content came; all others are 403."


@dataclass(frozen=True, slots=True)
class Wanted:
    """One m-line that passed all checks: what comes over it, from whom, and for which application."""

    line: Line
    message: MessageMedia
    name: str
    "Of the application, in lower case."
    senders: tuple[str, ...]
    accept: tuple[str, ...]
    push_id: str
    headers: tuple[tuple[str, str], ...]

    @property
    def selector(self) -> FileSelector:
        return self.line.file.selector if self.line.file else FileSelector()

    @property
    def key(self) -> str:
        """Names an interrupted file, the same for the same file of the same sender; empty: none is kept."""
        digest = self.selector.digest()
        if digest is None or not self.selector.size:
            return ""
        named = "\0".join((self.senders[0], self.name, digest.hex(), str(self.selector.size)))
        return hashlib.sha256(named.encode()).hexdigest()[:32]


class Files:
    """The way of files to the applications of one device."""

    def __init__(self, agent: Agent, delivery: Delivery) -> None:
        self._agent = agent
        self._settings = agent.settings.sessions
        self._delivery = delivery
        self._shelf: Shelf | None = None
        self._temporary: Path | None = None
        self._taken = Once(
            agent.uri,
            most=agent.settings.limits.remembered,
            memory=agent.settings.memory,
            taken=200,
            failed=413,
            repeated=delivery.repeated,
        )
        self.stopped = 0
        "Files in whose middle the device stopped, as it was told."

    # ---- before it comes --------------------------------------------------------------------------------

    async def asked(self, request: Request, line: Line, senders: tuple[str, ...]) -> Wanted:
        """
        Return what is taken of an m-line, once its application said yes.

        Raises:
            Refused: by a rule or by the application. MalformedSip: what names the application cannot be read.
        """
        if line.message is None:
            raise AnswerWith(488, line.why_not, phrase="Not Acceptable Here")
        selector = line.file.selector if line.file else FileSelector()
        essence = (selector.media_type or "").partition(";")[0].strip().lower()
        wrapped = essence == WRAPPED_TYPE
        name = self._delivery.addressee(request.message, senders, "" if wrapped else essence)
        if (selector.size or 0) > self._settings.file_bytes:
            raise Refused(Reason.TOO_LARGE, f"the file is above {self._settings.file_bytes} bytes")
        ari, application = self._delivery.application(name)
        accept = self._delivery.accepted(name)
        wanted = Wanted(
            line=line,
            message=line.message,
            name=name,
            senders=senders,
            accept=("*",) if "*/*" in accept else (*accept, WRAPPED_TYPE),
            push_id=request.message.first("x-push-id") or "",
            headers=request.message.headers,
        )
        if application.offered is not None:
            offer = FileOffer(
                application=ari,
                sender=senders[0],
                content_type=essence,
                size=selector.size,
                name=safe_file_name(selector.name, "") if selector.name else "",
                hashes=selector.hashes,
                disposition=(line.file.disposition if line.file else None) or "",
                push_id=wanted.push_id,
                headers=wanted.headers,
            )
            await self._delivery.asked(name, application.offered, offer)
        return wanted

    # ---- on its way -------------------------------------------------------------------------------------

    def open(self, wanted: Wanted) -> Spool:
        """Return where the file is written, with what an earlier transfer left of it; raises OSError."""
        spool = self._opened_shelf().open(wanted.key)
        if spool.prefix >= (wanted.selector.size or 0):
            spool.start_over()  # all of it was there once, and it was not taken
        return spool

    def _opened_shelf(self) -> Shelf:
        if self._shelf is None:
            folder = self._settings.folder
            if folder is None:
                folder = self._temporary = Path(tempfile.mkdtemp(prefix="omapush-receiver-"))
            self._shelf = Shelf(Path(folder), most_partial=self._settings.partial_files)
        return self._shelf

    def play(self) -> Play:
        """Return how the device misbehaves with the next file."""
        told = self._settings.play
        return replace(told, stop_at=0) if 0 < told.stop_times <= self.stopped else told

    def missing(self, wanted: Wanted, spool: Spool) -> FileRange | None:
        """
        Return the part of a file that is asked for in the answer; None: nothing is there yet.

        Raises:
            Refused: the sender offers a part that does not join what is here.
        """
        offered = wanted.line.file.range if wanted.line.file else None
        if offered is not None:
            if offered.start - 1 > spool.prefix:
                raise Refused(Reason.NO_ROOM, f"only {spool.prefix} bytes of the file are here")
            return offered
        return FileRange(spool.prefix + 1, wanted.selector.size) if spool.prefix else None

    def tidy(self) -> None:
        """Keep no more interrupted files than the settings say."""
        if self._shelf is not None:
            self._shelf.tidy()

    def close(self) -> None:
        """Remove what was only kept for the life of the device."""
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)

    # ---- when it is there -------------------------------------------------------------------------------

    async def arrived(self, wanted: Wanted, message: Message, spool: Spool) -> int:
        """
        Hand a content over that is whole, once, and return the MSRP status that says how that went.

        Never raises for what the sender or the application did.
        """
        try:
            if why_not := await self._damage(wanted, message, spool):
                self._delivery.refuse("INVITE", why_not)
                return 400
            return await self._once(wanted, message, spool)
        except OSError as error:
            log.get().error("file_not_written", reason=str(error.strerror))
            return 413
        finally:
            spool.drop()  # unless it has got its place

    async def _damage(self, wanted: Wanted, message: Message, spool: Spool) -> str:
        """Return what differs from what was told of the file; empty: nothing."""
        selector = wanted.selector
        size = message.offset + (message.total or 0)
        if selector.size is not None and selector.size != size:
            return f"{size} bytes came of a file of {selector.size}"
        digest = selector.digest()
        if digest is not None and await asyncio.to_thread(spool.sha1) != digest:
            return "the file does not have the hash that was told"
        return ""

    async def _once(self, wanted: Wanted, message: Message, spool: Spool) -> int:
        sender = wanted.senders[0]
        keys: list[Hashable] = [("message", sender, message.message_id)]
        if wanted.line.transfer_id:
            keys.append(("transfer", sender, wanted.line.transfer_id))
        if wanted.push_id:
            keys.append(("push", sender, wanted.push_id, wanted.selector.hashes))
        return await self._taken.decide(
            keys, lambda: self._handed_over(wanted, message, spool, self._taken.names(keys)), anew=keys
        )

    async def _handed_over(
        self, wanted: Wanted, message: Message, spool: Spool, names: tuple[str, ...]
    ) -> Decision[int]:
        push = Push(b"", "", "", "", "")
        try:
            push = replace(self._record(wanted, message, spool), names=names)
            await self._delivery.hand_over(push, wanted.name)
        except Refused as error:
            self._delivery.refuse("INVITE", str(error))
            if push.path is not None:
                push.path.unlink(missing_ok=True)
            return Decision(_STATUS.get(error.reason, 403), is_taken=False)
        except PushError as error:
            self._delivery.refuse("INVITE", str(error))
            return Decision(error.sip_status if error.sip_status in (413, 415) else 400, is_taken=False)
        self._delivery.delivered += 1
        return Decision(200, is_taken=True)

    def _record(self, wanted: Wanted, message: Message, spool: Spool) -> Push:
        """Return the record; a large content gets its place in the folder."""
        size = message.offset + (message.total or 0)
        content_type = message.head.content_type or ""
        written = _disposition(message)
        told = wanted.line.file.disposition if wanted.line.file else None
        push = Push(
            content=b"",
            content_type=content_type,
            application=self._delivery.application(wanted.name)[0],
            sender=wanted.senders[0],
            method="INVITE",
            headers=(*wanted.headers, *message.head.headers),
            push_id=wanted.push_id,
            size=size,
            name=safe_file_name(wanted.selector.name, "") if wanted.selector.name else "",
            disposition=written or told or "",
        )
        coding = message.head.header("Content-Encoding") or ""
        most = self._agent.settings.limits.content_bytes
        if media_type(content_type, "Content-Type").essence == WRAPPED_TYPE:
            if size > most:
                raise Refused(Reason.TOO_LARGE, "the wrapped push is too large")
            content = content_coding.decode(spool.path.read_bytes(), coding, most_bytes=most)
            push = _unwrapped(push, content, most_bytes=most)
        elif size <= self._settings.in_memory_bytes or coding:
            most = self._settings.file_bytes
            content = content_coding.decode(spool.path.read_bytes(), coding, most_bytes=most)
            push = replace(push, content=content, size=len(content))
        else:
            place = self._opened_shelf().place(push.name)
            spool.take(place)
            push = replace(push, path=place)
        return replace(
            push,
            initiator_uri=push.header("X-Wap-Initiator-URI") or "",
            content_uri=push.header("X-Wap-Content-URI") or push.header("Content-Location") or "",
        )


def _unwrapped(push: Push, data: bytes, *, most_bytes: int) -> Push:
    inside = unwrap(data)
    coding = inside.header("content-encoding") or ""
    return replace(
        push,
        content=content_coding.decode(inside.content, coding, most_bytes=most_bytes),
        content_type=inside.header("content-type") or "",
        headers=(*push.headers, *inside.headers),
        size=-1,
        wrapped=True,
    )


def _disposition(message: Message) -> str:
    """Return the type of Content-Disposition; what is neither `render` nor known counts as `attachment`."""
    written = message.head.header("Content-Disposition")
    if written is None:
        return ""
    kind = written.partition(";")[0].strip().lower()
    return "render" if kind in ("render", "inline") else "attachment"
