"""The far end of sessions: a device that answers INVITEs as told, and a media worker that a test plays."""

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

from omapush import clock
from omapush.push.media_worker import MediaWorker
from omapush.push.session import CONFIRMED, Ending, Session
from omapush.store import keys, msrp_workers, sessions
from tests.fakes.msrp_peer import Manners, MsrpPeer
from tests.fakes.msrp_session import Session as MsrpSession
from tests.fakes.sip_text import SipText, reply
from tests.harness.sip_peer import OK, Says, SipPeer
from tests.harness.stack import Settings, Stack
from tests.harness.wait import wait_until
from tests.wire.requests import request

WORKER = MediaWorker(1, "worker-1", "msrp://127.0.0.1:2855", 0, 1_000)
OTHER_WORKER = WORKER._replace(name="worker-2", uri="msrp://127.0.0.1:2856")
SESSIONS: Settings = {
    "sip": {"tcp_above": 0},  # a SipPeer hears UDP only
    "sessions": {"enabled": True, "linger_s": 0.3},
    'application."large.ua"': {"methods": ["INVITE"]},
    'application."large-once.ua"': {
        "methods": ["INVITE"],
        "retry": {"attempts": 1, "first_s": 0.05, "longest_s": 0.1},
    },
    'application."large-twice.ua"': {
        "methods": ["INVITE"],
        "retry": {"attempts": 2, "first_s": 0.05, "longest_s": 0.1},
    },
}
TAKES = Says(200, "takes what is offered")
"In the place of an answer that depends on the INVITE."
_M_LINE = re.compile(r"(?m)^m=message ")


def employ(stack: Stack, worker: MediaWorker = WORKER) -> None:
    """Have a media worker that counts as alive all the while; the test does its work."""
    msrp_workers.announce(stack.store, worker, 3_600_000)


def dismiss(stack: Stack, worker: MediaWorker = WORKER) -> None:
    """Have it die."""
    stack.db.delete(keys.msrp_worker(worker.name))


def transferred(
    stack: Stack, aor: str, application: str, position: int, code: int, closed: Sequence[int] = ()
) -> None:
    """
    Report, as the media worker does, how one stream of a user's session ended.

    Once it is agreed, and the m-lines at `closed` have port 0.
    """
    found: list[tuple[str, str]] = []

    def is_agreed() -> bool:
        session_id = sessions.live_of(stack.store, aor, application)
        [session] = sessions.read_all(stack.store, [session_id]) if session_id else [None]
        streams = session.streams if session else ()
        found[:] = [
            (session_id, one.path) for one in streams if (one.line, one.state) == (position, "agreed")
        ]
        return bool(found) and {one.line for one in streams if one.state == "closed"} >= set(closed)

    wait_until(is_agreed, 10, f"an agreed stream {position} of {aor}")
    [(session_id, path)] = found
    assert sessions.report(stack.store, session_id, path, Ending("msrp", code, "reported", clock.now_ms()))


@dataclass
class MLine:
    """One m-line of an offer, read without our own codec."""

    text: str

    @property
    def port(self) -> int:
        return int(self.text.split()[1])

    def all(self, name: str) -> list[str]:
        found = re.findall(rf"(?m)^a={name}(?::(.*?))?\r?$", self.text)
        return [value or "" for value in found]

    def value(self, name: str) -> str:
        return next(iter(self.all(name)), "")


def m_lines(body: bytes) -> list[MLine]:
    """The m-lines of a session description."""
    return [MLine("m=message " + text) for text in _M_LINE.split(body.decode())[1:]]


def beside(head: str, other: bytes, description: bytes) -> bytes:
    """A multipart body, of boundary `beside`, of another part and a session description."""
    parts = ((head.encode(), other), (b"Content-Type: application/sdp", description))
    return b"".join(b"--beside\r\n%b\r\n\r\n%b\r\n" % part for part in parts) + b"--beside--\r\n"


@dataclass
class Device:
    """
    One user's device behind the core.

    `answers`: what it says to INVITEs in turn, the last one again and again; None: nothing. Without any it
    takes all files.
    """

    stack: Stack
    core: SipPeer
    aor: str = field(default_factory=lambda: f"sip:{secrets.token_hex(6)}@home1.example")
    answers: list[Says | None] = field(default_factory=list)
    tag: str = field(default_factory=lambda: secrets.token_hex(4))
    cseq: int = 0
    setup: str = "passive"
    refuse: frozenset[int] = frozenset()
    "Positions of m-lines that it refuses."
    extra: str = ""
    "More lines for each m-line of its answers, with CRLF."
    beside: tuple[str, bytes] | None = None
    "Header lines and body of a part that its answers have before their description."
    record_route: str = ""
    accept_types: str = "*"
    media: MsrpPeer | None = None
    "Where its media really goes; None: nowhere."
    manners: Manners = field(default_factory=Manners)
    ends: dict[str, MsrpSession] = field(default_factory=dict)
    "Its ends of MSRP sessions with `media`, by our path."

    def __post_init__(self) -> None:
        self.core.policy = self.policy

    def policy(self, one: SipText) -> Says | None:
        if one.method != "INVITE":
            return OK
        if self.answers and ";tag=" not in one.header("To"):
            says = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            return self.takes(one) if says is TAKES else says
        return self.takes(one)

    def takes(self, invite: SipText) -> Says:
        """A 200 that takes the files of an offer."""
        headers = {
            "Contact": f"<sip:device@127.0.0.1:{self.core.port}>",
            "Content-Type": "application/sdp",
        }
        if self.record_route:
            headers["Record-Route"] = self.record_route
        body = self.sdp(invite.body)
        if self.beside is not None:
            headers["Content-Type"] = "multipart/mixed;boundary=beside"
            body = beside(*self.beside, body)
        return Says(200, "OK", headers, body, self.tag)

    def sdp(self, offer: bytes) -> bytes:
        """The answer to an offer."""
        head = "v=0\r\no=device 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
        return (head + "".join(self._answer(i, one) for i, one in enumerate(m_lines(offer)))).encode()

    def _answer(self, position: int, line: MLine) -> str:
        is_open = line.port > 0 and position not in self.refuse
        path, port = f"msrp://127.0.0.1:7394/{position}{self.tag};tcp", 7394
        if self.media is not None:
            path, port = self._end(line.value("path")).uri, self.media.port
        return (
            f"m=message {port if is_open else 0} TCP/MSRP *\r\na=recvonly\r\na=setup:{self.setup}\r\n"
            f"a=accept-types:{self.accept_types}\r\na=path:{path}\r\n"
            f"a=file-selector:{line.value('file-selector')}\r\n"
            f"a=file-transfer-id:{line.value('file-transfer-id')}\r\n{self.extra}"
        )

    def _end(self, path: str) -> MsrpSession:
        assert self.media is not None
        if path not in self.ends:
            self.ends[path] = self.media.session([path], self.manners)
        return self.ends[path]

    # What came -----------------------------------------------------------------------------------

    def all(self, method: str) -> list[SipText]:
        """Requests of a method to this user, in order."""
        return [one for one in self.core.requests if one.method == method and self.aor in one.header("To")]

    def wait(self, method: str, number: int = 1, deadline_s: float = 10) -> list[SipText]:
        """The same, once there are so many."""
        wait_until(
            lambda: len(self.all(method)) >= number, deadline_s, lambda: f"{number} {method}: {self.known()}"
        )
        return self.all(method)

    @property
    def acknowledgements(self) -> int:
        """ACKs that came for this user, repetitions included."""
        return self.core.repeated("ACK", self.aor)

    def known(self) -> list[str]:
        return [one.start_line for one in self.core.requests if self.aor in one.header("To")]

    # The session ---------------------------------------------------------------------------------

    @property
    def invite(self) -> SipText:
        """The first INVITE."""
        return self.wait("INVITE")[0]

    @property
    def session(self) -> Session:
        """The record of the session that the last INVITE began."""
        session_id = self.wait("INVITE")[-1].header("Call-ID")[1:33]
        [found] = sessions.read_all(self.stack.store, [session_id])
        assert found is not None
        return found

    def until(self, state: str, streams: str = "") -> Session:
        """The record, once it and its streams are in these states."""

        def is_so() -> bool:
            session = self.session
            return session.state == state and streams in ("", ",".join(one.state for one in session.streams))

        wait_until(is_so, 10, lambda: f"{state} {streams}: {self.session}")
        return self.session

    def transferred(
        self, position: int = 0, code: int = CONFIRMED, why: str = "all octets are confirmed"
    ) -> None:
        """What the media worker reports of a stream."""
        session = self.session
        stream = next(one for one in session.streams if one.line == position)
        ending = Ending("msrp", code, why, clock.now_ms())
        assert sessions.report(self.stack.store, session.id, stream.path, ending)

    def says(self, invite: SipText, says: Says) -> None:
        """Answer an INVITE that got no answer from the policy, or a provisional one."""
        raw = reply(invite, says.code, says.phrase, says.headers.items(), self.tag, says.body)
        self.core.send(raw, self.stack.sip)

    def rings(self) -> SipText:
        """Say 180 to the first INVITE, which is returned."""
        invite = self.invite
        self.says(invite, Says(180, "Ringing"))
        return invite

    def acknowledges(self, answer: SipText) -> None:
        """Send the ACK to a 200 of ours."""
        raw = request(
            "ACK",
            answer.header("Contact").strip("<>"),
            self.core.address,
            From=answer.header("From"),
            To=answer.header("To"),
            Call_ID=answer.header("Call-ID"),
            CSeq=answer.header("CSeq").replace("INVITE", "ACK"),
        )
        self.core.send(raw, self.stack.sip)

    def asks(self, method: str, body: bytes = b"", /, **more: str) -> SipText:
        """Send a request in the dialog of the last INVITE and return its final answer."""
        invite = self.wait("INVITE")[-1]
        self.cseq += 1
        headers = [("Contact", f"<sip:device@127.0.0.1:{self.core.port}>")]
        if body:
            headers.append(("Content-Type", more.pop("content_type", "application/sdp")))
        fields = {
            "From": f"<{self.aor}>;tag={self.tag}",
            "To": invite.header("From"),
            "Call_ID": invite.header("Call-ID"),
            "CSeq": f"{self.cseq} {method}",
        }
        uri = invite.header("Contact").strip("<>")
        raw = request(method, uri, self.core.address, headers, body, **(fields | more))
        return self.core.ask(raw, self.stack.sip)
