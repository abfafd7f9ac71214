"""pap_to_delivered: pushes a second from the PAP request to the stored result, everything on this machine."""

from __future__ import annotations

import re
import sys
import time
from http.client import HTTPConnection
from pathlib import Path

from bench import full_size, sipp_rate
from bench.figure import Figure, alone
from omapush.store import outbox
from tests.harness.processes import Process
from tests.harness.stack import ROOT, Stack

PUSHES = 15_000
CONNECTIONS = 32


def measure(folder: Path, rounds: int) -> Figure:
    """Measure; the number to reach is an absolute one."""
    rates = [_round(folder / str(number)) for number in range(rounds)]
    return alone("pap_to_delivered", "pushes/s", "all of it and its client on this machine", rates)


def _round(folder: Path) -> float:
    stack = full_size.stack(folder)
    with sipp_rate.receiver(folder, stack.core_port), stack:
        started = time.monotonic()
        load(stack, folder, CONNECTIONS, PUSHES)
        stack.parts["sip"].wait_until(lambda: delivered(stack) >= PUSHES, 60, "all delivered")
        rate = PUSHES / (time.monotonic() - started)
        assert outbox.depth(stack.store).all == 0
        return rate


def load(
    stack: Stack, folder: Path, connections: int, number: int, *, rate: int = 0, addresses: int = 1
) -> None:
    """Post pushes, at most `rate` a second, from a process of its own; check that each was accepted."""
    port = stack.http.rpartition(":")[2]
    words = [port, *map(str, (connections, number, rate, addresses))]
    client = Process(
        [sys.executable, "-m", "bench.pap_load", *words],
        log=folder / "load.log",
        cwd=ROOT,
    )
    with client:
        client.wait_for_exit(120)
    accepted = int(client.log_text().split()[-2])
    assert accepted == number, f"{accepted} of {number} accepted"


def delivered(stack: Stack) -> int:
    """Return how many deliveries Kamailio counted as delivered."""
    # A client of httpx takes more of a processor to be made than all that is measured to answer.
    connection = HTTPConnection("127.0.0.1", stack.sip[1], timeout=10)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    found = re.search(r'deliveries_finished_total\{state="delivered"\} ([0-9]+)', text)
    return int(found[1]) if found else 0
