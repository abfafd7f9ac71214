"""A device with the core, the sender and the media that talk to it, for tests of sessions."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.fakes.file_sender import File, FileSender
from tests.fakes.msrp_peer import MsrpPeer
from tests.harness.receiver_thread import ReceiverThread
from tests.harness.sip_peer import SipPeer
from tests.unit.receiver.core import ALICE, PSA, registered

KEEP_ALIVE = {"Message-ID": "keep.alive"}
CONTENT = secrets.token_bytes(100_000)


class Bench:
    """A device with the core, the sender and the media that talk to it."""

    def __init__(self, sip: SipPeer, device: ReceiverThread, msrp: MsrpPeer) -> None:
        self.sip = sip
        self.device = device
        self.msrp = msrp

    def sender(self) -> FileSender:
        return FileSender(self.sip, self.device.receiver.address, aor=ALICE, sender=PSA)

    def file(self, content: bytes = CONTENT, **changes: Any) -> File:
        return File(self.msrp.session(), content, **changes)

    def open(self) -> int:
        """Sessions at the device."""
        return self.device.do(lambda: self.device.receiver.sessions.open)

    def statuses(self, sender: FileSender) -> list[int]:
        """All responses to the INVITEs of a sender, repetitions included."""
        return [
            one.status
            for one in self.sip.responses
            if one.header("Call-ID") == sender.call_id and one.method == "INVITE"
        ]


@contextmanager
def bench(**settings: Any) -> Iterator[Bench]:
    with MsrpPeer() as msrp, registered(**settings) as (sip, device):
        yield Bench(sip, device, msrp)
        assert msrp.violations == []


def offered(on: Bench, decide: Any) -> None:
    """Let the application decide about offers so."""
    on.device.decide_offer = decide


def send(file: File) -> None:
    """Send the content of a file and see that it was taken."""
    if file.session.connection is None:
        file.session.connect()
    for transaction in file.session.send(file.content, file.content_type):
        assert file.session.wait_for_answer(transaction).status == 200
    assert file.session.wait_for_report().header("Status") == "000 200 OK"


def begun(on: Bench, content: bytes = CONTENT, **changes: object) -> tuple[FileSender, File]:
    """A session whose connection is there."""
    sender, file = on.sender(), on.file(content, **changes)
    assert sender.invite(file).status == 200
    file.session.connect()
    return sender, file


def has_answered_all(file: File) -> None:
    """Return when everything that was sent before has been dealt with."""
    assert file.session.wait_for_answer(file.session.send_frame(KEEP_ALIVE)).status in (200, 481)


def answers(file: File, transactions: list[str]) -> list[int]:
    return [file.session.wait_for_answer(one).status for one in transactions]


def failure(file: File) -> str:
    return file.session.wait_for_report().header("Status") or ""


def media_sessions(on: Bench) -> Any:
    """The MSRP sessions that are open at the device."""
    return on.device.receiver.endpoint.media(on.device.receiver.settings.sessions).sessions
