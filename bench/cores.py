"""Which cores the product and its load run on, so that neither takes processor from the other."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple


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
