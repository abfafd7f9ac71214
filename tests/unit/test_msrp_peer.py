"""The MSRP endpoint for tests does what RFC 4975 says, and sees what breaks it."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.fakes.msrp_peer import Manners, MsrpPeer, Session
from tests.fakes.msrp_text import Frame, FrameReader, Violation
from tests.harness.wait import wait_until

HEAD = "MSRP a786hjs2 SEND\r\nTo-Path: msrp://127.0.0.1:7654/ours;tcp\r\nFrom-Path: msrp://127.0.0.1:2855/them;tcp\r\n"
WHOLE = (
    HEAD
    + "Message-ID: 87652491\r\nByte-Range: 1-4/4\r\nContent-Type: text/plain\r\n\r\nHey!\r\n"
    + "-------a786hjs2$\r\n"
).encode()


def read(data: bytes) -> list[Frame]:
    return list(FrameReader().feed(data))


# ---- framing -----------------------------------------------------------------------------------------------


def test_a_request_is_read_with_its_body() -> None:
    (frame,) = read(WHOLE)
    assert (frame.method, frame.transaction, frame.body, frame.flag) == ("SEND", "a786hjs2", b"Hey!", "$")
    assert frame.message_id == "87652491"
    assert str(frame.byte_range) == "1-4/4"
    assert frame.from_path == ["msrp://127.0.0.1:2855/them;tcp"]


def test_cut_at_every_byte_it_is_the_same_request() -> None:
    whole = read(WHOLE * 2)
    for cut in range(len(WHOLE) * 2):
        reader = FrameReader()
        found = [*reader.feed((WHOLE * 2)[:cut]), *reader.feed((WHOLE * 2)[cut:])]
        assert found == whole
        assert reader.is_between_frames


def test_no_body_is_not_an_empty_body() -> None:
    none = (HEAD + "Message-ID: 87652491\r\n-------a786hjs2$\r\n").encode()
    empty = (HEAD + "Message-ID: 87652491\r\nContent-Type: a/b\r\n\r\n\r\n-------a786hjs2$\r\n").encode()
    assert [one.body for one in read(none + empty)] == [None, b""]


def test_a_body_may_hold_anything_but_its_end_line() -> None:
    body = b"-------a786hjs2x\r\n-------other123$\r\n\x00\xff\r\n\r\n"
    (frame,) = read(WHOLE.replace(b"Hey!", body).replace(b"Byte-Range: 1-4/4", b"Byte-Range: 1-*/*"))
    assert frame.body == body


def test_a_body_that_is_still_coming_is_counted() -> None:
    reader = FrameReader()
    assert not list(reader.feed(WHOLE[: WHOLE.index(b"!")]))
    assert reader.partial is not None
    assert reader.partial.octets == 3
    assert not reader.is_between_frames


def test_a_response_is_read() -> None:
    (frame,) = read(
        b"MSRP a786hjs2 413 Stop it\r\nTo-Path: msrp://a:1/x;tcp\r\nFrom-Path: msrp://b:2/y;tcp\r\n-------a786hjs2$\r\n"
    )
    assert (frame.method, frame.status, frame.body) == ("", 413, None)


def test_what_it_writes_it_reads() -> None:
    (frame,) = read(WHOLE)
    assert frame.serialize() == WHOLE


BROKEN = {
    "a lower case method": WHOLE.replace(b"SEND", b"send"),
    "a transaction of three characters": WHOLE.replace(b"a786hjs2", b"a78"),
    "a line feed alone": WHOLE.replace(b"SEND\r\n", b"SEND\n"),
    "paths in the wrong order": WHOLE.replace(b"To-Path", b"X-Path").replace(b"From-Path", b"To-Path"),
    "two spaces after a colon": WHOLE.replace(b"Message-ID: ", b"Message-ID:  "),
    "no space after a colon": WHOLE.replace(b"Message-ID: ", b"Message-ID:"),
    "no Message-ID": WHOLE.replace(b"Message-ID: 87652491\r\n", b""),
    "a header twice": WHOLE.replace(b"Byte-Range", b"Message-ID: 87652491\r\nByte-Range"),
    "no Content-Type": WHOLE.replace(b"Content-Type: text/plain\r\n", b""),
    "a header after Content-Type": WHOLE.replace(b"plain\r\n", b"plain\r\nSuccess-Report: yes\r\n"),
    "a content header without body": (
        HEAD + "Message-ID: 87652491\r\nContent-Type: a/b\r\n-------a786hjs2$\r\n"
    ).encode(),
    "an answer that is neither yes nor no": WHOLE.replace(
        b"Byte-Range", b"Success-Report: Yes\r\nByte-Range"
    ),
    "a Byte-Range from zero": WHOLE.replace(b"1-4/4", b"0-3/4"),
    "a Byte-Range without total": WHOLE.replace(b"1-4/4", b"1-4"),
    "a range that is longer than the body": WHOLE.replace(b"1-4/4", b"1-5/5"),
    "an end before the total": WHOLE.replace(b"1-4/4", b"1-*/9"),
    "an end-line inside the body": WHOLE.replace(b"Hey!", b"\r\n-------a786hjs2$ "),
    "a URI without transport": WHOLE.replace(b"ours;tcp", b"ours"),
    "a URI of another scheme": WHOLE.replace(b"msrp://127.0.0.1:7654", b"http://127.0.0.1:7654"),
    "a head in Latin-1": WHOLE.replace(b"Byte-Range", b"X-Name: \xe4\r\nByte-Range"),
    "no line end before the end-line": WHOLE.replace(b"Hey!\r\n---", b"Hey!---"),
    "a large chunk that cannot be interrupted": WHOLE.replace(b"Hey!", b"x" * 2049).replace(
        b"1-4/4", b"1-2049/2049"
    ),
    "a REPORT that asks for reports": (
        HEAD.replace("SEND", "REPORT")
        + "Message-ID: 87652491\r\nStatus: 000 200 OK\r\nSuccess-Report: no\r\n-------a786hjs2$\r\n"
    ).encode(),
    "a REPORT without Status": (
        HEAD.replace("SEND", "REPORT") + "Message-ID: 87652491\r\n-------a786hjs2$\r\n"
    ).encode(),
    "a response with a flag for more": (
        HEAD.replace("SEND", "200 OK") + "Message-ID: 87652491\r\n-------a786hjs2+\r\n"
    ).encode(),
}


@pytest.mark.parametrize("rule", BROKEN)
def test_it_sees(rule: str) -> None:
    with pytest.raises(Violation):
        read(BROKEN[rule])


# ---- the endpoint ------------------------------------------------------------------------------------------


@contextmanager
def raw(peer: MsrpPeer) -> Iterator[socket.socket]:
    with socket.create_connection((peer.host, peer.port), timeout=5) as opened:
        yield opened


def take(opened: socket.socket, count: int) -> list[Frame]:
    reader, found = FrameReader(), list[Frame]()
    while len(found) < count:
        data = opened.recv(65_536)
        assert data, found
        found += reader.feed(data)
    return found


def to(session: Session, data: bytes) -> bytes:
    return data.replace(b"msrp://127.0.0.1:7654/ours;tcp", session.uri.encode())


def test_a_message_is_answered_and_reported_when_asked() -> None:
    with MsrpPeer() as peer, raw(peer) as opened:
        session = peer.session()
        opened.sendall(to(session, WHOLE.replace(b"Byte-Range", b"Success-Report: yes\r\nByte-Range")))
        answer, report = take(opened, 2)
        assert (answer.status, answer.transaction) == (200, "a786hjs2")
        assert answer.to_path == ["msrp://127.0.0.1:2855/them;tcp"]
        assert (report.method, report.message_id, report.header("Status")) == (
            "REPORT",
            "87652491",
            "000 200 OK",
        )
        assert str(report.byte_range) == "1-4/4"
        assert bytes(session.wait_for_message().content) == b"Hey!"
        assert peer.violations == []


@pytest.mark.parametrize(("value", "count"), [("yes", 1), ("partial", 0), ("no", 0)])
def test_the_failure_report_decides_whether_200_is_sent(value: str, count: int) -> None:
    with MsrpPeer() as peer, raw(peer) as opened:
        session = peer.session()
        opened.sendall(
            to(session, WHOLE.replace(b"Byte-Range", f"Failure-Report: {value}\r\nByte-Range".encode()))
        )
        opened.sendall(to(session, WHOLE.replace(b"a786hjs2", b"b786hjs2").replace(b"87652491", b"1234")))
        answers = take(opened, count + 1)
        assert [one.transaction for one in answers] == ["a786hjs2", "b786hjs2"][1 - count :]


def test_chunks_make_one_message_in_any_order() -> None:
    second = WHOLE.replace(b"1-4/4", b"5-8/8").replace(b"Hey!", b" you")
    first = WHOLE.replace(b"1-4/4", b"1-4/8").replace(b"2$", b"2+").replace(b"a786hjs2", b"c786hjs2")
    with MsrpPeer() as peer, raw(peer) as opened:
        session = peer.session()
        opened.sendall(to(session, second + first))
        assert bytes(session.wait_for_message().content) == b"Hey! you"
        assert peer.violations  # a sender has to keep the order


def test_an_unknown_session_gets_481_and_one_of_another_connection_506() -> None:
    with MsrpPeer() as peer, raw(peer) as first, raw(peer) as second:
        session = peer.session()
        first.sendall(WHOLE)
        assert [one.status for one in take(first, 1)] == [481]
        first.sendall(to(session, WHOLE))
        assert [one.status for one in take(first, 1)] == [200]
        second.sendall(to(session, WHOLE))
        assert [one.status for one in take(second, 1)] == [506]


def test_it_can_refuse_in_the_middle_of_a_chunk() -> None:
    with MsrpPeer() as peer, raw(peer) as opened:
        session = peer.session(manners=Manners(answer_at=(100, 413)))
        begun = to(session, WHOLE.replace(b"1-4/4", b"1-*/9000"))
        opened.sendall(begun[: begun.index(b"Hey!")] + b"x" * 300)
        assert [one.status for one in take(opened, 1)] == [413]
        opened.sendall(b"\r\n-------a786hjs2#\r\n")
        wait_until(lambda: "87652491" in session.messages, 5, "the message")
        assert session.messages["87652491"].aborted


def test_it_can_ask_in_the_middle_of_a_chunk() -> None:
    with MsrpPeer() as peer, raw(peer) as opened:
        session = peer.session(["msrp://127.0.0.1:2855/them;tcp"], Manners(ask_at=100))
        begun = to(session, WHOLE.replace(b"1-4/4", b"1-*/9000"))
        opened.sendall(begun[: begun.index(b"Hey!")] + b"x" * 300)
        (asked,) = take(opened, 1)
        assert (asked.method, asked.body) == ("SEND", None)
        answer = Frame(
            asked.transaction, "", 200, (("To-Path", session.uri), ("From-Path", session.remote[0]))
        )
        opened.sendall(b"\r\n-------a786hjs2+\r\n" + answer.serialize())
        assert session.wait_for_answer(asked.transaction).status == 200
        assert peer.violations == []


def test_it_can_close_in_the_middle() -> None:
    with MsrpPeer() as peer, raw(peer) as opened:
        session = peer.session(manners=Manners(close_at=100))
        begun = to(session, WHOLE.replace(b"1-4/4", b"1-*/9000"))
        opened.sendall(begun[: begun.index(b"Hey!")] + b"x" * 300)
        assert opened.recv(100) == b""


def test_two_of_them_send_a_message_in_chunks_over_one_connection_with_two_sessions() -> None:
    content = bytes(range(256)) * 100
    with MsrpPeer() as receiving, MsrpPeer() as sending:
        here, there = [receiving.session() for _ in "12"], [sending.session() for _ in "12"]
        for mine, other in zip(here, there, strict=True):
            mine.remote, other.remote = [other.uri], [mine.uri]
        connection = there[0].connect()
        there[1].use(connection)
        for session in there:
            for transaction in session.send(content, "image/png", chunk=3_000):
                assert session.wait_for_answer(transaction).status == 200
            assert str(session.wait_for_report().byte_range) == f"1-{len(content)}/{len(content)}"
        for session in here:
            assert bytes(session.wait_for_message().content) == content
        assert len(receiving.connections) == 1
        assert receiving.violations == sending.violations == []


def test_what_nobody_asked_for_is_a_violation() -> None:
    with MsrpPeer() as peer, raw(peer) as opened:
        session = peer.session()
        answer = Frame("a786hjs2", "", 200, (("To-Path", session.uri), ("From-Path", "msrp://a:1/b;tcp")))
        opened.sendall(answer.serialize() + b"GET / HTTP/1.1\r\n\r\n")
        wait_until(lambda: len(peer.violations) == 2, 5, lambda: str(peer.violations))
