"""message_push_beside_console: MESSAGE pushes while an operator looks at the console's live page."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import httpx

from bench import cpu, message_push
from bench.figure import Figure, compared
from bench.message_push import Drained
from tests.harness.stack import PARTS, Settings, Stack

_PASSWORD: Final = "look at it"  # noqa: S105 - of a server that lives for one round
_SETTINGS: Final[Settings] = {"operator.olga": {"password": _PASSWORD, "role": "view"}}


def measure(folder: Path, rounds: int) -> Figure:
    """Measure with the page open and closed in turn; the api runs on both sides."""
    beside, alone = [], []
    run = partial(message_push.from_outbox, parts=PARTS, more=_SETTINGS)
    for number in range(rounds):
        beside.append(run(folder / f"beside-{number}", open_page))
        alone.append(run(folder / f"alone-{number}"))
    return compared(
        "message_push_beside_console",
        "MESSAGE/s",
        "the same with the console closed",
        [one.rate for one in beside],
        [one.rate for one in alone],
        cpu_us={"open": _cpu(beside), "closed": _cpu(alone)},
    )


def _cpu(rounds: list[Drained]) -> dict[str, float]:
    return cpu.middle([one.cpu_us for one in rounds])


@contextmanager
def open_page(stack: Stack) -> Iterator[None]:
    """An operator is logged in and takes the events of the page Now as they come."""
    over = threading.Event()
    with httpx.Client(base_url=stack.http, trust_env=False, timeout=30) as client:
        _log_in(client)
        with client.stream("GET", "/console/events") as events:
            assert events.status_code == 200, events.status_code
            reading = threading.Thread(target=_read, args=(events, over))
            reading.start()
            try:
                yield
            finally:
                over.set()
                reading.join()


def _log_in(client: httpx.Client) -> None:
    form = re.search(r'name="csrf" value="([^"]+)"', client.get("/console/log-in").text)
    assert form is not None
    data = {"user": "olga", "password": _PASSWORD, "csrf": form[1], "next": ""}
    answer = client.post("/console/log-in", data=data)
    assert answer.status_code == 303, answer.status_code


def _read(events: httpx.Response, over: threading.Event) -> None:
    for _ in events.iter_lines():
        if over.is_set():
            return
