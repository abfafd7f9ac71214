"""A Kamailio that hangs is killed and started again; one whose supervisor is gone ends."""

import asyncio
import os
import signal
import time
from itertools import count
from pathlib import Path

import pytest

from bench.cpu import kinds_of
from omapush.health import sip_workers
from tests.harness.sip_peer import SipPeer
from tests.harness.sip_ping import answers_options
from tests.harness.stack import Settings, Stack
from tests.harness.wait import wait_until
from tests.wire.requests import register, request


def test_a_process_that_stands_still_has_kamailio_started_again(tmp_path: Path) -> None:
    """Then a push that came meanwhile is delivered; and nothing stays behind when the supervisor dies."""
    with SipPeer() as core:
        settings: Settings = {"sip": {"hang_s": 3}, "core": {"next_hop": f"sip:127.0.0.1:{core.port};lr"}}
        with Stack(tmp_path, settings, ("redis", "sip", "notifier")) as stack:
            assert stack.result(stack.submit("sip:before@home1.example")).state == "delivered"
            before = kinds_of(stack.control)
            [completer] = [process for process, kind in before.items() if kind == "completer results"]
            os.kill(completer, signal.SIGSTOP)
            ref = stack.submit("sip:meanwhile@home1.example")

            line = stack.parts["sip"].wait_for_line("event=sip_hangs", 30)

            assert 'what="results 0"' in line
            wait_until(lambda: not any(map(is_alive, before)), 5, "end of all its processes")
            assert stack.result(ref, 30).state == "delivered"

            after = kinds_of(stack.control)
            stack.parts["sip"].send_signal(signal.SIGKILL)
            wait_until(lambda: not any(map(is_alive, after)), 15, "end of Kamailio without a supervisor")


@pytest.mark.parametrize("kind", ["udp", pytest.param("tcp", marks=pytest.mark.long)])
def test_one_worker_that_stands_still_beside_others_that_answer_has_kamailio_started_again(
    tmp_path: Path, kind: str
) -> None:
    with Stack(tmp_path, {"sip": {"hang_s": 3}}, ("redis", "sip")) as stack, SipPeer() as peer:
        workers = asyncio.run(sip_workers.processes(stack.config))
        stopped, name = next((pid, one.name) for pid, one in workers.items() if one.name.startswith(kind))
        os.kill(stopped, signal.SIGSTOP)
        for _ in workers:  # one that is meant to wake the stopped one lies there until the next comes
            peer.send(request("OPTIONS", "sip:psa@home1.example", peer.address), stack.sip)
            peer.send(request("OPTIONS", "sip:psa@home1.example", peer.address), stack.sip)
        wait_until(lambda: len(peer.responses) >= len(workers), 5, "answers of the others, which are enough")
        assert {one.status for one in peer.responses} == {200}

        line = stack.parts["sip"].wait_for_line("event=sip_hangs", 30)

        assert f'what="{name}"' in line
        wait_until(lambda: not any(map(is_alive, workers)), 5, "end of all its processes")
        wait_until(lambda: answers_options(stack.sip), 20, "a new Kamailio")


@pytest.mark.long
def test_a_load_without_a_pause_is_no_hang(tmp_path: Path) -> None:
    """Whoever stores shows that it lives, though the next REGISTER is always there already."""
    with Stack(tmp_path, {"sip": {"hang_s": 3}}, ("redis", "sip")) as stack, SipPeer() as peer:
        before = kinds_of(stack.control)
        ends_at = time.monotonic() + 8  # more than twice what a process may stand still
        for number in count():
            peer.send(register(f"sip:u{number % 1_000}@home1.example", peer), stack.sip)
            time.sleep(0.001)
            if time.monotonic() > ends_at:
                break

        assert peer.ask(register("sip:last@home1.example", peer), stack.sip).status == 200
        assert number > 1_000
        assert kinds_of(stack.control) == before, "Kamailio was started again"


def is_alive(process: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except OSError:
        return False
