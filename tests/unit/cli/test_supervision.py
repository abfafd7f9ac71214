"""What systemd is told of a process, and that nobody waits for its manager."""

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from omapush.cli import supervision


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The service manager's end."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield listening


def test_readiness_is_told_in_one_datagram(manager: socket.socket) -> None:
    assert supervision.tell("READY=1", "STATUS=listens")
    assert manager.recv(100) == b"READY=1\nSTATUS=listens"


def test_an_abstract_socket_is_reached_too(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(f"\0omapush-{os.getpid()}")
        monkeypatch.setenv("NOTIFY_SOCKET", f"@omapush-{os.getpid()}")

        assert supervision.tell("READY=1")
        assert listening.recv(100) == b"READY=1"


def test_without_a_manager_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)

    assert not supervision.tell("READY=1")


def test_a_manager_that_is_gone_or_does_not_read_stops_nobody(manager: socket.socket, tmp_path: Path) -> None:
    while supervision.tell("STATUS=more"):  # until its queue is full
        pass

    manager.close()
    assert not supervision.tell("READY=1")
    (tmp_path / "notify").unlink()
    assert not supervision.tell("READY=1")


@pytest.mark.parametrize(
    ("usec", "pid", "seconds"),
    [
        ("30000000", "", 30.0),
        pytest.param("500000", str(os.getpid()), 0.5, id="own"),
        ("30000000", "1", 0.0),
        ("", "", 0.0),
        ("soon", "", 0.0),
        ("-1", "", 0.0),
    ],
)
def test_the_watchdog_is_for_the_process_that_it_names(
    usec: str, pid: str, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", usec)
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    if pid:
        monkeypatch.setenv("WATCHDOG_PID", pid)

    assert supervision.watchdog_s() == seconds


def received(manager: socket.socket, count: int) -> list[bytes]:
    return [manager.recv(100) for _ in range(count)]


def test_signs_of_life_come_while_the_work_goes_on_and_then_the_end(
    manager: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "60000")

    async def work() -> str:
        signs = await asyncio.to_thread(received, manager, 4)
        assert signs == [b"WATCHDOG=1"] * 4
        return "done"

    assert asyncio.run(supervision.supervised(work())) == "done"
    manager.setblocking(False)
    told = b""
    while told != b"STOPPING=1":  # signs that were on their way, then the end, then nothing
        told = manager.recv(100)
    with pytest.raises(BlockingIOError):
        manager.recv(100)


def test_a_loop_that_hangs_gives_no_sign(manager: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "3000")
    manager.settimeout(0.05)

    async def hang() -> None:
        with pytest.raises(TimeoutError):
            received(manager, 1)

    asyncio.run(supervision.supervised(hang()))


def test_the_end_is_told_when_the_work_fails(manager: socket.socket) -> None:
    async def work() -> None:
        raise LookupError

    with pytest.raises(LookupError):
        asyncio.run(supervision.supervised(work()))
    assert manager.recv(100) == b"STOPPING=1"
