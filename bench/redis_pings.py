"""
How long Redis does not answer: a client that asks again and again on a connection of its own.

Runs as a process of its own (`python -m bench.redis_pings SOCKET`), so that nothing else that a bench does
makes it late. It asks each millisecond until it is told to end (TERM), and prints how often it asked, the
longest answer and the one that 99 % stay below, in milliseconds.
"""

from __future__ import annotations

import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from tests.harness.processes import Process
from tests.harness.stack import ROOT, Stack

_EVERY_S: Final = 0.001
_PONG: Final = b"+PONG\r\n"


class Pings(NamedTuple):
    """What the client saw."""

    number: int
    longest_ms: float
    p99_ms: float


class Watched:
    """A context manager: Redis is asked while it is open; `pings` holds afterwards what was seen."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        path = stack.config.redis.url.removeprefix("unix://")
        command = [sys.executable, "-m", "bench.redis_pings", path]
        self._process = Process(command, log=folder / "pings.log", cwd=ROOT)
        self.pings = Pings(0, 0.0, 0.0)

    def __enter__(self) -> Watched:
        self._process.log.unlink(missing_ok=True)
        self._process.start()
        self._process.wait_for_line("asking")
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stop()
        words = self._process.log_text().split()[-3:]
        self.pings = Pings(int(words[0]), float(words[1]), float(words[2]))


def main(path: str) -> None:
    """Ask until TERM."""
    times: list[float] = []
    with _ended_by_term() as is_over, socket.socket(socket.AF_UNIX) as asking:
        asking.connect(path)
        print("asking", flush=True)
        while not is_over:
            began = time.perf_counter()
            asking.sendall(b"PING\r\n")
            answer = b""
            while len(answer) < len(_PONG):
                answer += asking.recv(64)
            times.append(time.perf_counter() - began)
            time.sleep(_EVERY_S)
    times.sort()
    longest, p99 = times[-1] * 1000, times[len(times) * 99 // 100] * 1000
    print(f"{len(times)} {longest:.3f} {p99:.3f}", flush=True)


@contextmanager
def _ended_by_term() -> Iterator[list[int]]:
    """Yield a list that is empty until TERM comes."""
    came: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: came.append(number))
    yield came


if __name__ == "__main__":
    main(sys.argv[1])
