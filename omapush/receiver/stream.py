"""One m-line of a session: what was answered, the MSRP session behind it, and the file that comes over it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from omapush.certificates import Fingerprints
from omapush.protocol.file_transfer import same_file
from omapush.protocol.msrp_media import MessageMedia
from omapush.protocol.sdp import Media
from omapush.receiver.agent import Agent
from omapush.receiver.file_offers import Line, Terms, accepted, connects, refused
from omapush.receiver.files import Files, Wanted
from omapush.receiver.incoming import Incoming, Message
from omapush.receiver.media import MediaEndpoint
from omapush.receiver.push import AnswerWith
from omapush.receiver.spool import Spool
from omapush.receiver.transport import TransportFailed


class Owner(Protocol):
    """The session of an m-line."""

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something for as long as the session lasts."""

    def played(self, how: str, incoming: Incoming) -> None:
        """The device was told to stop in this way."""


class Stream:
    """An m-line; `media` is what it was last answered with."""

    def __init__(self, line: Line, media: Media) -> None:
        self.line = line
        self.media = media
        self.is_lost = False
        "Its connection broke."

    @property
    def octets(self) -> int:
        """That came so far."""
        return 0

    def repeats(self, line: Line) -> bool:
        """Tell whether an offer says nothing new about this m-line."""
        return False

    async def confirmed(self) -> None:
        """The sender has our answer."""

    def close(self) -> None:
        """Take nothing more."""


class RefusedStream(Stream):
    """An m-line with port 0: refused, or closed."""

    def __init__(self, line: Line) -> None:
        super().__init__(line, refused(line))

    def repeats(self, line: Line) -> bool:
        """What was refused once is not asked about again."""
        return bool(line.transfer_id) and line.transfer_id == self.line.transfer_id


class FileStream(Stream):
    """An m-line that brings a file, or messages."""

    def __init__(
        self,
        owner: Owner,
        agent: Agent,
        files: Files,
        media: MediaEndpoint,
        wanted: Wanted,
        spool: Spool,
        terms: Terms,
    ) -> None:
        super().__init__(wanted.line, accepted(wanted.line, terms))
        self._owner = owner
        self._agent = agent
        self._files = files
        self._media = media
        self._wanted = wanted
        self._spool: Spool | None = spool
        self._range = terms.range
        self._connects = terms.connects
        self.incoming = Incoming(
            terms.uri,
            wanted.message.path,
            self,
            accept_types=terms.accept_types,
            limit=wanted.selector.size or terms.max_size,
            single=wanted.line.file is not None,
            play=files.play(),
        )
        media.add(self.incoming, self._lost, _named(wanted.message))

    @property
    def octets(self) -> int:
        return self.incoming.octets

    def repeats(self, line: Line) -> bool:
        """The same transfer over the same MSRP session, and its connection is there."""
        return (
            not self.is_lost
            and line.transfer_id == self.line.transfer_id
            and line.message is not None
            and [uri.key for uri in line.message.path] == [uri.key for uri in self.incoming.remote]
        )

    async def confirmed(self) -> None:
        """Connect, where that is ours to do."""
        if self._connects and not self._media.is_bound(self.incoming):
            try:
                await self._media.connect(self.incoming)
            except TransportFailed as error:
                self._agent.tell("file_interrupted", {"octets": 0, "reason": str(error)})

    def close(self) -> None:
        self._release()
        self._media.remove(self.incoming)

    # ---- what the MSRP session tells --------------------------------------------------------------------

    def opened(self, message: Message) -> None:
        """Give the message its file, and a place in it."""
        message.spool, self._spool = self._spool or self._files.open(self._wanted), None
        message.offset = self._offset(message)

    def arrived(self, message: Message, spool: Spool) -> None:
        """Hand it over, then report it."""
        self._owner.spawn(self._hand_over(message, spool))

    def stopped(self, how: str) -> None:
        self._files.stopped += 1
        self._owner.played(how, self.incoming)

    async def _hand_over(self, message: Message, spool: Spool) -> None:
        message.settle(await self._files.arrived(self._wanted, message, spool))

    def _offset(self, message: Message) -> int:
        """Where the message begins in the file: a sender may send all of it though a part was asked for."""
        if self._range is None:
            return 0
        covers = message.head.byte_range
        is_whole = covers is not None and covers.total == self._wanted.selector.size
        offered = self.line.file is not None and self.line.file.range is not None
        return 0 if is_whole and not offered else self._range.start - 1

    def _lost(self) -> None:
        self.is_lost = True
        octets = self.incoming.octets
        self._release()
        self._agent.tell("file_interrupted", {"octets": octets, "reason": "the connection is gone"})

    def _release(self) -> None:
        """Keep what came of a file that is not whole."""
        self.incoming.abandon()
        if self._spool is not None:
            self._spool.keep()
            self._spool = None
        self._files.tidy()


Make = Callable[[Wanted, Spool, Terms], FileStream]


async def take(wanted: Wanted, files: Files, media: MediaEndpoint, agent: Agent, make: Make) -> FileStream:
    """
    Return the stream of an m-line that its application takes.

    Raises:
        Refused: TLS is not possible, or a part is offered that does not join what is here.
        TransportFailed: no port to listen on. OSError: the file cannot be written.
    """
    settings = agent.settings.sessions
    cannot_listen = wanted.message.secure and not media.listens_securely()
    wish = settings.connect or agent.settings.listen.behind_nat or cannot_listen
    is_ours = connects(wanted.message, wish=wish)
    if cannot_listen and not is_ours:
        raise AnswerWith(
            488, "msrps cannot be listened for here without a certificate", phrase="Not Acceptable Here"
        )
    spool = files.open(wanted)
    try:
        if spool.prefix:
            await asyncio.to_thread(spool.sha1)  # what is kept is hashed before more comes
        terms = Terms(
            uri=await media.new_uri(secure=wanted.message.secure, connects=is_ours),
            connects=is_ours,
            accept_types=wanted.accept,
            max_size=settings.file_bytes,
            range=files.missing(wanted, spool),
            fingerprints=media.tls.fingerprints if wanted.message.secure else (),
        )
        return make(wanted, spool, terms)
    except BaseException:
        spool.keep()
        raise


def _named(message: MessageMedia) -> Fingerprints:
    """Which certificates the sender has named: of its own end, and so not where a relay is before it."""
    if not message.secure or len(message.path) > 1:
        return ()
    return tuple((algorithm, digest.hex()) for algorithm, digest in message.fingerprints)


def is_other_file(former: Stream, line: Line) -> bool:
    """Tell whether an offer names another file under the same file-transfer-id, an error (RFC 5547 8.1)."""
    one, other = former.line.file, line.file
    if one is None or other is None or former.line.transfer_id != line.transfer_id:
        return False
    return not same_file(one.selector, other.selector)
