"""Which of several processes at one UDP socket took a datagram and did not come back."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress

import pytest

from omapush.config import Config, Sip
from omapush.health import kamailio, sip_workers
from omapush.health.sip_workers import Process
from omapush.push.liveness import LOOKS, Liveness, Look

WORKERS = 3
WORKER = """
import os, socket, sys, threading, time
shared = socket.socket(fileno=int(sys.argv[1]))
while True:
    datagram, peer = shared.recvfrom(100)
    if datagram == b"work":
        ends = time.process_time() + 0.001
        while time.process_time() < ends:
            pass
    elif datagram != b"\\r\\n\\r\\n":
        shared.sendto(str(os.getpid()).encode(), peer)
        if datagram == b"spin":
            while True:
                pass
        if datagram == b"wait":
            threading.Lock().acquire() and threading.Event().wait()
"""


class Workers:
    """Processes that take datagrams from one socket, as Kamailio's do."""

    def __init__(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as shared:
            shared.bind(("127.0.0.1", 0))
            self.port: int = shared.getsockname()[1]
            command = [sys.executable, "-S", "-c", WORKER, str(shared.fileno())]
            self._children = [subprocess.Popen(command, pass_fds=[shared.fileno()]) for _ in range(WORKERS)]
        self.known = {child.pid: Process(str(child.pid), "s") for child in self._children}
        self.config = Config(path="", sip=Sip(listen=(f"udp:127.0.0.1:{self.port}",), workers=WORKERS))

    def tell(self, word: str) -> int:
        """Have one of them do something; returns its process id."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
            own.settimeout(10)
            own.sendto(word.encode(), ("127.0.0.1", self.port))
            return int(own.recv(100))

    def hang(self) -> str:
        """What so many looks say as a hang needs."""

        async def look() -> Look:
            sleepers = sip_workers.sleepers(self.known)
            await sip_workers.nudge(self.config)
            return Look(answers=True, rounds={}, sleepers=sleepers)

        seen = Liveness()
        for _ in range(LOOKS + 2):  # before the first one they may still be on their way to where they stay
            seen = seen.after(asyncio.run(look()))
        return seen.hang()

    def end(self) -> None:
        for child in self._children:
            child.kill()
            child.wait()


@pytest.fixture
def workers() -> Iterator[Workers]:
    started = Workers()
    try:
        yield started
    finally:
        started.end()


def test_workers_that_wait_for_datagrams_do_not_hang(workers: Workers) -> None:
    assert workers.tell("hello") in workers.known
    assert workers.hang() == ""


def test_one_that_spins_and_one_that_waits_for_ever_are_named_though_only_one_is_left(
    workers: Workers,
) -> None:
    stuck = {workers.tell("spin"), workers.tell("wait")}
    assert workers.hang() == ", ".join(sorted(map(str, stuck)))


def test_one_that_is_stopped_is_named(workers: Workers) -> None:
    stopped = workers.tell("hello")
    os.kill(stopped, signal.SIGSTOP)
    assert workers.hang() == str(stopped)


def test_workers_with_more_to_do_than_they_can_do_not_hang(workers: Workers) -> None:
    flood = f"""
import socket
own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
while True:
    own.sendto(b"work", ("127.0.0.1", {workers.port}))
"""
    with subprocess.Popen([sys.executable, "-S", "-c", flood]) as flooding:
        try:
            assert workers.hang() == ""
        finally:
            flooding.kill()


def test_kamailios_list_is_read_for_the_processes_that_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = b"""{"jsonrpc": "2.0", "id": 1, "result": [
        {"IDX": 0, "PID": 10, "DSC": "main process - attendant", "MORE": 1},
        {"IDX": 1, "PID": 11, "DSC": "udp receiver child=0 sock=127.0.0.1:5060"},
        {"IDX": 2, "PID": 12, "DSC": "udp receiver child=1 sock=[::1]:5060"},
        {"IDX": 3, "PID": 13, "DSC": "RTIMER EXEC child=0 timer=sender"},
        {"IDX": 4, "PID": 14, "DSC": "timer"},
        {"IDX": 5, "PID": 15, "DSC": "slow timer"},
        {"IDX": 6, "PID": 16, "DSC": "tcp receiver (generic) child=2"},
        {"IDX": 7, "PID": 17, "DSC": "tcp main process"}]}"""
    assert read(monkeypatch, listed) == {
        11: Process("udp 127.0.0.1:5060 0", "127.0.0.1:5060"),
        12: Process("udp [::1]:5060 1", "[::1]:5060"),
        14: Process("timer", ""),
        16: Process("tcp receiver (generic) child=2", ""),
    }


@pytest.mark.parametrize(
    "answer", [b"", b"not found\n", b"{}", b'{"error": {"code": 404}}', b'{"result": [1]}']
)
def test_what_is_no_list_names_nobody(monkeypatch: pytest.MonkeyPatch, answer: bytes) -> None:
    assert read(monkeypatch, answer) == {}


def read(monkeypatch: pytest.MonkeyPatch, answer: bytes) -> Mapping[int, Process]:
    async def told(_config: Config, path: str) -> bytes:
        assert path == "/processes"
        return answer

    monkeypatch.setattr(kamailio, "told", told)
    return asyncio.run(sip_workers.processes(Config(path="")))


def test_one_that_has_ended_is_not_looked_at_and_one_alone_shows_its_sleeps_and_reads() -> None:
    child = subprocess.Popen(
        [sys.executable, "-S", "-c", "while True: input()"], stdin=subprocess.PIPE, text=True
    )
    try:
        known = {child.pid: Process("tcp", ""), os.getpid(): Process("udp", "s")}
        before = sip_workers.rounds(known)
        assert set(before) == {"tcp"}
        assert set(sip_workers.sleepers(known)) == {"udp"}
        with suppress(BrokenPipeError):
            child.communicate("a\n" * 3)
    finally:
        child.kill()
        child.wait()
    assert sip_workers.rounds(known) == {}
