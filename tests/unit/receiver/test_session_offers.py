"""Offers inside a session: files that are closed, added, or put on another connection."""

import secrets
from itertools import pairwise

import pytest

from omapush.receiver import (
    Push,
)
from tests.fakes.file_sender import File
from tests.harness.wait import wait_until
from tests.unit.receiver.core import PSA
from tests.unit.receiver.session_bench import bench, send

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
