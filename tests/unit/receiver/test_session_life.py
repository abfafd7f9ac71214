"""CANCEL, ACK and BYE: transactions, and how a session ends."""

import asyncio

import pytest

from omapush.receiver import (
    AnswerWith,
    FileOffer,
    Limits,
    Sessions,
)
from tests.fakes.msrp_peer import MsrpPeer
from tests.fakes.sip_text import SipText
from tests.harness.wait import wait_until
from tests.unit.receiver.core import registered, request, wait_for
from tests.unit.receiver.session_bench import CONTENT, Bench, bench, media_sessions, offered, send

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


def test_a_connection_stays_for_a_session_that_has_none_yet_and_goes_when_that_has_another() -> None:
    """A sender may share it (RFC 4975 5.4), and begins to do so before it knows that it goes."""
    with bench() as on:
        senders, files = [on.sender() for _ in range(3)], [on.file() for _ in range(3)]
        senders[0].invite(files[0])
        connection = files[0].session.connect()
        send(files[0])
        senders[1].invite(files[1])
        assert senders[0].bye().status == 200

        files[1].session.use(connection)
        send(files[1])
        senders[2].invite(files[2])
        assert senders[1].bye().status == 200
        assert connection.is_open
        files[2].session.connect()
        send(files[2])
        wait_until(lambda: not connection.is_open, 5, "the end of the connection that nobody uses")
        assert len(on.device.wait_for_pushes(3)) == 3


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
