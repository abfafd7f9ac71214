"""Waiting for a condition with a deadline: the only way a test waits."""

import threading
import time
from collections.abc import Callable

POLL_S = 0.01


def wait_until(
    predicate: Callable[[], bool], deadline_s: float, what: str | Callable[[], str], *, poll_s: float = POLL_S
) -> None:
    """
    Return as soon as the predicate holds.

    Raises:
        TimeoutError: It never held; the text says `what` was waited for, asked at that moment when callable.
    """
    end = time.monotonic() + deadline_s
    pause = threading.Event()
    while not predicate():
        if time.monotonic() >= end:
            raise TimeoutError(f"after {deadline_s} s still no {what if isinstance(what, str) else what()}")
        pause.wait(poll_s)
