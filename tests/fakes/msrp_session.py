"""
Sessions and connections of the MSRP endpoint for tests (`tests/fakes/msrp_peer.py`): what they send and keep.

Like all of it written from RFC 4975, 4976, 6135 and 5547 alone, and sharing no code with omapush.
"""

import secrets
import select
import socket
import ssl
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Protocol

from tests.fakes.msrp_text import Frame, FrameReader, Partial, Range, Violation, place_of
from tests.harness.wait import wait_until

ANSWER_S: Final = 30.0
"How long a sender waits for the answer to a SEND (7.1.1)."
_PIECE: Final = 65_536


def new_ident() -> str:
    """Return 96 random bits."""
    return f"p{secrets.token_hex(12)}"


@dataclass(frozen=True, slots=True)
class Manners:
    """How a session behaves towards what it receives; as it stands: as it should."""

    answer: int = 200
    "To each SEND; 0: none."
    report: str = "whole"
    "When asked: `whole` message, `chunk` by chunk, `part` (the last octet is missing), `none`."
    report_status: int = 200
    answer_at: tuple[int, int] | None = None
    "(octets, code): answer a chunk in its middle, when so much of the message has come."
    close_at: int | None = None
    "Close the connection when so many octets of a message have come."
    stop_at: int | None = None
    "Stop reading, once for each message, when so many octets of it have come and more are to come."
    ask_at: int | None = None
    "Send a SEND without body when so many octets have come: its answer must interrupt the chunk."
    unasked_report: bool = False
    "A REPORT for a message that nobody sent comes before the others, to be ignored."


@dataclass(slots=True)
class Message:
    """What has come of one message."""

    message_id: str
    content_type: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    "Of its first chunk."
    content: bytearray = field(default_factory=bytearray)
    chunks: list[tuple[int, int, str]] = field(default_factory=list)
    "(position of the first octet, octets, flag), in order of arrival."
    total: int | None = None
    "Known when its last chunk has come."
    aborted: bool = False

    @property
    def octets(self) -> int:
        """How many different octets have come."""
        covered = 0
        reached = 0
        for start, length, _ in sorted(self.chunks):
            covered += max(0, start - 1 + length - max(reached, start - 1))
            reached = max(reached, start - 1 + length)
        return covered

    @property
    def is_whole(self) -> bool:
        return self.total is not None and self.octets == self.total


class Owner(Protocol):
    """What a connection hands its frames to."""

    violations: list[str]

    def received(self, connection: "Connection", frame: Frame) -> None: ...

    def receiving(self, connection: "Connection", partial: Partial) -> None: ...


class Connection:
    """One TCP or TLS connection and the thread that reads it."""

    def __init__(self, peer: Owner, opened: socket.socket) -> None:
        self._peer = peer
        self._socket = opened
        self._writing = threading.Lock()
        self._flowing = threading.Event()
        self._flowing.set()
        self.is_open = True
        self.ended_between_frames = False
        "The other side closed it where a stream may end."
        self.sessions: set[str] = set()
        threading.Thread(target=self._read, daemon=True).start()

    def write(self, data: bytes) -> None:
        """Send bytes, one caller at a time; ConnectionError when it is closed."""
        with self._writing:
            try:
                self._socket.sendall(data)
            except (OSError, ValueError) as error:
                raise ConnectionError(str(error)) from error

    def stop_reading(self) -> None:
        """Let the other side's data pile up."""
        self._flowing.clear()

    def go_on_reading(self) -> None:
        """Undo that."""
        self._flowing.set()

    def close(self) -> None:
        """Close it at once."""
        self._flowing.set()
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def _receive(self) -> bytes:
        """The next bytes, nothing at the end; a TLS socket does not stand two threads in it at a time."""
        if not isinstance(self._socket, ssl.SSLSocket):
            return self._socket.recv(_PIECE)
        while True:
            if not self._socket.pending():
                select.select([self._socket], [], [])
            with self._writing:
                self._socket.settimeout(0.01)
                try:
                    return self._socket.recv(_PIECE)
                except TimeoutError:  # what came was part of a record
                    continue
                finally:
                    self._socket.settimeout(None)

    def _read(self) -> None:
        reader = FrameReader()
        try:
            while data := self._receive():
                self._flowing.wait()
                for frame in reader.feed(data):
                    self._peer.received(self, frame)
                if reader.partial is not None:
                    self._peer.receiving(self, reader.partial)
            self.ended_between_frames = reader.is_between_frames
        except Violation as error:
            self._peer.violations.append(str(error))
        except (OSError, ValueError):
            pass
        finally:
            self.is_open = False
            self._socket.close()


class Session:
    """One MSRP session: its own URI, the path of the other side, what came and what was answered."""

    def __init__(self, peer: Owner, uri: str, remote: Sequence[str], manners: Manners) -> None:
        self._peer = peer
        self.uri = uri
        self.remote = list(remote)
        "The other side's path, leftmost first; set it when its SDP is known."
        self.manners = manners
        self.connection: Connection | None = None
        self.requests: list[Frame] = []
        "All SENDs, in order."
        self.messages: dict[str, Message] = {}
        self.reports: list[Frame] = []
        self.answers: dict[str, Frame] = {}
        "By transaction."
        self.asked: set[str] = set()
        "Transactions of our requests."
        self.acted: set[tuple[str, str]] = set()
        "Misbehaviour that is done once for each message."

    # ---- sending ----------------------------------------------------------------------------------------

    def connect(self, *, tls: ssl.SSLContext | None = None, bind: bool = True) -> Connection:
        """Open a connection to the other side, and bind the session to it with a SEND without body."""
        opened = socket.create_connection(place_of(self.remote[0]), timeout=5)
        opened.settimeout(None)
        if tls is not None:
            opened = tls.wrap_socket(opened, server_hostname=place_of(self.remote[0])[0])
        self.use(Connection(self._peer, opened))
        if bind:
            self.wait_for_answer(self.send_frame({"Message-ID": new_ident()}))
        assert self.connection is not None
        return self.connection

    def use(self, connection: Connection) -> None:
        """Send over a connection that is there already: several sessions may share one."""
        self.connection = connection

    def send(
        self,
        content: bytes,
        content_type: str = "application/octet-stream",
        *,
        success: str = "yes",
        failure: str = "",
        message_id: str = "",
        chunk: int = 1_000_000,
        start: int = 1,
        stop: int | None = None,
        total: int | None = None,
        last: str = "$",
        headers: Mapping[str, str] | None = None,
    ) -> list[str]:
        """
        Send a message in chunks and return their transactions.

        `start` and `stop` are positions in it, for a part; `last` is the flag of the last chunk sent,
        `+` leaves the message open and `#` aborts it.
        """
        stop = len(content) if stop is None else stop
        total = len(content) if total is None else total
        common = {"Message-ID": message_id or new_ident()}
        common |= {"Success-Report": success} if success else {}
        common |= {"Failure-Report": failure} if failure else {}
        sent = []
        at = start
        while True:
            piece = content[at - 1 : min(at - 1 + chunk, stop)]
            end = at + len(piece) - 1
            is_last = end >= stop
            covers = Range(at, None if len(piece) > 2_048 else end, total)
            mime = {**(headers or {}), "Content-Type": content_type}
            fields = {**common, "Byte-Range": str(covers), **mime}
            sent.append(self.send_frame(fields, piece, flag=last if is_last else "+"))
            at = end + 1
            if is_last:
                return sent

    def send_frame(
        self,
        headers: Mapping[str, str],
        body: bytes | None = None,
        *,
        method: str = "SEND",
        flag: str = "$",
        to_path: Sequence[str] = (),
    ) -> str:
        """Send one request as it is told, right or wrong, and return its transaction."""
        transaction = new_ident()
        while body is not None and b"-------" + transaction.encode() in body:
            transaction = new_ident()
        paths = (("To-Path", " ".join(to_path or self.remote)), ("From-Path", self.uri))
        frame = Frame(transaction, method, 0, (*paths, *headers.items()), body, flag)
        if method != "REPORT" and headers.get("Failure-Report", "yes") == "yes":
            self.asked.add(transaction)
        self.write(frame.serialize())
        return transaction

    def write(self, data: bytes) -> None:
        """Send any bytes."""
        if self.connection is None:
            raise ConnectionError("the session has no connection yet")
        self.connection.write(data)

    # ---- waiting ----------------------------------------------------------------------------------------

    def wait_for_answer(self, transaction: str, deadline_s: float = ANSWER_S) -> Frame:
        """The response to one of our requests."""
        wait_until(lambda: transaction in self.answers, deadline_s, lambda: self._story("an answer"))
        return self.answers[transaction]

    def wait_for_report(self, message_id: str = "", deadline_s: float = ANSWER_S) -> Frame:
        """The last REPORT, for that message when one is named, once there is one."""

        def found() -> list[Frame]:
            return [one for one in list(self.reports) if message_id in ("", one.message_id)]

        wait_until(lambda: bool(found()), deadline_s, lambda: self._story("a REPORT"))
        return found()[-1]

    def wait_for_message(self, count: int = 1, deadline_s: float = ANSWER_S) -> Message:
        """The message with that number, once so many have come as a whole."""

        def whole() -> list[Message]:
            return [one for one in list(self.messages.values()) if one.is_whole]

        wait_until(lambda: len(whole()) >= count, deadline_s, lambda: self._story(f"{count} messages"))
        return whole()[count - 1]

    def wait_for_connection(self, deadline_s: float = ANSWER_S) -> Connection:
        """The connection, once the other side bound the session to one."""
        wait_until(lambda: self.connection is not None, deadline_s, lambda: self._story("a connection"))
        assert self.connection is not None
        return self.connection

    def _story(self, wanted: str) -> str:
        return (
            f"{wanted} at {self.uri}: {len(self.requests)} requests, {len(self.reports)} reports,"
            f" answers {[one.status for one in list(self.answers.values())]},"
            f" violations {self._peer.violations}"
        )
