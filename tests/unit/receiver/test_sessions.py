"""INVITE, re-INVITE, CANCEL, ACK and BYE: what a device answers, and when it ends a session by itself."""

import asyncio
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import pytest

from omapush.receiver import (
    AnswerWith,
    FileOffer,
    Limits,
    Push,
    Reason,
    Refused,
    Sessions,
    Trusted,
    Whitelist,
)
from tests.fakes.file_sender import File, FileSender
from tests.fakes.msrp_peer import MsrpPeer
from tests.fakes.sip_text import SipText
from tests.harness.receiver_thread import ReceiverThread
from tests.harness.sip_peer import SipPeer
from tests.harness.wait import wait_until
from tests.unit.receiver.core import ALICE, PSA, registered, request, requests, wait_for

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


# ---- the answer --------------------------------------------------------------------------------------------


@pytest.mark.req("PRA-MSRP-4", "MSRP-GEN")
def test_an_offer_is_answered_with_a_session_that_only_receives() -> None:
    with bench() as on:
        file, sender = on.file(), on.sender()
        answer = sender.invite(file, headers={"Record-Route": "<sip:127.0.0.1:9;lr>, <sip:b.example;lr>"})

        assert answer.status == 200
        assert answer.header("Record-Route") == "<sip:127.0.0.1:9;lr>, <sip:b.example;lr>"
        assert answer.header("Content-Type") == "application/sdp"
        assert answer.header("Contact").startswith("<sip:alice@127.0.0.1:")
        assert "INVITE" in answer.header("Allow")
        (line,) = sender.lines
        assert {"recvonly", "setup:passive", "accept-types:*", f"file-transfer-id:{file.transfer_id}"} <= set(
            line.attributes
        )
        assert (line.value("file-selector") or "").startswith(
            'name:"menu.png" type:image/png size:100000 hash:'
        )
        assert line.value("max-size") == "67108864"
        assert line.value("file-disposition") is None
        assert line.value("file-date") is None
        path = line.value("path") or ""
        assert path.startswith(f"msrp://127.0.0.1:{line.port}/")
        assert len(path.rpartition("/")[2].partition(";")[0]) >= 20


def test_each_session_has_another_path() -> None:
    with bench() as on:
        senders = [on.sender() for _ in range(3)]
        for sender in senders:
            sender.invite(on.file())
        assert len({sender.lines[0].value("path") for sender in senders}) == 3
        assert on.open() == 3


def test_trying_comes_first_and_ringing_when_the_answer_takes_long() -> None:
    with bench() as on:
        quick, slow = on.sender(), on.sender()
        quick.invite(on.file())
        assert on.statuses(quick) == [100, 200]

        async def decide(offer: FileOffer) -> None:
            await asyncio.sleep(0.5)

        offered(on, decide)
        assert slow.invite(on.file()).status == 200
        assert on.statuses(slow) == [100, 180, 200]


def test_the_application_is_told_what_is_offered() -> None:
    told: list[FileOffer] = []
    with bench() as on:
        offered(on, told.append)
        on.sender().invite(on.file(name="../a\\b.png"), headers={"X-Push-Id": "p1"})
        (offer,) = told
        assert (offer.application, offer.sender, offer.content_type) == ("mms.ua", PSA, "image/png")
        assert (offer.size, offer.name, offer.push_id) == (100_000, "b.png", "p1")
        assert offer.disposition == "attachment"
        assert dict(offer.hashes).keys() == {"sha-1"}


def test_an_offer_may_come_beside_a_preview() -> None:
    with bench() as on:
        sender, file = on.sender(), on.file()
        plain = SipText.parse(sender.invitation(file)).body
        body = (
            b"--b1\r\nContent-Type: application/sdp\r\n\r\n" + plain + b"\r\n--b1\r\n"
            b"Content-Type: image/png\r\nContent-ID: <i1>\r\n\r\nPREVIEW\r\n--b1--\r\n"
        )
        headers = {"Content-Type": 'multipart/related; type="application/sdp"; boundary=b1'}
        assert sender.invite(file, headers=headers, body=body).status == 200


# ---- refusals ----------------------------------------------------------------------------------------------


@pytest.mark.req("PRA-MSRP-4", "SEC-10")
@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"P-Asserted-Identity": None}, 403),
        ({"P-Asserted-Identity": "<sip:other@home1.example>"}, 403),
        ({"Accept-Contact": '*;+g.oma.pusheventapp="other.ua"'}, 404),
        ({"Accept-Contact": '*;+g.oma.pusheventapp="other.ua";require;explicit'}, 480),
        ({"Require": "100rel"}, 420),
        ({"Content-Type": "text/plain"}, 415),
    ],
)
def test_an_invite_is_refused_before_its_offer_counts(headers: dict[str, str | None], code: int) -> None:
    with bench(whitelist=Whitelist((Trusted(PSA),))) as on:
        answer = on.sender().invite(on.file(), headers=headers)
        assert answer.status == code
        assert (code == 415) == (answer.header("Accept") == "application/sdp")
        assert on.open() == 0


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"content_type": "text/html"}, 488),
        ({"kind": "audio"}, 488),
        ({"selectors": "size:70000000"}, 413),
        ({"attributes": ("a=file-range:x",)}, 400),
        ({"attributes": ("a=max-size:x",)}, 400),
        ({"closed": True}, 488),
    ],
)
def test_an_offer_of_which_nothing_can_be_taken_is_refused(changes: dict[str, Any], code: int) -> None:
    with bench(accept={"mms.ua": ("image/png",)}) as on:
        assert on.sender().invite(on.file(**changes)).status == code
        assert on.open() == 0


@pytest.mark.parametrize(
    ("refusal", "code"),
    [
        (Refused(), 603),
        (Refused(Reason.FORBIDDEN), 403),
        (Refused(Reason.NO_ROOM), 500),
        (Refused(Reason.TYPE), 488),
        (Refused(Reason.TOO_LARGE), 413),
        (Refused(Reason.UNAVAILABLE), 480),
        (AnswerWith(486), 486),
        (AnswerWith(415), 415),
        (AnswerWith(302), 302),
        (ValueError("a defect"), 500),
    ],
)
def test_the_application_refuses_before_the_file_is_sent(refusal: Exception, code: int) -> None:
    with bench() as on:

        def decide(offer: FileOffer) -> None:
            raise refusal

        offered(on, decide)
        sender = on.sender()
        assert sender.invite(on.file()).status == code
        assert on.open() == 0
        assert sum(on.device.receiver.delivery.refusals.values()) == 1


def test_an_application_that_does_not_decide_refuses() -> None:
    with bench(limits=Limits(answer_within_s=0.3)) as on:

        async def decide(offer: FileOffer) -> None:
            await asyncio.sleep(60)

        offered(on, decide)
        answer = on.sender().invite(on.file())
        assert answer.status == 500
        assert answer.header("Retry-After") == "60"


def test_an_invite_without_an_offer_and_a_broken_one_are_refused() -> None:
    with bench() as on:
        assert on.sender().invite(headers={"Content-Type": None}, body=b"").status == 488
        assert on.sender().invite(body=b"v=0\r\nnonsense\r\n").status == 400
        assert on.sender().invite(body=b"v=0\r\no=a 1 1 IN IP4 1.2.3.4\r\ns=-\r\nt=0 0\r\n").status == 400


def test_one_session_more_than_allowed_gets_486() -> None:
    with bench(sessions=Sessions(sessions=1)) as on:
        first = on.sender()
        assert first.invite(on.file()).status == 200
        assert on.sender().invite(on.file()).status == 486
        assert first.bye().status == 200
        assert on.sender().invite(on.file()).status == 200


def test_a_refused_file_among_others_has_port_0_with_its_selector_and_id() -> None:
    with bench(accept={"mms.ua": ("image/png",)}) as on:
        good, bad, sender = on.file(), on.file(b"<html>", content_type="text/html"), on.sender()
        assert sender.invite(bad, good).status == 200
        refused, taken = sender.lines
        assert (refused.port, taken.port > 0) == (0, True)
        assert refused.value("file-transfer-id") == bad.transfer_id
        assert "type:text/html size:6" in (refused.value("file-selector") or "")
        assert refused.value("path") is None
        send(good)
        (push,) = on.device.wait_for_pushes(1)
        assert push.read() == CONTENT
        assert sum(on.device.receiver.delivery.refusals.values()) == 1


def test_a_device_may_refuse_all_files_by_port_0_alone() -> None:
    with bench(sessions=Sessions(refuse_by_port=True), accept={"mms.ua": ("image/png",)}) as on:
        sender = on.sender()
        assert sender.invite(on.file(content_type="text/html")).status == 200
        assert [line.port for line in sender.lines] == [0]
        assert sender.bye().status == 200


def test_more_files_than_allowed_get_port_0() -> None:
    with bench(sessions=Sessions(files=2)) as on:
        sender = on.sender()
        sender.invite(*(on.file() for _ in range(3)))
        assert [line.port > 0 for line in sender.lines] == [True, True, False]


def test_a_device_without_sessions_answers_405_and_does_not_say_that_it_has_them() -> None:
    with bench(sessions=Sessions(enabled=False)) as on:
        register = requests(on.sip, "REGISTER")[0]
        assert ";message" not in register.header("Contact")
        assert "INVITE" not in register.header("Contact") + register.header("Allow")
        answer = on.sender().invite(on.file())
        assert answer.status == 405
        assert "INVITE" not in answer.header("Allow")


def test_a_device_says_in_its_contact_that_it_takes_sessions() -> None:
    with bench() as on:
        contact = requests(on.sip, "REGISTER")[0].header("Contact")
        assert ";message;" in contact
        assert "INVITE" in contact.partition('methods="')[2].partition('"')[0]


# ---- transactions ------------------------------------------------------------------------------------------


def test_a_200_is_repeated_until_its_ack() -> None:
    with bench() as on:
        sender = on.sender()
        sender.invite(on.file(), ack=False)
        wait_until(lambda: on.statuses(sender).count(200) >= 4, 10, "the fourth 200")
        sender.ack()
        assert on.sip.ask(request(on.sip, "OPTIONS"), on.device.receiver.address).status == 200
        known = len(on.statuses(sender))
        with pytest.raises(TimeoutError):
            wait_until(lambda: len(on.statuses(sender)) > known, 0.6, "another")
        assert on.open() == 1


def test_a_session_without_ack_is_ended_with_bye() -> None:
    with bench() as on:
        sender = on.sender()
        sender.invite(on.file(), ack=False)
        bye = wait_for(on.sip, "BYE")
        assert bye.header("Call-ID") == sender.call_id
        assert bye.start_line.startswith("BYE sip:psa@127.0.0.1")
        wait_until(lambda: on.open() == 0, 5, "the end")
        assert "ACK" in str(on.device.wait_for("session_ended")["reason"])


def test_a_refusal_is_repeated_until_its_ack() -> None:
    with bench() as on:
        sender = on.sender()
        sender.invite(on.file(kind="audio"), ack=False)
        wait_until(lambda: on.statuses(sender).count(488) >= 3, 10, "the third 488")
        sender.ack(488)
        assert on.sip.ask(request(on.sip, "OPTIONS"), on.device.receiver.address).status == 200
        known = len(on.statuses(sender))
        with pytest.raises(TimeoutError):
            wait_until(lambda: len(on.statuses(sender)) > known, 0.6, "another")


def test_an_invite_that_comes_again_gets_the_same_answer() -> None:
    with bench() as on:
        sender = on.sender()
        raw = sender.invitation(on.file())
        answers = [on.sip.ask(raw, on.device.receiver.address) for _ in range(2)]
        assert answers[0].body == answers[1].body
        assert on.open() == 1


@pytest.mark.req("PRA-MSRP-4")
def test_cancel_ends_an_invite_that_waits_for_the_application() -> None:
    with bench() as on:
        asked: list[FileOffer] = []

        async def decide(offer: FileOffer) -> None:
            asked.append(offer)
            await asyncio.sleep(60)

        offered(on, decide)
        sender = on.sender()
        on.sip.send(sender.invitation(on.file()), on.device.receiver.address)
        wait_until(lambda: bool(asked), 5, "the question")
        sender.cancel()
        wait_until(lambda: 487 in on.statuses(sender), 5, "487")
        sender.ack(487)
        cancelled = [one for one in on.sip.responses if one.method == "CANCEL"]
        assert [one.status for one in cancelled] == [200]
        tags = {one.header("To").partition(";tag=")[2] for one in (*cancelled, on.sip.responses[-1])}
        assert len(tags) == 1
        assert on.open() == 0
        on.device.wait_for("session_cancelled")


def test_an_invite_that_expires_is_ended_as_if_it_was_cancelled() -> None:
    with bench(limits=Limits(answer_within_s=60)) as on:

        async def decide(offer: FileOffer) -> None:
            await asyncio.sleep(60)

        offered(on, decide)
        assert on.sender().invite(on.file(), headers={"Expires": "1"}).status == 487
        assert on.open() == 0


def test_a_device_that_rings_and_does_not_answer_can_be_cancelled() -> None:
    with bench() as on:

        def decide(offer: FileOffer) -> None:
            raise AnswerWith(0)

        offered(on, decide)
        sender = on.sender()
        on.sip.send(sender.invitation(on.file()), on.device.receiver.address)
        wait_until(lambda: on.statuses(sender) == [100, 180], 5, lambda: str(on.statuses(sender)))
        sender.cancel()
        wait_until(lambda: 487 in on.statuses(sender), 5, "487")
        sender.ack(487)


def test_a_file_is_not_added_by_a_re_invite_that_is_cancelled() -> None:
    with bench() as on:
        sender, file = on.sender(), on.file()
        sender.invite(file)
        before = on.device.do(lambda: len(media_sessions(on)))

        async def decide(offer: FileOffer) -> None:
            await asyncio.sleep(60)

        offered(on, decide)
        on.sip.send(sender.invitation(file, on.file()), on.device.receiver.address)
        wait_until(lambda: 180 in on.statuses(sender), 5, "180")
        sender.cancel()
        wait_until(lambda: 487 in on.statuses(sender), 5, "487")
        sender.ack(487)
        assert on.device.do(lambda: len(media_sessions(on))) == before
        send(file)
        assert sender.invite(file).status == 200


def media_sessions(on: Bench) -> Any:
    return on.device.receiver.endpoint.media(on.device.receiver.settings.sessions).sessions


def test_cancel_after_the_answer_changes_nothing() -> None:
    with bench() as on:
        sender, file = on.sender(), on.file()
        sender.invite(file)
        sender.cancel()
        wait_until(lambda: any(one.method == "CANCEL" for one in on.sip.responses), 5, "an answer")
        send(file)
        assert on.open() == 1


def test_bye_before_the_answer_ends_the_invite() -> None:
    with bench() as on:

        async def decide(offer: FileOffer) -> None:
            await asyncio.sleep(60)

        offered(on, decide)
        sender = on.sender()
        on.sip.send(sender.invitation(on.file()), on.device.receiver.address)
        wait_until(lambda: on.statuses(sender) == [100, 180], 5, "ringing")
        sender.take_tag(next(one for one in on.sip.responses if one.status == 180))
        bye = SipText.parse(sender.request("BYE", {}))
        on.sip.send(bye.raw, on.device.receiver.address)
        wait_until(lambda: 487 in on.statuses(sender), 5, "487")
        assert [one.status for one in on.sip.responses if one.method == "BYE"] == [200]
        assert on.open() == 0


def test_cancel_of_nothing_gets_481() -> None:
    with bench() as on:
        answer = on.sip.ask(request(on.sip, "CANCEL"), on.device.receiver.address)
        assert answer.status == 481


# ---- the end -----------------------------------------------------------------------------------------------


@pytest.mark.req("PRA-MSRP-1", "PRA-MSRP-2", "PRA-MSRP-3")
def test_bye_gets_200_and_the_connection_goes_when_no_session_uses_it() -> None:
    with bench() as on:
        first, second = on.sender(), on.sender()
        one, other = on.file(), on.file()
        first.invite(one)
        second.invite(other)
        connection = one.session.connect()
        other.session.use(connection)
        send(other)

        assert first.bye().status == 200
        answer = one.session.send_frame({"Message-ID": "late.message"})
        assert one.session.wait_for_answer(answer).status == 481
        assert connection.is_open
        assert second.bye().status == 200
        wait_until(lambda: not connection.is_open, 5, "the end of the connection")
        assert connection.ended_between_frames
        assert on.open() == 0


@pytest.mark.req("PRA-MSRP-1")
def test_bye_of_no_session_or_out_of_order_is_refused() -> None:
    with bench() as on:
        stranger, sender = on.sender(), on.sender()
        stranger.take(sender.invite(on.file()))
        assert stranger.bye().status == 481
        assert on.open() == 1
        old = sender.request("BYE", {}, cseq=1)
        assert on.sip.ask(old, on.device.receiver.address).status == 500
        assert on.open() == 1
        assert sender.bye().status == 200
        assert sender.bye().status == 481


def test_bye_in_the_middle_of_a_file_delivers_nothing() -> None:
    with bench() as on:
        sender, file = on.sender(), on.file()
        sender.invite(file)
        file.session.connect()
        file.session.send(CONTENT, "image/png", stop=50_000, last="+")
        assert sender.bye().status == 200
        told = on.device.wait_for("session_ended")
        assert on.device.pushes == []
        assert on.open() == 0
        assert told["reason"] == "the sender ended it"


def test_a_session_in_which_nothing_moves_is_ended() -> None:
    with bench(sessions=Sessions(idle_s=0.4)) as on:
        on.sender().invite(on.file())
        wait_for(on.sip, "BYE")
        assert "nothing moves" in str(on.device.wait_for("session_ended")["reason"])


def test_a_session_lasts_no_longer_than_allowed() -> None:
    with bench(sessions=Sessions(total_s=0.3, idle_s=0.4)) as on:
        on.sender().invite(on.file())
        wait_for(on.sip, "BYE")
        assert "lasts" in str(on.device.wait_for("session_ended")["reason"])


def test_a_device_that_stops_ends_its_sessions() -> None:
    with MsrpPeer() as msrp, registered() as (sip, device):
        on = Bench(sip, device, msrp)
        file, sender = on.file(), on.sender()
        sender.invite(file)
        connection = file.session.connect()
        device.call(device.receiver.stop())
        assert wait_for(sip, "BYE").header("Call-ID") == sender.call_id
        methods = [one.method for one in sip.requests]
        assert methods.index("BYE") < len(methods) - 1  # before Expires 0
        wait_until(lambda: not connection.is_open, 5, "the end of the connection")


# ---- re-INVITE ---------------------------------------------------------------------------------------------


def test_a_file_that_is_closed_by_port_0_leaves_the_others_alone() -> None:
    with bench() as on:
        sender, one, other = on.sender(), on.file(), on.file(secrets.token_bytes(50_000))
        sender.invite(one, other)
        one.session.connect()
        send(one)
        one.closed = True
        assert sender.invite(one, other).status == 200
        assert [line.port > 0 for line in sender.lines] == [False, True]
        assert sender.lines[0].value("file-transfer-id") == one.transfer_id
        send(other)
        assert {push.read() for push in on.device.wait_for_pushes(2)} == {one.content, other.content}


def test_an_offer_that_changes_nothing_gets_the_same_answer() -> None:
    with bench() as on:
        sender, file = on.sender(), on.file()
        first = sender.invite(file)
        send(file)
        second = sender.invite(file)
        assert (second.status, second.body) == (200, first.body)
        assert len(on.device.pushes) == 1


def test_a_changed_answer_has_another_version() -> None:
    with bench() as on:
        sender, one = on.sender(), on.file()
        versions = [sender.invite(one).body.split(b"\r\n")[1]]
        versions.append(sender.invite(one, on.file()).body.split(b"\r\n")[1])
        numbers = [[int(word) for word in line.split()[1:3]] for line in versions]
        assert [second[0] - first[0] for first, second in pairwise(numbers)] == [0]
        assert [second[1] - first[1] for first, second in pairwise(numbers)] == [1]


def test_another_file_under_the_same_id_is_refused() -> None:
    with bench() as on:
        sender, file = on.sender(), on.file()
        sender.invite(file)
        changed = File(file.session, b"another", transfer_id=file.transfer_id)
        sender.invite(changed)
        assert [line.port for line in sender.lines] == [0]


def test_a_new_file_in_an_old_place_is_taken() -> None:
    with bench() as on:
        sender, file = on.sender(), on.file()
        sender.invite(file)
        send(file)
        again = on.file(b"something new")
        sender.invite(again)
        again.session.connect()
        send(again)
        assert on.device.wait_for_pushes(2)[1].content == b"something new"


@pytest.mark.parametrize(
    ("change", "code"),
    [("fewer lines", 400), ("an old CSeq", 500), ("no session", 481), ("an INVITE without ACK", 491)],
)
def test_an_invite_inside_a_session_that_cannot_be_is_refused(change: str, code: int) -> None:
    with bench() as on:
        sender, one, other = on.sender(), on.file(), on.file()
        sender.invite(one, other, ack=change != "an INVITE without ACK")
        if change == "no session":
            sender.bye()
        raw = {
            "fewer lines": lambda: sender.invitation(one),
            "an old CSeq": lambda: sender.request(
                "INVITE", {"Content-Type": "application/sdp"}, b"v=0", cseq=1, branch="z9hG4bKold"
            ),
        }.get(change, lambda: sender.invitation(one, other))()
        answer = on.sip.ask(raw, on.device.receiver.address)
        if change == "an INVITE without ACK":
            wait_until(lambda: 491 in on.statuses(sender), 5, "the answer")
        else:
            assert answer.status == code
        if change != "no session":
            assert on.open() == 1


def test_what_the_application_got_is_one_record_as_for_a_message() -> None:
    with bench() as on:
        sender, file = on.sender(), on.file(b"small", content_type="text/plain")
        sender.invite(file, headers={"X-Push-Id": "p7"})
        send(file)
        (push,) = on.device.wait_for_pushes(1)
        assert isinstance(push, Push)
        assert (push.content, push.path, push.size) == (b"small", None, 5)
        assert (push.method, push.application, push.sender) == ("INVITE", "mms.ua", PSA)
        assert (push.content_type, push.push_id, push.name) == ("text/plain", "p7", "menu.png")
        assert push.header("Accept-Contact") == '*;+g.oma.pusheventapp="mms.ua"'
