"""What the wire tests stand on: ports, processes, waiting and SIPp."""

import os
import signal
import socket
import sys
from pathlib import Path

import pytest

from tests.harness.ports import free_port, free_ports, is_bound
from tests.harness.processes import Process, ProcessEnded
from tests.harness.sip_peer import SipPeer
from tests.harness.sip_ping import answers_options
from tests.harness.sipp import Sipp
from tests.harness.wait import wait_until
from tests.wire.requests import request

SHARED = Path(__file__).parent.parent / "sipp-scenarios" / "_shared"
WAIT_FOREVER = "import signal; print('up', flush=True); signal.pause()"
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {WAIT_FOREVER}"


def python(code: str, tmp_path: Path) -> Process:
    return Process([sys.executable, "-c", code], log=tmp_path / "log")


def test_waiting_ends_when_the_condition_holds_or_says_what_it_waited_for() -> None:
    answers = iter([False, True])
    wait_until(lambda: next(answers), 5, "second answer")

    with pytest.raises(TimeoutError, match=r"still no miracle"):
        wait_until(lambda: False, 0.01, "miracle")


def test_free_ports_differ_and_can_be_bound_on_both_protocols() -> None:
    ports = free_ports(20)

    assert len(set(ports)) == 20
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(socket.AF_INET, kind) as mine:
            mine.bind(("127.0.0.1", ports[0]))


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_a_port_in_use_is_seen(kind: socket.SocketKind) -> None:
    port = free_port()
    assert not is_bound(port)
    with socket.socket(socket.AF_INET, kind) as mine:
        mine.bind(("127.0.0.1", port))
        if kind is socket.SOCK_STREAM:
            mine.listen()
        assert is_bound(port)
    assert not is_bound(port)


def test_a_process_logs_stops_by_term_and_starts_again(tmp_path: Path) -> None:
    with python(WAIT_FOREVER, tmp_path) as process:
        assert process.wait_for_line("u") == "up"
        assert process.stop() == -signal.SIGTERM
        process.start()
        process.wait_until(lambda: process.log_text() == "up\nup\n", 10, "second start")
        assert process.is_running
    assert not process.is_running


def test_a_process_deaf_to_term_is_killed(tmp_path: Path) -> None:
    with python(DEAF, tmp_path) as process:
        process.wait_for_line("up")
        assert process.stop(patience_s=0.05) == -signal.SIGKILL


def test_stopping_takes_the_children_along_and_nobody_else(tmp_path: Path) -> None:
    argv = f"[sys.executable, '-c', {WAIT_FOREVER!r}]"
    child = f"import subprocess, sys; print(subprocess.Popen({argv}).pid, flush=True)"
    with (
        python(f"{child}; {WAIT_FOREVER}", tmp_path) as parent,
        python(WAIT_FOREVER, tmp_path / "other") as other,
    ):
        parent.wait_until(lambda: parent.log_text().count("up") == 2, 10, "parent and child")
        child_pid = int(next(line for line in parent.log_text().splitlines() if line.isdecimal()))
        parent.stop()
        wait_until(lambda: is_gone(child_pid), 5, "end of the child")
        assert other.is_running


def is_gone(pid: int) -> bool:
    """True when the process ended, even if nobody has collected it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_waiting_for_a_dead_process_says_its_last_words(tmp_path: Path) -> None:
    with python("import sys; print('why'); sys.exit(3)", tmp_path) as process:
        assert process.wait_for_exit(10) == 3
        assert process.wait_for_line("why") == "why"
        with pytest.raises(ProcessEnded, match=r"ended with 3 before: .*never(.|\n)*why"):
            process.wait_for_line("never")
        assert process.exit_code == 3


def test_a_process_inherits_the_environment_and_its_own_additions(tmp_path: Path) -> None:
    code = "import os; print(os.environ['PATH'] + os.environ['ADDED'])"
    with Process([sys.executable, "-c", code], log=tmp_path / "log", env={"ADDED": "!"}) as process:
        process.wait_for_exit(10)
    assert process.log_text() == f"{os.environ['PATH']}!\n"


def test_sipp_plays_both_sides_and_keeps_the_traces(tmp_path: Path) -> None:
    with Sipp(SHARED / "uas-message.xml", folder=tmp_path, calls=3) as receiver:
        sent = Sipp(
            SHARED / "uac-message.xml",
            folder=tmp_path,
            to=("127.0.0.1", receiver.port),
            calls=3,
            rate=100,
            inf=[
                ["sip:alice@home1.example", "sip:one@home1.example"],
                ["sip:bob@home1.example", "sip:two@h"],
            ],
            keys={"route": "", "params": ""},
        ).run()
        received = receiver.finish()

    assert (sent.exit_code, received.exit_code) == (0, 0), f"{sent}{received}"
    assert sent.messages.count("MESSAGE sip:alice@home1.example SIP/2.0") == 2
    assert received.messages.count("MESSAGE sip:bob@home1.example SIP/2.0") == 1


@pytest.mark.parametrize("instead", ["", "      Contact: <sip:a@b>\n      P-Asserted-Identity: <[field1]>\n"])
def test_a_message_without_asserted_identity_or_with_contact_fails_the_receiver(
    tmp_path: Path, instead: str
) -> None:
    bare = tmp_path / "bare.xml"
    text = (SHARED / "uac-message.xml").read_text()
    bare.write_text(text.replace("      P-Asserted-Identity: <[field1]>\n", instead))
    with Sipp(SHARED / "uas-message.xml", folder=tmp_path) as receiver:
        Sipp(
            bare,
            folder=tmp_path,
            to=("127.0.0.1", receiver.port),
            inf=[["sip:alice@home1.example", "sip:mmsc@home1.example"]],
            keys={"route": "", "params": ""},
            deadline_s=1,
        ).run()
        assert receiver.finish().exit_code == 1


def test_the_third_party_register_fails_when_another_expires_comes_back(tmp_path: Path) -> None:
    grant = tmp_path / "grant.xml"
    text = (SHARED / "as-takes-register.xml").read_text()
    for expires, code in (("[last_Expires:]", 0), ("Expires: 60", 255)):
        grant.write_text(text.replace("[last_Expires:]", expires))
        with Sipp(grant, folder=tmp_path) as server:
            told = Sipp(
                SHARED / "third-party-register.xml",
                folder=tmp_path,
                to=("127.0.0.1", server.port),
                inf=[["sip:alice@home1.example", "sip:alice@127.0.0.1:5229", "mms.ua,ulp.ua"]],
                keys={"expires": "720", "ue_expires": "600", "s_cscf": "127.0.0.1:6060"},
            ).run()
            taken = server.finish()
        assert taken.exit_code == 0, taken
        assert told.exit_code == code, told
        assert ("another Expires" in told.errors) == (code != 0)


def test_an_injection_field_with_a_semicolon_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="semicolon"):
        Sipp(SHARED / "uac-message.xml", folder=tmp_path, inf=[["sip:a;b"]])


def test_nobody_answers_options_on_a_free_port() -> None:
    assert not answers_options(("127.0.0.1", free_port()))


def test_a_peer_that_forgets_does_not_show_what_is_repeated_from_before() -> None:
    """A server repeats a request for want of an answer, and may do so when the next test looks."""
    with SipPeer(policy=lambda _: None) as peer, SipPeer() as server:
        before, after = (request("MESSAGE", "sip:alice@home1.example", server.address) for _ in range(2))
        server.send(before, peer.address)
        wait_until(lambda: len(peer.requests) == 1, 5, "the request")
        peer.forget()
        assert peer.requests == []
        for raw in (before, after):
            server.send(raw, peer.address)
        wait_until(lambda: peer.arrived == 2, 5, "a repetition and a new one")

        assert [one.raw for one in peer.requests] == [after]
