"""What comes over MSRP in a session: answered, reported, put together, checked."""

import gzip
import secrets
from pathlib import Path

import pytest

from omapush.receiver import Push, Reason, Refused, Sessions
from tests.fakes.file_sender import File, sha1
from tests.harness.wait import wait_until
from tests.unit.receiver.session_bench import (
    CONTENT,
    KEEP_ALIVE,
    answers,
    begun,
    bench,
    failure,
    has_answered_all,
    send,
)

# ---- answers and reports -----------------------------------------------------------------------------------


@pytest.mark.req("PRA-MSRP-5", "PRA-MSRP-6")
@pytest.mark.parametrize(("success", "reports"), [("yes", 1), ("no", 0), ("", 0)])
def test_a_report_is_sent_when_it_is_asked_for_and_only_then(success: str, reports: int) -> None:
    with bench() as on:
        _, file = begun(on)
        file.session.send(CONTENT, "image/png", success=success, chunk=30_000)
        on.device.wait_for_pushes(1)
        if reports:
            report = file.session.wait_for_report()
            assert str(report.byte_range) == "1-100000/100000"
            assert report.header("Status") == "000 200 OK"
            assert report.to_path == [file.session.uri]
            assert report.from_path == file.session.remote
        has_answered_all(file)
        assert len(file.session.reports) == reports


@pytest.mark.req("PRA-MSRP-6")
@pytest.mark.parametrize("interest", ["partial", "no"])
def test_who_does_not_want_200_gets_none_but_the_report(interest: str) -> None:
    with bench() as on:
        _, file = begun(on)
        before = len(file.session.answers)
        file.session.send(CONTENT, "image/png", failure=interest)
        assert file.session.wait_for_report().header("Status") == "000 200 OK"
        assert len(file.session.answers) == before


def test_requests_that_cannot_be_taken_are_refused() -> None:
    with bench() as on:
        _, file = begun(on)
        _, other = begun(on)
        path = file.session.remote[0]
        nobody = path.replace(path.rpartition("/")[2], "nobody;tcp")
        cases = {
            481: file.session.send_frame(KEEP_ALIVE, to_path=[nobody]),
            506: file.session.send_frame(KEEP_ALIVE, to_path=other.session.remote),
            501: file.session.send_frame(KEEP_ALIVE, method="AUTH"),
            400: file.session.send_frame({**KEEP_ALIVE, "Byte-Range": "0-1/2"}),
        }
        for code, transaction in cases.items():
            assert file.session.wait_for_answer(transaction).status == code
        send(file)
        send(other)


def test_a_type_that_was_not_agreed_gets_415() -> None:
    with bench(accept={"mms.ua": ("image/png",)}) as on:
        _, file = begun(on)
        assert set(answers(file, file.session.send(CONTENT, "text/html"))) == {415}
        assert on.device.pushes == []


def test_bytes_that_are_no_msrp_end_the_connection_and_nothing_else() -> None:
    with bench() as on:
        (_, broken), (_, good) = begun(on), begun(on)
        broken.session.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        connection = broken.session.wait_for_connection()
        wait_until(lambda: not connection.is_open, 5, "the end of the connection")
        send(good)


def test_reports_and_answers_that_nobody_asked_for_change_nothing() -> None:
    with bench() as on:
        _, file = begun(on)
        file.session.send_frame({"Message-ID": "un.known", "Status": "000 200 OK"}, method="REPORT")
        head = f"To-Path: {file.session.remote[0]}\r\nFrom-Path: {file.session.uri}\r\n"
        file.session.write(f"MSRP abcd1234 200 OK\r\n{head}-------abcd1234$\r\n".encode())
        send(file)


def test_content_that_is_coded_is_handed_over_as_it_was_before() -> None:
    """As in a MESSAGE: large or not, and inside of the wrapped form as well."""
    text = b"again and " * 20_000
    with bench() as on:
        for content, kind in ((text, "text/plain"), (b"short", "text/plain")):
            coded = gzip.compress(content)
            _, file = begun(on, coded, content_type=kind)
            file.session.send(coded, kind, headers={"Content-Encoding": "gzip"})
            assert file.session.wait_for_report().header("Status") == "000 200 OK"
        wrapped = b"Content-Type: text/css\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(text)
        _, file = begun(on, wrapped, content_type="application/vnd.oma.push")
        file.session.send(wrapped, "application/vnd.oma.push")
        pushes = on.device.wait_for_pushes(3)
        assert [one.content for one in pushes] == [text, b"short", text]
        assert [one.size for one in pushes] == [len(text), 5, len(text)]


@pytest.mark.parametrize(("coding", "status"), [("br", "000 415"), ("gzip", "000 400")])
def test_content_whose_coding_cannot_be_undone_reaches_nobody(coding: str, status: str) -> None:
    with bench() as on:
        _, file = begun(on)
        file.session.send(CONTENT, "image/png", headers={"Content-Encoding": coding})
        assert failure(file).startswith(status)
        assert on.device.pushes == []


# ---- putting together --------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [1_000_000, 2_048, 7_777])
def test_large_content_is_a_file_and_equal_however_it_was_cut(chunk: int) -> None:
    with bench() as on:
        _, file = begun(on, name="../../etc/passwd")
        file.session.send(CONTENT, "image/png", chunk=chunk)
        (push,) = on.device.wait_for_pushes(1)
        assert (push.content, push.size, push.name) == (b"", len(CONTENT), "passwd")
        assert push.path is not None
        assert push.path.read_bytes() == push.read() == CONTENT
        assert push.path.name.endswith("-passwd")
        assert ".." not in push.path.parts


def test_chunks_may_come_in_any_order_and_overlap() -> None:
    with bench() as on:
        _, file = begun(on)
        parts = [(60_001, 100_000, "$"), (20_001, 70_000, "+"), (1, 20_000, "+")]
        for start, stop, flag in parts:
            file.session.send(
                CONTENT, "image/png", start=start, stop=stop, last=flag, message_id="one.message"
            )
        (push,) = on.device.wait_for_pushes(1)
        assert push.read() == CONTENT


def test_an_empty_content_is_delivered() -> None:
    with bench() as on:
        sender, file = on.sender(), on.file(b"", selectors="type:text/plain size:0")
        assert sender.invite(file).status == 200
        file.session.connect()
        file.session.send(b"", "text/plain")
        (push,) = on.device.wait_for_pushes(1)
        assert (push.content, push.size) == (b"", 0)


def test_several_files_of_one_session_come_over_one_connection() -> None:
    with bench() as on:
        sender = on.sender()
        files = [on.file(secrets.token_bytes(30_000)) for _ in range(3)]
        sender.invite(*files)
        connection = files[0].session.connect()
        for file in files[1:]:
            file.session.use(connection)
        for start in range(1, 30_001, 10_000):  # a piece of each in turn
            for file in files:
                flag = "$" if start == 20_001 else "+"
                name = f"message.of.{file.name}.{file.transfer_id}"[:32]
                file.session.send(
                    file.content, "image/png", start=start, stop=start + 9_999, last=flag, message_id=name
                )
        pushes = on.device.wait_for_pushes(3)
        assert sorted(push.read() for push in pushes) == sorted(file.content for file in files)


def test_a_session_without_a_file_brings_messages() -> None:
    with bench() as on:
        _, file = begun(on, selectors="")
        for number in range(3):
            file.session.send(f"message {number}".encode(), "text/plain")
        pushes = on.device.wait_for_pushes(3)
        assert [push.content for push in pushes] == [b"message 0", b"message 1", b"message 2"]


def test_a_file_transfer_brings_one_message() -> None:
    with bench() as on:
        _, file = begun(on)
        send(file)
        assert answers(file, file.session.send(b"another", "image/png")) == [403]
        assert len(on.device.pushes) == 1


# ---- what is not delivered ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "selectors",
    [
        f"type:image/png size:{len(CONTENT)} hash:sha-1:{sha1(b'other')}",
        f"type:image/png size:{len(CONTENT) + 1}",
    ],
)
def test_a_file_that_is_not_what_was_told_is_not_delivered(selectors: str) -> None:
    with bench() as on:
        _, file = begun(on, selectors=selectors)
        file.session.send(CONTENT, "image/png")
        assert failure(file).startswith("000 400")
        assert on.device.pushes == []


def test_more_than_the_device_takes_gets_413_in_the_middle() -> None:
    with bench(sessions=Sessions(file_bytes=50_000)) as on:
        _, file = begun(on, selectors="")
        (refused,) = file.session.send(CONTENT, "image/png", total=49_000)
        assert file.session.wait_for_answer(refused).status == 413
        assert answers(file, file.session.send(CONTENT, "image/png", stop=3_000, last="+")) == [413]
        send(File(file.session, CONTENT[:40_000]))
        assert len(on.device.pushes) == 1


def test_a_message_that_its_sender_aborts_leaves_nothing(tmp_path: Path) -> None:
    with bench(sessions=Sessions(folder=tmp_path)) as on:
        sender, file = begun(on)
        assert answers(file, file.session.send(CONTENT, "image/png", stop=50_000, last="#")) == [200]
        sender.bye()
        assert on.device.pushes == []
        assert [one for one in tmp_path.rglob("*") if one.is_file()] == []


@pytest.mark.parametrize(
    ("refusal", "status"),
    [
        (Refused(Reason.FORBIDDEN), "000 403"),
        (Refused(Reason.TYPE), "000 415"),
        (Refused(Reason.NO_ROOM), "000 413"),
        (KeyError("a defect"), "000 413"),
    ],
)
def test_an_application_that_refuses_what_came_is_reported(
    refusal: Exception, status: str, tmp_path: Path
) -> None:
    with bench(sessions=Sessions(folder=tmp_path)) as on:

        def decide(push: Push) -> None:
            raise refusal

        on.device.decide = decide
        _, file = begun(on)
        assert set(answers(file, file.session.send(CONTENT, "image/png"))) == {200}
        assert failure(file).startswith(status)
        assert [one for one in tmp_path.rglob("*") if one.is_file()] == []
