"""What comes over MSRP in a session: answered, reported, put together, checked, delivered once."""

import secrets
from pathlib import Path

import pytest

from omapush.receiver import Limits, Play, Push, Reason, Refused, Sessions
from tests.fakes.file_sender import File, FileSender, sha1
from tests.fakes.msrp_peer import MsrpPeer
from tests.harness.certificates import certificate
from tests.harness.wait import wait_until
from tests.unit.receiver.core import ALICE, PSA, registered, wait_for
from tests.unit.receiver.test_sessions import CONTENT, Bench, bench, send

KEEP_ALIVE = {"Message-ID": "keep.alive"}


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


# ---- who connects ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("setup", "wish"), [("passive", False), ("actpass", True)])
def test_the_device_connects_where_it_has_to_or_may(setup: str, wish: bool) -> None:
    with bench(sessions=Sessions(connect=wish)) as on:
        sender, file = on.sender(), on.file(setup=setup)
        sender.invite(file)
        assert sender.lines[0].value("setup") == "active"
        assert sender.lines[0].port == 9
        file.session.wait_for_connection()
        send(file)
        assert on.device.wait_for_pushes(1)[0].read() == CONTENT
        sender.bye()
        wait_until(lambda: not on.msrp.connections[0].is_open, 5, "the end of the connection")


@pytest.mark.parametrize("setup", ["active", "", "holdconn"])
def test_the_device_listens_where_the_sender_connects(setup: str) -> None:
    with bench(sessions=Sessions(connect=True)) as on:
        sender, file = on.sender(), on.file(setup=setup)
        sender.invite(file)
        assert sender.lines[0].value("setup") == "passive"
        send(file)


def test_a_sender_that_cannot_be_reached_is_told_of() -> None:
    with bench() as on:
        sender, file = on.sender(), on.file(setup="passive")
        file.session.uri = file.session.uri.replace(f":{on.msrp.port}/", ":1/")
        sender.invite(file)
        assert "MSRP to 127.0.0.1:1" in str(on.device.wait_for("file_interrupted")["reason"])
        assert sender.bye().status == 200


@pytest.mark.req("PRA-MSRP-4")
@pytest.mark.parametrize("setup", ["actpass", "passive"])
def test_content_comes_over_tls(setup: str, tmp_path: Path) -> None:
    server, client = certificate(tmp_path)
    settings = Sessions(tls=client, tls_server=server)
    with MsrpPeer(tls=server) as msrp, registered(sessions=settings) as (sip, device):
        on = Bench(sip, device, msrp)
        sender, file = on.sender(), on.file(setup=setup)
        assert sender.invite(file).status == 200
        assert (sender.lines[0].value("path") or "").startswith("msrps://")
        if setup == "actpass":
            file.session.connect(tls=client)
        else:
            file.session.wait_for_connection()
        send(file)
        assert device.wait_for_pushes(1)[0].read() == CONTENT


def test_tls_without_a_certificate_is_refused(tmp_path: Path) -> None:
    server, _ = certificate(tmp_path)
    with MsrpPeer(tls=server) as msrp, registered() as (sip, device):
        on = Bench(sip, device, msrp)
        assert on.sender().invite(on.file()).status == 488


# ---- a device that is told to misbehave --------------------------------------------------------------------


def test_a_device_stops_in_the_middle_by_closing_its_connection() -> None:
    with bench(sessions=Sessions(play=Play(stop_at=30_000, stop_by="close"))) as on:
        _, file = begun(on)
        file.session.send(CONTENT, "image/png", stop=60_000, last="+")
        connection = file.session.wait_for_connection()
        wait_until(lambda: not connection.is_open, 5, "the end of the connection")
        assert on.device.pushes == []


def test_a_device_refuses_in_the_middle() -> None:
    with bench(sessions=Sessions(play=Play(stop_at=30_000, stop_by="refuse"))) as on:
        _, file = begun(on)
        (transaction,) = file.session.send(CONTENT, "image/png", stop=60_000, last="#")
        assert file.session.wait_for_answer(transaction).status == 413


def test_a_device_hangs_up_in_the_middle() -> None:
    with bench(sessions=Sessions(play=Play(stop_at=30_000, stop_by="bye"))) as on:
        sender, file = begun(on)
        file.session.send(CONTENT, "image/png", stop=60_000, last="+")
        assert wait_for(on.sip, "BYE").header("Call-ID") == sender.call_id


def test_a_device_reads_no_further() -> None:
    with bench(sessions=Sessions(play=Play(stop_at=30_000, stop_by="silence"), idle_s=60)) as on:
        _, file = begun(on)
        file.session.send(CONTENT, "image/png", stop=60_000, last="+")
        on.device.wait_for("stopped_in_the_middle")
        late = file.session.send_frame(KEEP_ALIVE)
        with pytest.raises(TimeoutError):
            file.session.wait_for_answer(late, 0.5)


def test_a_device_answers_and_reports_as_it_was_told() -> None:
    with bench(sessions=Sessions(play=Play(answer=408, report=False))) as on:
        _, file = begun(on, selectors="")
        assert answers(file, file.session.send(b"x", "text/plain")) == [408]
        has_no_report = file.session.send_frame(KEEP_ALIVE)
        assert file.session.wait_for_answer(has_no_report).status == 408
        assert file.session.reports == []


def test_a_device_reads_as_slowly_as_it_was_told() -> None:
    with bench(sessions=Sessions(play=Play(octets_per_s=1_000_000))) as on:
        _, file = begun(on)
        send(file)
        assert on.device.wait_for_pushes(1)[0].read() == CONTENT


def test_the_identity_in_the_record_is_that_of_the_invite() -> None:
    with bench() as on:
        _, file = begun(on, b"x")
        send(file)
        (push,) = on.device.wait_for_pushes(1)
        assert push.sender == PSA
        assert push.header("To") == f"<{ALICE}>"
