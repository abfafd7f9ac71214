"""The processes tell a service manager when they are ready, and go on telling that they live."""

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.ports import free_port
from tests.harness.processes import Process

ROOT = Path(__file__).resolve().parents[2]
WITHIN_S = 20.0


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(WITHIN_S)
        yield listening


@pytest.mark.parametrize("part", ["api", "notifier", "msrp"])
def test_each_is_ready_alive_and_ends_with_redis_away(
    part: str, manager: socket.socket, tmp_path: Path
) -> None:
    http, msrp = free_port(), free_port()
    config = tmp_path / "omapush.toml"
    config.write_text(
        f'[redis]\nurl = "unix://{tmp_path}/r.sock"\n[api]\nlisten = "127.0.0.1:{http}"\n'
        f'[msrp]\nlisten = "127.0.0.1:{msrp}"\nworkers = 1\n'
    )
    watched = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "600000"}
    command: list[str | Path] = [sys.executable, "-m", "omapush.cli.main", "--config", config, part]
    process = Process(command, log=tmp_path / "part.log", env=watched, cwd=ROOT)
    with process:
        told: set[bytes] = set()
        while told != {b"READY=1", b"WATCHDOG=1"}:
            told.add(manager.recv(100))
        listening = {"api": http, "msrp": msrp}.get(part)
        if listening:  # READY was no promise but a fact
            socket.create_connection(("127.0.0.1", listening), WITHIN_S).close()
        for _ in range(3):
            assert manager.recv(100) == b"WATCHDOG=1"
