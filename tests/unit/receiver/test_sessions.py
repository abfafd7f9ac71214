"""INVITE: what a device answers to an offer, and what it refuses."""

import asyncio
from typing import Any

import pytest

from omapush.receiver import (
    AnswerWith,
    FileOffer,
    Limits,
    Reason,
    Refused,
    Sessions,
    Trusted,
    Whitelist,
)
from tests.fakes.sip_text import SipText
from tests.unit.receiver.core import PSA, requests
from tests.unit.receiver.session_bench import CONTENT, bench, offered, send

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
        assert "message;" not in register.header("Contact")
        assert "INVITE" not in register.header("Contact") + register.header("Allow")
        answer = on.sender().invite(on.file())
        assert answer.status == 405
        assert "INVITE" not in answer.header("Allow")


def test_a_device_says_in_its_contact_that_it_takes_sessions() -> None:
    with bench() as on:
        contact = requests(on.sip, "REGISTER")[0].header("Contact")
        assert ";+sip.message;" in contact
        assert "INVITE" in contact.partition('methods="')[2].partition('"')[0]
