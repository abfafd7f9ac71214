"""What a service manager is told: a process is ready, it lives, it ends (sd_notify of systemd)."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Final, TypeVar

_T = TypeVar("_T")

_SIGNS_IN_TIME: Final = 3
"Signs of life within the time after which we would be taken for dead: two may get lost."


def tell(*words: str) -> bool:
    """
    Tell the service manager, such as `READY=1`; False without one, or when it cannot be told.

    Nobody's work stops because the manager does not listen.
    """
    where = os.environ.get("NOTIFY_SOCKET", "")
    if not where:
        return False
    address = f"\0{where[1:]}" if where.startswith("@") else where
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to_manager:
        to_manager.setblocking(False)
        try:
            to_manager.sendto("\n".join(words).encode(), address)
        except OSError:
            return False
    return True


def ready() -> None:
    """Tell that this process does its work from now on."""
    tell("READY=1")


def watchdog_s() -> float:
    """Return after how many seconds without a sign of life this process is killed; 0: never."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return 0.0
    told = os.environ.get("WATCHDOG_USEC", "")
    return int(told) / 1_000_000 if told.isascii() and told.isdigit() else 0.0


async def supervised(work: Coroutine[Any, Any, _T]) -> _T:
    """
    Return what `work` returns; meanwhile the manager gets signs of life from its event loop.

    A loop that hangs gives none: then the manager kills the process and starts another. Redis being away is
    no reason for that, for nobody waits for it in the loop.
    """
    signs = asyncio.create_task(_give_signs(watchdog_s()))
    try:
        return await work
    finally:
        tell("STOPPING=1")
        signs.cancel()
        with suppress(asyncio.CancelledError):
            await signs


async def _give_signs(within_s: float) -> None:
    while within_s:
        tell("WATCHDOG=1")
        await asyncio.sleep(within_s / _SIGNS_IN_TIME)
