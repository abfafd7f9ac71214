"""
An MSRP endpoint for tests: receiver and sender over TCP or TLS, well behaved or not.

Written from the text of RFC 4975, 4976, 6135 and 5547 alone. Its author had not looked at any MSRP code of
omapush, and it shares none with it: what both sides agree on is in the RFCs.
"""

import secrets
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

from tests.fakes.msrp_session import Connection, Manners, Message, Session, new_ident
from tests.fakes.msrp_text import Frame, Partial, Range, session_of

__all__ = ["Manners", "Message", "MsrpPeer", "Session"]

WELL_BEHAVED: Final = Manners()


class MsrpPeer:
    """
    A context manager that listens; sessions are made with `session`.

    `violations` holds what the other side did against the RFCs: a test that expects none asks it.
    """

    def __init__(self, port: int = 0, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> None:
        self.violations: list[str] = []
        self.connections: list[Connection] = []
        "Those that the other side opened."
        self.sessions: dict[str, Session] = {}
        "By session-id."
        self._tls = tls
        self._listener = socket.create_server((host, port))
        self.host, self.port = self._listener.getsockname()[:2]
        self._lock = threading.RLock()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        ours = (one.connection for one in self.sessions.values() if one.connection is not None)
        for connection in {*self.connections, *ours}:
            connection.close()

    def session(
        self, remote: Sequence[str] = (), manners: Manners = WELL_BEHAVED, *, uri_host: str = ""
    ) -> Session:
        """Make a session with a URI of its own; `remote`: the path in the other side's SDP."""
        session_id = secrets.token_hex(8)
        scheme = "msrps" if self._tls is not None else "msrp"
        uri = f"{scheme}://{uri_host or self.host}:{self.port}/{session_id};tcp"
        made = self.sessions[session_id] = Session(self, uri, remote, manners)
        return made

    def end(self, session: Session) -> None:
        """Forget a session: what still comes for it gets 481."""
        self.sessions.pop(session_of(session.uri), None)

    def _accept(self) -> None:
        while True:
            try:
                opened, _ = self._listener.accept()
                if self._tls is not None:
                    opened = self._tls.wrap_socket(opened, server_side=True)
            except ssl.SSLError as error:
                self.violations.append(f"TLS: {error}")
                continue
            except OSError:
                return
            self.connections.append(Connection(self, opened))

    # ---- what connections hand over ---------------------------------------------------------------------

    def received(self, connection: Connection, frame: Frame) -> None:
        """Act on a whole frame."""
        with self._lock:
            session = self.sessions.get(session_of(frame.to_path[-1]))
            if not frame.method:
                self._answered(session, frame)
            elif session is None or frame.to_path != [session.uri]:
                self._refuse(connection, frame, 481)
            elif session.connection not in (None, connection):
                self._refuse(connection, frame, 506)
            elif frame.method == "REPORT":
                session.reports.append(frame)
            elif frame.method != "SEND":
                self._refuse(connection, frame, 501)
            else:
                session.use(connection)
                connection.sessions.add(session.uri)
                self._sent_to(session, frame)

    def receiving(self, connection: Connection, partial: Partial) -> None:
        """Act on a frame whose body is still coming: the misbehaviour of the middle."""
        head = partial.head
        session = self.sessions.get(session_of(head.to_path[-1]))
        if session is None or head.method != "SEND":
            return
        session.use(connection)
        covers = head.byte_range
        so_far = (covers.start - 1 if covers else 0) + partial.octets
        manners = session.manners
        if manners.answer_at and so_far >= manners.answer_at[0] and self._once(session, head, "answer"):
            self._respond(session, head, manners.answer_at[1])
        if manners.ask_at is not None and so_far >= manners.ask_at and self._once(session, head, "ask"):
            session.send_frame({"Message-ID": new_ident()})
        if manners.stop_at is not None and so_far >= manners.stop_at and self._once(session, head, "stop"):
            connection.stop_reading()
        if manners.close_at is not None and so_far >= manners.close_at:
            connection.close()

    @staticmethod
    def _once(session: Session, head: Frame, what: str) -> bool:
        key = (head.message_id, what)
        is_new = key not in session.acted
        session.acted.add(key)
        return is_new

    def _answered(self, session: Session | None, frame: Frame) -> None:
        if session is None or frame.transaction not in session.asked:
            self.violations.append(f"a response to nothing that was asked: {frame.transaction}")
        elif frame.transaction in session.answers:
            self.violations.append(f"a second response: {frame.transaction}")
        else:
            session.answers[frame.transaction] = frame

    def _sent_to(self, session: Session, frame: Frame) -> None:
        self.violations.extend(_broken(session, frame))
        session.requests.append(frame)
        manners = session.manners
        message = _added(session, frame) if frame.body is not None else None
        if manners.answer_at is None or (frame.message_id, "answer") not in session.acted:
            self._respond(session, frame, manners.answer)
        if message is not None:
            self._report(session, frame, message)
        if manners.close_at is not None and any(
            one.octets >= manners.close_at for one in session.messages.values()
        ):
            assert session.connection is not None
            session.connection.close()

    def _respond(self, session: Session, frame: Frame, code: int) -> None:
        failure = frame.header("Failure-Report") or "yes"
        if code == 0 or failure == "no" or (failure == "partial" and code == 200):
            return
        self._write(session, _response(frame, code, session.uri))

    def _report(self, session: Session, frame: Frame, message: Message) -> None:
        manners = session.manners
        if manners.unasked_report:
            self._write(session, _report(frame, session.uri, Range(1, 1, 1), 200, new_ident()))
        asked = (frame.header("Success-Report") or "no") == "yes"
        due = message.is_whole or manners.report == "chunk"
        if not asked or not due or manners.answer != 200 or manners.report == "none":
            return
        total = message.total
        start, octets, _ = message.chunks[-1]
        covers = {
            "whole": Range(1, total, total),
            "part": Range(1, max(0, (total or 0) - 1), total),
            "chunk": Range(start, start + octets - 1, total or (frame.byte_range or Range(1, 0, None)).total),
        }[manners.report]
        self._write(session, _report(frame, session.uri, covers, manners.report_status, frame.message_id))

    def _refuse(self, connection: Connection, frame: Frame, code: int) -> None:
        if frame.method != "REPORT" and (frame.header("Failure-Report") or "yes") != "no":
            with suppress(ConnectionError):
                connection.write(_response(frame, code, frame.to_path[-1]).serialize())

    @staticmethod
    def _write(session: Session, frame: Frame) -> None:
        with suppress(ConnectionError):
            session.write(frame.serialize())


def _response(frame: Frame, code: int, own: str) -> Frame:
    back = frame.from_path[:1] if frame.method == "SEND" else frame.from_path
    return Frame(frame.transaction, "", code, (("To-Path", " ".join(back)), ("From-Path", own)))


def _report(frame: Frame, own: str, covers: Range, status: int, message_id: str) -> Frame:
    headers = (
        ("To-Path", " ".join(frame.from_path)),
        ("From-Path", own),
        ("Message-ID", message_id),
        ("Byte-Range", str(covers)),
        ("Status", f"000 {status:03} {'OK' if status == 200 else 'Failed'}"),
    )
    return Frame(new_ident(), "REPORT", 0, headers)


def _added(session: Session, frame: Frame) -> Message:
    """Put a chunk where it belongs in its message."""
    message = session.messages.setdefault(frame.message_id, Message(frame.message_id))
    body = frame.body or b""
    covers = frame.byte_range or Range(1, None, None)
    if not message.chunks:
        message.content_type = frame.header("Content-Type") or ""
        message.headers = frame.headers
    missing = covers.start - 1 + len(body) - len(message.content)
    message.content.extend(bytes(max(0, missing)))
    message.content[covers.start - 1 : covers.start - 1 + len(body)] = body
    message.chunks.append((covers.start, len(body), frame.flag))
    if frame.flag == "$":
        message.total = covers.start - 1 + len(body)
    message.aborted = message.aborted or frame.flag == "#"
    return message


def _broken(session: Session, frame: Frame) -> Iterator[str]:
    """Yield what this chunk breaks when it is seen beside those before it (7.1.1)."""
    former = [one for one in session.requests if one.message_id == frame.message_id]
    if any(one.transaction == frame.transaction for one in session.requests):
        yield f"transaction {frame.transaction} comes again"
    if session.remote and frame.from_path != session.remote:
        yield f"From-Path {frame.from_path} is not the path of the SDP {session.remote}"
    if frame.body is None:
        return
    covers = frame.byte_range
    former = [one for one in former if one.body is not None]
    if not former:
        if covers is not None and covers.start != 1:
            yield f"the first chunk begins at {covers.start}"
        return
    last = former[-1]
    before = last.byte_range or Range(1, None, None)
    if covers is None:
        yield "a later chunk without Byte-Range"
    elif covers.start != before.start + len(last.body or b""):
        yield f"a chunk at {covers.start} after {len(last.body or b'')} octets at {before.start}"
    elif covers.total != before.total:
        yield f"the total changes from {before.total} to {covers.total}"
    if last.flag != "+":
        yield f"a chunk after the one that ended with {last.flag}"
    for name in ("Success-Report", "Failure-Report"):
        if frame.header(name) != last.header(name):
            yield f"{name} changes inside a message"
