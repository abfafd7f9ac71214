"""
accept_rate: pushes a second that are stored and answered, and addresses a second of pushes to 1,000.

No SIP side runs meanwhile: what is measured is the api, Redis and the client, all on this machine. The clock
stops when the last address is in the outbox.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from bench import cpu, full_size, pap_to_delivered
from bench.cpu import CpuTime
from bench.figure import Figure, alone
from bench.message_push import Drained
from omapush.store import outbox

CONNECTIONS: Final = 32
PUSHES: Final = {1: 15_000, 1_000: 120}


def measure(addresses: int) -> Callable[[Path, int], Figure]:
    """Return what measures pushes with so many addresses each."""

    def figure(folder: Path, rounds: int) -> Figure:
        done = [_round(folder / str(number), addresses) for number in range(rounds)]
        unit, rates = "pushes/s" if addresses == 1 else "addresses/s", [one.rate for one in done]
        measured = alone(f"accept_rate_{addresses}", unit, "(nothing to reach)", rates)
        return measured._replace(cpu_us={"ours": cpu.middle([one.cpu_us for one in done])})

    return figure


def _round(folder: Path, addresses: int) -> Drained:
    pushes = PUSHES[addresses]
    connections = CONNECTIONS if addresses == 1 else 4
    with full_size.stack(folder, ("redis", "sip", "api")) as stack:
        stack.stop("sip")  # the api waits for it when it starts
        leaders = {part: stack.parts[part].pid for part in ("redis", "api")}
        spent = CpuTime(leaders)
        posted = pap_to_delivered.load(stack, folder, connections, pushes, addresses=addresses)
        stack.parts["api"].wait_until(
            lambda: outbox.depth(stack.store).all >= pushes * addresses, 60, "all in the outbox"
        )
        rate = pushes * addresses / (time.monotonic() - posted.began)
        return Drained(rate, spent.per_one_us(pushes * addresses))
