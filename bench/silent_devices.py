"""
silent_devices: pushes a second to devices that answer, while one in ten is registered and does not.

Against the same outbox where all answer. A silent device keeps its request in flight for 32 s.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Final

from bench import full_size, message_push, sipp_rate
from bench.cpu import middle
from bench.figure import Figure, compared
from bench.message_push import Drained

_NUMBER: Final = 60_000
_ONE_IN: Final = 10
"As the scenario has it."


def measure(folder: Path, rounds: int) -> Figure:
    """Measure with silent devices; all that answer before and after each, and the mean of the two counts."""
    silent: list[Drained] = []
    answering = [_drained(folder / "answering-0", "receiver", silent=0)]
    for number in range(1, rounds + 1):
        silent.append(_drained(folder / f"silent-{number}", "silent_tenth", silent=_NUMBER // _ONE_IN))
        answering.append(_drained(folder / f"answering-{number}", "receiver", silent=0))
    return compared(
        "silent_devices",
        "MESSAGE/s",
        "all devices answering",
        [one.rate for one in silent],
        [(before.rate + after.rate) / 2 for before, after in pairwise(answering)],
        cpu_us={
            "one in ten silent": middle([one.cpu_us for one in silent]),
            "all answering": middle([one.cpu_us for one in answering]),
        },
    )


def _drained(folder: Path, scenario: str, *, silent: int) -> Drained:
    """Have a full outbox leave; the silent ones stay in it, for they are tried again."""
    stack = full_size.stack(folder, ("redis", "sip"))
    with sipp_rate.receiver(folder, stack.core_port, scenario) as receiver:
        try:
            stack.start("redis")
            message_push.fill(stack, range(_NUMBER))
            full_size.settled(stack)
            stack.start("sip")
            return message_push.drained(stack, _NUMBER, {"SIPp": receiver.pid}, waiting=silent)
        finally:
            stack.__exit__(None, None, None)
