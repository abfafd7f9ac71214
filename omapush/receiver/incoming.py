"""
What comes over one MSRP session: chunks are answered, messages are put together and reported (RFC 4975 7.3).

No sockets here: a connection hands over what it read, and takes what is to be sent.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from omapush import log
from omapush.protocol.msrp import (
    SEND,
    ByteRange,
    FailureReport,
    Flag,
    Request,
    Status,
    report_on,
    response_to,
    write_request,
    write_response,
)
from omapush.protocol.msrp_media import takes_type
from omapush.protocol.msrp_uri import MsrpUri
from omapush.receiver.settings import Play
from omapush.receiver.spool import Spool

_MOST_UNFINISHED: Final = 4
"Messages of one session that may be incomplete at a time."
_MOST_ENDED: Final = 64
"Message-IDs that are remembered to be over."


class Consumer(Protocol):
    """Who wants the messages of one session."""

    def opened(self, message: Message) -> None:
        """Give `message` its spool and offset; raises OSError."""

    def arrived(self, message: Message, spool: Spool) -> None:
        """All octets are there; `message.settle` is called when it is decided, now or later."""

    def stopped(self, how: str) -> None:
        """The device was told to stop here (`Play`), in this way."""


@dataclass(slots=True)
class Message:
    """One message on its way."""

    head: Request
    "Of its first chunk."
    limit: int
    "Octets of the largest message that is taken."
    settle: Callable[[int], None]
    "Tell the sender how it went: an MSRP status."
    spool: Spool | None = None
    offset: int = 0
    "Position in the file of the message's first octet."
    total: int | None = None
    "Octets of the message, once its last chunk has come."
    status: int = 200
    "Anything else: it is refused, and what still comes of it is dropped."

    @property
    def message_id(self) -> str:
        return self.head.message_id


class Chunk:
    """One request that is being read."""

    def __init__(self, end: Incoming, request: Request, message: Message | None, status: int) -> None:
        self._end = end
        self._request = request
        self._message = message
        self._status = status
        "What it is answered with."
        self._at = request.start - 1
        self._answered = False
        if status != 200:
            self._answer()

    def take(self, data: bytes | memoryview) -> None:
        """Take octets of its body; what is wrong with them is answered in the middle of it."""
        message = self._message
        self._end.octets += len(data)
        if message is None or message.spool is None or message.status != 200:
            return
        if self._at + len(data) > message.limit:
            self._refuse(message, 413)
            return
        try:
            message.spool.write(message.offset + self._at, data)
        except OSError as error:
            log.get().error("file_not_written", reason=str(error.strerror))
            self._refuse(message, 413)
            return
        self._at += len(data)
        self._end.play_stop(self, message)

    def end(self, flag: Flag) -> None:
        """The request has ended: answer it, and see whether its message is whole."""
        self._answer()
        if self._message is not None:
            self._end.chunk_ended(self._message, flag, self._at)

    def refuse(self, status: int) -> None:
        """Answer in the middle of it, and take no more of its message."""
        if self._message is not None:
            self._refuse(self._message, status)

    def _refuse(self, message: Message, status: int) -> None:
        self._status = message.status = status
        if message.spool is not None:
            message.spool.drop()
        self._answer()

    def _answer(self) -> None:
        if self._answered:
            return
        self._answered = True
        code = self._status if self._status != 200 else self._end.play.answer
        response = response_to(self._request, code) if code else None
        if response is not None:
            self._end.send(write_response(response))


class Incoming:
    """Our end of one MSRP session."""

    def __init__(
        self,
        uri: MsrpUri,
        remote: tuple[MsrpUri, ...],
        consumer: Consumer,
        *,
        accept_types: tuple[str, ...],
        limit: int,
        single: bool,
        play: Play,
    ) -> None:
        """`single`: a file transfer, which brings one message (RFC 5547 8.7)."""
        self.uri = uri
        self.remote = remote
        self.play = play
        self.send: Callable[[bytes], None] = lambda _: None
        "Writes to the connection that the session is bound to."
        self.octets = 0
        "That came so far, headers not counted."
        self.statuses: Counter[int] = Counter()
        self._consumer = consumer
        self._accept_types = accept_types
        self._limit = limit
        self._single = single
        self._messages: dict[str, Message] = {}
        self._ended: dict[str, int] = {}
        self._stopped = False

    @property
    def is_idle(self) -> bool:
        """No message is incomplete."""
        return not self._messages

    def begin(self, request: Request) -> Chunk:
        """Return the chunk that this request begins, refused or not."""
        if request.problem:
            return Chunk(self, request, None, 400)
        if request.method != SEND:
            return Chunk(self, request, None, 501)
        if request.content_type is None:  # it binds the session, or keeps it alive
            return Chunk(self, request, None, 200)
        message, status = self._message_of(request)
        self.statuses[status] += 1
        return Chunk(self, request, message, status)

    def _message_of(self, request: Request) -> tuple[Message | None, int]:
        known = self._messages.get(request.message_id)
        if known is not None:
            return known, known.status
        if request.message_id in self._ended:  # repeated after it was over
            return None, self._ended[request.message_id]
        if self._single and (self._messages or self._ended):
            return None, 403
        total = request.byte_range.total if request.byte_range else None
        if max(request.start - 1, total or 0) > self._limit or len(self._messages) >= _MOST_UNFINISHED:
            return None, 413
        if not takes_type(self._accept_types, request.content_type or ""):
            return None, 415
        made = Message(request, self._limit, lambda status: self._settled(made, status))
        try:
            self._consumer.opened(made)
        except OSError as error:
            log.get().error("file_not_written", reason=str(error.strerror))
            return None, 413
        self._messages[request.message_id] = made
        return made, 200

    def chunk_ended(self, message: Message, flag: Flag, end: int) -> None:
        """Go on after a chunk; `end`: octets of the message up to its last one."""
        if self._messages.get(message.message_id) is not message:
            return
        if flag is Flag.ABORTED or message.status != 200:
            self._forget(message, message.status if message.status != 200 else 413)
            if message.spool is not None:
                message.spool.drop()
            return
        if flag is Flag.COMPLETE:
            message.total = end
        if message.total is None or message.spool is None:
            return
        if message.spool.has_all(message.offset + message.total):
            self._forget(message, 200)
            self._consumer.arrived(message, message.spool)
        elif message.spool.prefix > message.offset + message.total:  # the end is before what came
            self._forget(message, 400)
            message.spool.drop()
            self._settled(message, 400)

    def _forget(self, message: Message, status: int) -> None:
        self._messages.pop(message.message_id, None)
        self._ended[message.message_id] = status
        while len(self._ended) > _MOST_ENDED:
            self._ended.pop(next(iter(self._ended)))

    def _settled(self, message: Message, status: int) -> None:
        """Report a message that is whole, if the sender wants to hear it (PRA-MSRP-5, -6)."""
        head = message.head
        wanted = head.success_report if status == 200 else head.failure_report is not FailureReport.NO
        if not wanted or not self.play.report:
            return
        total = message.total or 0
        report = report_on(
            head,
            ByteRange(1, total, total),
            Status(status, "OK" if status == 200 else "Not taken"),
            transaction=secrets.token_hex(12),
        )
        self.send(write_request(report))

    def abandon(self) -> None:
        """The session is over: keep what came of a message that is incomplete."""
        for message in self._messages.values():
            if message.spool is not None:
                message.spool.keep()
        self._messages.clear()

    def play_stop(self, chunk: Chunk, message: Message) -> None:
        """Stop where the device was told to."""
        play = self.play
        if not play.stop_at or self._stopped or self.octets < play.stop_at:
            return
        self._stopped = True
        if play.stop_by == "refuse":
            chunk.refuse(413)
        self._consumer.stopped(play.stop_by)


def bind(uri: MsrpUri, remote: tuple[MsrpUri, ...]) -> bytes:
    """Return the SEND without body by which the side that connects binds a session (RFC 4975 5.4)."""
    message_id = secrets.token_hex(12)
    return write_request(Request(secrets.token_hex(12), SEND, remote, (uri,), message_id))
