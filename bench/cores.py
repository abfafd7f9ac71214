"""The cores that the product and its load run on: neither takes processor from the other, and none sleeps."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

_LATENCY: Final = Path("/dev/cpu_dma_latency")
"While it is held open no core sleeps deeper than the microseconds written to it (Linux, PM QoS)."


class Halves(NamedTuple):
    """The cores of this machine, in two parts; on a machine with one core both are that one."""

    product: frozenset[int]
    load: frozenset[int]


def halves() -> Halves:
    """Return the cores that this process may use, in two parts of the same size."""
    cores = sorted(os.sched_getaffinity(0))
    half = len(cores) // 2
    return Halves(frozenset(cores[:half] or cores), frozenset(cores[half : 2 * half] or cores))


@contextmanager
def on(cores: frozenset[int]) -> Iterator[None]:
    """Keep this process, and all that it starts meanwhile, on these cores; what was started stays there."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def awake() -> Iterator[bool]:
    """
    Keep all cores of this machine awake; gives False where that takes a right that we have not.

    To wake a core of a virtual machine costs who does it an exit to the host. An answer to a load that has
    just gone to sleep would cost the product that, and one to a load on another machine does not.
    """
    try:
        held = os.open(_LATENCY, os.O_WRONLY)
    except OSError:
        yield False
        return
    try:
        os.write(held, (0).to_bytes(4, "little"))
        yield True
    finally:
        os.close(held)
