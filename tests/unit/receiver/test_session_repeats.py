"""A file that comes again, or goes on after an interruption."""

import secrets
from pathlib import Path

import pytest

from omapush.receiver import Limits, Push, Refused, Sessions
from tests.fakes.file_sender import FileSender
from tests.unit.receiver.session_bench import (
    CONTENT,
    Bench,
    answers,
    begun,
    bench,
    failure,
)

# ---- once, and going on ------------------------------------------------------------------------------------


@pytest.mark.parametrize("same", ["message", "transfer"])
def test_what_comes_again_after_a_new_agreement_is_delivered_once_and_reported(same: str) -> None:
    with bench() as on:
        first, again = begun(on)[1], begun(on)[1]
        ids = ["the.message", "the.message" if same == "message" else "another.message"]
        if same == "transfer":
            sender, again = on.sender(), on.file(transfer_id=first.transfer_id)
            sender.invite(again)
            again.session.connect()
        for file, message_id in zip((first, again), ids, strict=True):
            file.session.send(CONTENT, "image/png", message_id=message_id)
            assert file.session.wait_for_report().header("Status") == "000 200 OK"
        assert len(on.device.pushes) == 1
        assert on.device.receiver.delivery.duplicates == 1


def test_what_was_refused_may_come_again() -> None:
    with bench(limits=Limits(answer_within_s=5)) as on:
        decisions = iter([Refused(), None])

        def decide(push: Push) -> None:
            if (refusal := next(decisions)) is not None:
                raise refusal

        on.device.decide = decide
        file = begun(on)[1]
        file.session.send(CONTENT, "image/png", message_id="the.message")
        assert failure(file).startswith("000 403")
        again = begun(on)[1]
        again.session.send(CONTENT, "image/png", message_id="the.message")
        assert again.session.wait_for_report().header("Status") == "000 200 OK"
        assert len(on.device.pushes) == 1


@pytest.mark.parametrize("how", ["new session", "re-INVITE", "restarted device"])
@pytest.mark.parametrize("obeys", [True, False])
def test_an_interrupted_file_goes_on_where_it_stopped(how: str, obeys: bool, tmp_path: Path) -> None:
    settings = {"sessions": Sessions(folder=tmp_path)}
    with bench(**settings) as on:
        sender, file = begun(on)
        answers(
            file, file.session.send(CONTENT, "image/png", stop=60_000, last="+", message_id="the.message")
        )
        connection = file.session.wait_for_connection()
        connection.close()
        assert on.device.wait_for("file_interrupted")["octets"] == 60_000
        if how != "restarted device":
            _goes_on(on, on.sender() if how == "new session" else sender, obeys=obeys)
    if how == "restarted device":
        with bench(**settings) as on:
            _goes_on(on, on.sender(), obeys=obeys)
    assert [one for one in tmp_path.rglob("*.part") if one.is_file()] == []


def _goes_on(on: Bench, sender: FileSender, *, obeys: bool) -> None:
    file = on.file(CONTENT)
    assert sender.invite(file).status == 200
    assert sender.lines[0].value("file-range") == "60001-100000"
    file.session.connect()
    file.session.send(CONTENT[60_000:] if obeys else CONTENT, "image/png", message_id="the.message")
    assert file.session.wait_for_report().header("Status") == "000 200 OK"
    (push,) = on.device.wait_for_pushes(1)
    assert push.read() == CONTENT


def test_a_part_that_the_sender_offers_is_taken_when_it_joins_what_is_here() -> None:
    with bench() as on:
        _, file = begun(on)
        answers(file, file.session.send(CONTENT, "image/png", stop=60_000, last="+"))
        file.session.wait_for_connection().close()
        on.device.wait_for("file_interrupted")
        sender, rest = on.sender(), on.file(attributes=("a=file-range:50001-100000",))
        assert sender.invite(rest).status == 200
        assert sender.lines[0].value("file-range") == "50001-100000"
        rest.session.connect()
        rest.session.send(CONTENT[50_000:], "image/png")
        (push,) = on.device.wait_for_pushes(1)
        assert push.read() == CONTENT


def test_a_part_that_does_not_join_what_is_here_is_refused() -> None:
    with bench() as on:
        answer = on.sender().invite(on.file(attributes=("a=file-range:50001-100000",)))
        assert answer.status == 500
        assert "only 0 bytes" in answer.header("Warning")


def test_only_so_many_interrupted_files_are_kept(tmp_path: Path) -> None:
    with bench(sessions=Sessions(folder=tmp_path, partial_files=2)) as on:
        for number in range(4):
            _, file = begun(on, secrets.token_bytes(10_000))
            answers(file, file.session.send(file.content, "image/png", stop=5_000, last="+"))
            file.session.wait_for_connection().close()
            on.device.wait_for("file_interrupted", number + 1)
        assert len(list(tmp_path.rglob("*.part"))) == 2
