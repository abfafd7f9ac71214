"""`omapush receiver run` as a process: what it knows after a kill, and its move to another address."""

import json
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.harness.processes import Process
from tests.harness.sip_peer import SipPeer
from tests.harness.stack import ROOT
from tests.unit.receiver.core import grant, request, requests


def started(peer: SipPeer, folder: Path, *options: str) -> Process:
    """A device of bob, not yet entered."""
    argv: list[str | Path] = [sys.executable, "-m", "omapush.cli.main", "receiver", "run", "--json", *options]
    argv += ["--uri", "sip:bob@home1.example", "--proxy", f"sip:127.0.0.1:{peer.port}", "--app", "mms.ua"]
    return Process(argv, log=folder / "device.log", env={"PYTHONPATH": str(ROOT)})


def told(process: Process) -> list[dict[str, Any]]:
    return [json.loads(line) for line in process.log_text().splitlines() if line.startswith("{")]


def address(process: Process, event: str) -> tuple[str, int]:
    """Where the device is, by the last event of that name."""
    process.wait_for_line(f'"event": "{event}"')
    host, _, port = [one["at"] for one in told(process) if one["event"] == event][-1].rpartition(":")
    return host, int(port)


def test_a_push_that_comes_again_after_a_kill_is_shown_once(tmp_path: Path) -> None:
    push = {"X-Push-Id": "p1"}
    with SipPeer(policy=grant) as peer:
        for shown in (1, 0):
            with started(peer, tmp_path, "--remember", str(tmp_path / "taken")) as process:
                to = address(process, "ready")
                assert peer.ask(request(peer, "MESSAGE", push, b"hello"), to).status == 200
                assert peer.ask(request(peer, "OPTIONS"), to).status == 200
                assert sum(one["event"] == "push" for one in told(process)) == shown
                process.send_signal(signal.SIGKILL)
                process.wait_for_exit(10)
            (tmp_path / "device.log").unlink()


@pytest.mark.req("PRA-REG-1")
def test_sigusr2_moves_the_device(tmp_path: Path) -> None:
    with SipPeer(policy=grant) as peer, started(peer, tmp_path) as process:
        before = address(process, "ready")
        process.send_signal(signal.SIGUSR2)
        after = address(process, "moved")
        assert before != after
        contacts = requests(peer, "REGISTER")[1].all("Contact")
        assert contacts[0].startswith(f"<sip:bob@{after[0]}:{after[1]}>")
        assert contacts[1] == f"<sip:bob@{before[0]}:{before[1]}>;expires=0"
        assert peer.ask(request(peer, "MESSAGE", body=b"x"), after).status == 200
