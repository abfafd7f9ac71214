"""The fake handset, against a registrar of a few lines."""

import asyncio
import json
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.handset import Address, Answer, Handset, RegistrationFailed, handset_in_thread
from tests.fakes.sip_text import NotSip, SipText, reply
from tests.harness.processes import Process
from tests.harness.wait import wait_until

ROOT = Path(__file__).parent.parent.parent
ALICE = "sip:alice@home1.example"


class Registrar:
    """Answers what comes to its socket with what `decide` makes of it; None is silence."""

    def __init__(self, decide: Callable[[SipText, int], bytes | None]) -> None:
        self.requests: list[SipText] = []
        self._decide = decide
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.address: Address = self._socket.getsockname()

    def serve(self) -> None:
        while True:
            data, peer = self._socket.recvfrom(65535)
            if not data:
                return
            request = SipText.parse(data)
            self.requests.append(request)
            if answer := self._decide(request, len(self.requests)):
                self._socket.sendto(answer, peer)

    def close(self) -> None:
        self._socket.sendto(b"", self.address)


def grant(request: SipText, _number: int = 0) -> bytes:
    contact = f"{request.header('Contact')};expires={request.header('Expires')}"
    return reply(request, 200, "OK", [("Contact", contact)], "registrar")


@contextmanager
def registrar(decide: Callable[[SipText, int], bytes | None] = grant) -> Iterator[Registrar]:
    serving = Registrar(decide)
    thread = threading.Thread(target=serving.serve, daemon=True)
    thread.start()
    try:
        yield serving
    finally:
        serving.close()
        thread.join(timeout=5)


class Sender:
    """A socket that sends MESSAGEs straight to the handset."""

    def __init__(self, to: Address) -> None:
        self._to = to
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(5)

    def __enter__(self) -> "Sender":
        return self

    def __exit__(self, *_error: object) -> None:
        self._socket.close()

    def send(self, branch: str, method: str = "MESSAGE", body: bytes = b"hi") -> None:
        port = self._socket.getsockname()[1]
        head = (
            f"{method} sip:alice@127.0.0.1 SIP/2.0\r\nv: SIP/2.0/UDP 127.0.0.1:{port};branch={branch}\r\n"
            f"f: <sip:mmsc@home1.example>;tag=1\r\nt: <{ALICE}>\r\ni: {branch}\r\nCSeq: 1 {method}\r\n"
            f'a: *;+g.oma.pusheventapp="MMS.ua"\r\nc: text/plain\r\nl: {len(body)}\r\n\r\n'
        )
        self._socket.sendto(head.encode() + body, self._to)

    def answer(self) -> SipText:
        return SipText.parse(self._socket.recv(65535))


# ---- registering ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("apps", "tag"), [(["mms.ua", "ulp.ua"], ';+g.oma.pusheventapp="mms.ua,ulp.ua"'), ([], "")]
)
def test_it_registers_with_its_tags_and_leaves_with_expires_0(apps: list[str], tag: str) -> None:
    with registrar() as core, handset_in_thread(ALICE, core.address, apps=apps) as alice:
        instance = alice.handset.instance

    first, last = core.requests
    assert first.header("Require") == "pref"
    assert first.header("Contact").endswith(f';+sip.instance="<{instance}>"{tag}')
    assert (first.header("Expires"), last.header("Expires")) == ("600", "0")
    assert first.header("Call-ID") == last.header("Call-ID")
    assert (first.header("CSeq"), last.header("CSeq")) == ("1 REGISTER", "2 REGISTER")


def test_it_refreshes_before_a_short_grant_ends() -> None:
    def grant_one_second(request: SipText, _number: int) -> bytes:
        return reply(request, 200, "OK", [("Contact", f"{request.header('Contact')};expires=1")], "r")

    with registrar(grant_one_second) as core, handset_in_thread(ALICE, core.address):
        wait_until(lambda: len(core.requests) >= 3, 10, "second refresh")

    assert [request.header("Expires") for request in core.requests[:3]] == ["600", "600", "600"]


def test_a_refused_registration_is_an_error_that_says_the_code() -> None:
    def forbid(request: SipText, _number: int) -> bytes:
        return reply(request, 403, "Forbidden", [], "r")

    with (
        registrar(forbid) as core,
        pytest.raises(RegistrationFailed, match="403 Forbidden"),
        handset_in_thread(ALICE, core.address),
    ):
        pass


def test_a_lost_register_is_sent_again_in_the_same_transaction() -> None:
    def lose_the_first(request: SipText, number: int) -> bytes | None:
        return None if number == 1 else grant(request)

    with registrar(lose_the_first) as core, handset_in_thread(ALICE, core.address):
        pass

    assert core.requests[0].raw == core.requests[1].raw


def test_a_silent_registrar_ends_in_an_error() -> None:
    with (
        registrar(lambda _request, _number: None) as core,
        pytest.raises(RegistrationFailed, match="no answer"),
        handset_in_thread(ALICE, core.address, give_up_s=0.1),
    ):
        pass


# ---- pushes ---------------------------------------------------------------------------------------------


def test_a_push_is_kept_byte_for_byte_and_answered() -> None:
    with (
        registrar() as core,
        handset_in_thread(ALICE, core.address) as alice,
        Sender(alice.handset.address) as sender,
    ):
        sender.send("z9hG4bK1", body=b"\x00\xff\r\n\r\nend")
        answer = sender.answer()
        (push,) = alice.wait_for_pushes(1)

    assert (answer.status, answer.header("CSeq")) == (200, "1 MESSAGE")
    assert answer.header("To").startswith(f"<{ALICE}>;tag=")
    assert answer.all("Contact") == []
    assert push.body == b"\x00\xff\r\n\r\nend"
    assert push.raw.endswith(push.body)
    assert (push.apps, push.content_type) == (("mms.ua",), "text/plain")


def test_a_retransmission_gets_the_same_answer_and_counts_once() -> None:
    with (
        registrar() as core,
        handset_in_thread(ALICE, core.address) as alice,
        Sender(alice.handset.address) as sender,
    ):
        alice.answer_with(Answer(500), Answer(200))
        for _ in range(2):
            sender.send("z9hG4bK1")
        answers = [sender.answer() for _ in range(2)]

        assert answers[0].raw == answers[1].raw
        assert answers[0].start_line == "SIP/2.0 500 Internal Server Error"
        assert (len(alice.pushes), alice.handset.retransmissions) == (1, 1)


def test_answers_are_used_in_turn_and_then_the_usual_one_returns() -> None:
    with (
        registrar() as core,
        handset_in_thread(ALICE, core.address) as alice,
        Sender(alice.handset.address) as sender,
    ):
        alice.answer_with(Answer(415, headers=(("Accept", "text/plain"),)), Answer(480))
        answers = []
        for number in range(3):
            sender.send(f"z9hG4bK{number}")
            answers.append(sender.answer())

    assert [answer.status for answer in answers] == [415, 480, 200]
    assert answers[0].header("Accept") == "text/plain"


def test_a_silent_handset_keeps_the_push_and_a_late_one_answers_after_all() -> None:
    with (
        registrar() as core,
        handset_in_thread(ALICE, core.address) as alice,
        Sender(alice.handset.address) as sender,
    ):
        alice.answer_with(Answer(None), Answer(486, delay_s=0.05))
        sender.send("z9hG4bK1")
        sender.send("z9hG4bK1")
        sender.send("z9hG4bK2")
        answer = sender.answer()

        assert (answer.status, answer.header("Call-ID")) == (486, "z9hG4bK2")
        assert (len(alice.pushes), alice.handset.retransmissions) == (2, 1)


@pytest.mark.parametrize(("method", "code"), [("OPTIONS", 200), ("INVITE", 405), ("NOTIFY", 405)])
def test_other_methods_are_answered_but_are_no_pushes(method: str, code: int) -> None:
    with (
        registrar() as core,
        handset_in_thread(ALICE, core.address) as alice,
        Sender(alice.handset.address) as sender,
    ):
        sender.send("z9hG4bK1", method)

        assert sender.answer().status == code
        assert alice.pushes == []


def test_waiting_in_vain_says_how_many_came() -> None:
    with (
        registrar() as core,
        handset_in_thread(ALICE, core.address) as alice,
        pytest.raises(TimeoutError, match="0 of 1 pushes"),
    ):
        alice.wait_for_pushes(1, deadline_s=0.05)


def test_it_runs_in_a_loop_of_the_test_as_well() -> None:
    async def one_push(proxy: Address) -> bytes:
        async with Handset(ALICE, proxy) as alice:
            with Sender(alice.address) as sender:
                sender.send("z9hG4bK1")
                return (await alice.wait_for_pushes(1))[0].body

    with registrar() as core:
        assert asyncio.run(one_push(core.address)) == b"hi"


# ---- the command ----------------------------------------------------------------------------------------


def test_the_command_prints_a_line_a_push_saves_it_and_leaves_in_order(tmp_path: Path) -> None:
    with registrar() as core:
        command: list[str | Path] = [
            *(sys.executable, "-m", "tests.fakes.handset", "--uri", ALICE, "--app", "mms.ua", "--json"),
            *("--proxy", f"127.0.0.1:{core.address[1]}", "--save", tmp_path / "pushes", "--answer", "480"),
        ]
        with Process(command, log=tmp_path / "log", cwd=ROOT) as process:
            registered = json.loads(process.wait_for_line('"registered"'))
            with Sender(("127.0.0.1", int(registered["at"].rpartition(":")[2]))) as sender:
                sender.send("z9hG4bK1", body=b"one\ntwo")
                assert sender.answer().status == 480
            push = json.loads(process.wait_for_line('"push"'))
            exit_code = process.stop()

    assert exit_code == 0
    assert (push["apps"], push["bytes"], push["answer"], push["text"]) == (["mms.ua"], 7, 480, "one.two")
    assert (tmp_path / "pushes" / "0001.body").read_bytes() == b"one\ntwo"
    assert (tmp_path / "pushes" / "0001.sip").read_bytes().startswith(b"MESSAGE ")
    assert core.requests[-1].header("Expires") == "0"


# ---- its parser -----------------------------------------------------------------------------------------

MESSAGE = (
    b"MESSAGE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h;rport;branch=z9hG4bKx\r\nTo: <sip:a@b>\r\n"
    b"Subject: one\r\n two\r\nCSeq: 7 MESSAGE\r\nContent-Length: 2\r\n\r\nhi, and more"
)


def test_the_parser_unfolds_lines_and_stops_at_the_content_length() -> None:
    message = SipText.parse(MESSAGE)

    assert message.header("subject") == "one two"
    assert (message.body, message.branch, message.method) == (b"hi", "z9hG4bKx", "MESSAGE")


@given(st.one_of(st.binary(max_size=200), st.integers(0, len(MESSAGE)).map(lambda end: MESSAGE[:end])))
def test_any_bytes_are_a_message_or_not_sip(data: bytes) -> None:
    try:
        message = SipText.parse(data)
    except NotSip:
        return
    assert message.raw == data
    assert isinstance(message.status, int)
