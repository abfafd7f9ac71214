"""
The devices of a soak: a fleet of push receivers in a process of its own.

`python -m soak.devices COUNT PROXY` prints a line of JSON when all have registered, then each few seconds,
and a last one when it is told to end (TERM).
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

from omapush import log
from omapush.receiver import Application, Limits, Links, Push, Reason, Refused, Sessions
from omapush.receiver.fleet import Fleet, Plan
from soak.mix import APPLICATIONS, PSA, SUBSCRIBED, UNWANTED, USERS, named
from soak.repeats import Repeats

_EVERY_S: Final = 5.0
_LIFETIME_S: Final = 120
"Of registrations and subscriptions: each is refreshed every minute."
_SHOWN: Final = 20
_BEGINNING: Final = 100
"Bytes of a content that say which push it is of."


class Devices:
    """What the applications of all devices do with pushes: take them, and count."""

    def __init__(self) -> None:
        self.taken: Counter[str] = Counter()
        "By application, and refused ones as `refused`."
        self.again: list[str] = []
        "The first pushes that were taken once more, and how long after."
        self._repeats = Repeats()

    async def take(self, push: Push) -> None:
        """Take a push, or refuse it when it is for the application that nobody wants anything of."""
        beginning = push.content[:_BEGINNING]
        if push.path is not None:
            with push.path.open("rb") as file:
                beginning = file.read(_BEGINNING)
            push.path.unlink(missing_ok=True)
        if push.application == UNWANTED:
            self.taken["refused"] += 1
            raise Refused(Reason.FORBIDDEN, "never")
        self.taken[push.application] += 1
        kind, number = named(beginning)
        after_s = self._repeats.take(number, time.monotonic())
        if after_s is not None and len(self.again) < _SHOWN:
            self.again.append(f"push {number}, {kind}: by {push.method} after {after_s:.1f} s")


async def _run(count: int, proxy: str, folder: Path) -> None:
    devices = Devices()
    plan = Plan(count, USERS, proxy, dict.fromkeys(APPLICATIONS, Application(devices.take)), sockets=4)
    settings: dict[str, Any] = {
        "expires_s": _LIFETIME_S,
        "subscription_s": _LIFETIME_S,
        "subscribe_to": ((SUBSCRIBED, PSA),),
        "sessions": Sessions(folder=folder),
        "links": Links(domains=("127.0.0.1",), schemes=("http",), folder=folder),
        # Full soon, so that its filling is no leak: ten pushes, and seven that came in sessions.
        "limits": Limits(remembered=20),
    }
    fleet = Fleet(plan, **settings)
    over = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, over.set)
    await fleet.start()
    while not over.is_set():
        _tell(fleet, devices)
        try:
            await asyncio.wait_for(over.wait(), _EVERY_S)
        except TimeoutError:
            continue
    await fleet.stop()
    _tell(fleet, devices)


def _tell(fleet: Fleet, devices: Devices) -> None:
    report = fleet.report()
    told: dict[str, Any] = {
        "devices": report.devices,
        "failed": report.failed,
        "registered": report.registered,
    }
    told |= {"duplicates": report.duplicates, "malformed": report.malformed}
    told |= {"taken": dict(devices.taken), "again": devices.again}
    print(json.dumps(told), flush=True)


def main(count: int, proxy: str) -> None:
    """Be the devices until somebody says to end."""
    log.setup("devices", level="warning", form="logfmt")
    with tempfile.TemporaryDirectory(prefix="omapush-devices-") as folder:
        asyncio.run(_run(count, proxy, Path(folder)))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
