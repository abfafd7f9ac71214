"""pap_to_delivered: pushes a second from the PAP request to the stored result, everything on this machine."""

from __future__ import annotations

import re
import sys
import time
from http.client import HTTPConnection
from pathlib import Path
from typing import NamedTuple

from bench import cpu, full_size, sipp_rate
from bench.cpu import CpuTime
from bench.figure import Figure, alone
from bench.message_push import Drained
from omapush.store import outbox
from tests.harness.processes import Process
from tests.harness.stack import PASSWORD, ROOT, Stack

PUSHES = 15_000
CONNECTIONS = 64
"Of the client, each with one request at a time: with 32 a third of the processors waited for it."


class Posted(NamedTuple):
    """What a client saw of posting pushes."""

    began: float
    "Monotonic time just before the first request."
    used_us: float
    "Microseconds of a processor that the client has used since."


def measure(folder: Path, rounds: int) -> Figure:
    """Measure; the number to reach is an absolute one."""
    done = [_round(folder / str(number)) for number in range(rounds)]
    against, rates = "all of it and its client on this machine", [one.rate for one in done]
    figure = alone("pap_to_delivered", "pushes/s", against, rates)
    return figure._replace(cpu_us={"ours": cpu.middle([one.cpu_us for one in done])})


def _round(folder: Path) -> Drained:
    stack = full_size.stack(folder)
    with sipp_rate.receiver(folder, stack.core_port) as receiver, stack:
        leaders = {part: one.pid for part, one in stack.parts.items()}
        spent = CpuTime({**leaders, "SIPp": receiver.pid}, stack.control)
        posted = load(stack, folder, CONNECTIONS, PUSHES)
        stack.parts["sip"].wait_until(lambda: delivered(stack) >= PUSHES, 60, "all delivered")
        rate = PUSHES / (time.monotonic() - posted.began)
        cpu_us, client_us = spent.per_one_us(PUSHES), round(posted.used_us / PUSHES, 1)
        assert outbox.depth(stack.store).all == 0
        return Drained(rate, {"client": client_us, **cpu_us, "all": round(cpu_us["all"] + client_us, 1)})


def load(
    stack: Stack, folder: Path, connections: int, number: int, *, rate: int = 0, addresses: int = 1
) -> Posted:
    """Post pushes, at most `rate` a second, from a process of its own; check that each was accepted."""
    port = stack.http.rpartition(":")[2]
    words = [port, f"trusted:{PASSWORD}", *map(str, (connections, number, rate, addresses))]
    client = Process(
        [sys.executable, "-m", "bench.pap_load", *words],
        log=folder / "load.log",
        cwd=ROOT,
    )
    with client:
        client.wait_for_exit(120)
    accepted, began, _, used_s = client.log_text().split()[-4:]
    assert int(accepted) == number, f"{accepted} of {number} accepted"
    return Posted(float(began), float(used_s) * 1e6)


def delivered(stack: Stack) -> int:
    """Return how many deliveries Kamailio counted as delivered."""
    # A client of httpx takes more of a processor to be made than all that is measured to answer.
    connection = HTTPConnection("127.0.0.1", stack.sip[1], timeout=10)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    found = re.search(r'deliveries_finished_total\{state="delivered"\} ([0-9]+)', text)
    return int(found[1]) if found else 0
