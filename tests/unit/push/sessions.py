"""Sessions for tests of the rules, and the far end's part of them."""

from collections.abc import Sequence

from omapush.push.dialog import Heard
from omapush.push.page_mode import Sender
from omapush.push.session import Session
from omapush.push.session_answers import Said
from omapush.push.session_steps import Here, Limits, Step, step
from tests.harness import records

NOW = 1_800_000_000_000
AOR = "sip:alice@home1.example"
SENDER = Sender("sip:psa@home1.example", "192.0.2.20:5070", "home1.example", "sip:core.example;lr")
HERE = Here(SENDER, "n", "r")
LIMITS = Limits(answer_ms=60_000, transaction_ms=40_000, linger_ms=10_000)
TAG = "device-tag"
CONTACT = "<sip:device@192.0.2.9>"


def gathering(number: int = 1) -> Session:
    """A session with so many files that no INVITE was sent for yet."""
    streams = [records.stream(f"ticket{index}", index + 1) for index in range(number)]
    return records.session(AOR, "f" * 16, NOW, *streams)


def after(taken: Step) -> Session:
    """The session after a step that does not forget it."""
    assert taken.session is not None
    return taken.session


def stepped(session: Session, now_ms: int = NOW, here: Here = HERE, *, lives: bool = True) -> Step:
    return step(session, here, LIMITS, worker_lives=lives, now_ms=now_ms)


def inviting(number: int = 1) -> Session:
    return after(stepped(gathering(number)))


def sdp(ports: Sequence[int], extra: str = "", *, setup: str = "passive", types: str = "*") -> bytes:
    """An answer with so many m-lines."""
    lines = ["v=0", "o=d 1 1 IN IP4 192.0.2.9", "s=-", "c=IN IP4 192.0.2.9", "t=0 0"]
    for index, port in enumerate(ports):
        lines += [
            f"m=message {port} TCP/MSRP *",
            "a=recvonly",
            f"a=setup:{setup}",
            f"a=accept-types:{types}",
            f"a=path:msrp://192.0.2.9:7394/d{index};tcp",
            *([extra] if extra else []),
        ]
    return "".join(f"{line}\r\n" for line in lines).encode()


def said(
    session: Session,
    code: int = 200,
    body: bytes = b"",
    *,
    at_ms: int = NOW,
    local: bool = False,
    cseq: int = 0,
    contact: str = CONTACT,
    record_route: str = "",
) -> Said:
    """A final answer to the session's last request."""
    number = cseq or session.dialog.local_cseq
    heard = Heard(TAG, number, contact, record_route)
    return Said(number, code, local, "Said", "", 0, heard, body, at_ms)
