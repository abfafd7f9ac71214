"""The process that `omapush sip` is: it starts Kamailio, ends with it, and starts it anew when it hangs."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from omapush import log
from omapush.cli import supervision
from omapush.config import Config
from omapush.health import kamailio, sip_ping, sip_workers
from omapush.push.liveness import LOOKS, Liveness, Look

_PR_SET_PDEATHSIG: Final = 1
_READY_LOOK_S: Final = 0.25
"How often it is asked whether it serves, until it does."
_START_S: Final = 120.0
"How long it may take until it serves, or `sip.hang_s` when that is longer."
_STOP_WITHIN_S: Final = 10.0
"Who has not ended so long after it was told to is killed."
_STOPS: Final = (signal.SIGTERM, signal.SIGINT)
_FAILED: Final = 1


async def run(config: Config, command: Sequence[str], environment: dict[str, str]) -> int:
    """
    Run Kamailio until it ends by itself or a signal ends us; returns its exit code, 1 for death by a signal.

    One that hangs (`sip.hang_s`) is killed with all its processes and started again, as often as it takes.
    """
    stopping = asyncio.Event()
    while True:
        child = await asyncio.create_subprocess_exec(
            *command, env=environment, stdin=asyncio.subprocess.DEVNULL, preexec_fn=_end_with_us
        )
        _pass_signals_on(child, stopping)
        hang = await _hang_before_its_end(config, child, stopping)
        if hang:
            log.get().error("sip_hangs", what=hang, action="killed and started again")
        if child.returncode is None:
            _kill(child.pid)
        code = await child.wait()
        if not hang or stopping.is_set():
            return code if code >= 0 else _FAILED


async def _hang_before_its_end(
    config: Config, child: asyncio.subprocess.Process, stopping: asyncio.Event
) -> str:
    """Return what hangs; empty: it has ended, or was told to and does not."""
    ended = asyncio.create_task(child.wait())
    told = asyncio.create_task(stopping.wait())
    watch = asyncio.create_task(_watched(config))
    try:
        await asyncio.wait((ended, told, watch), return_when=asyncio.FIRST_COMPLETED)
        if told.done():
            await asyncio.wait((ended,), timeout=_STOP_WITHIN_S)
        elif not ended.done():
            return watch.result()
        return ""
    finally:
        for task in (ended, told, watch):
            task.cancel()
        await asyncio.gather(ended, told, watch, return_exceptions=True)


def forget_dead(pid_file: Path) -> None:
    """
    Remove a pid file that names no Kamailio that runs.

    Kamailio does not start while some process has that number: one that was killed and whose parent has not
    asked for its end yet, or any other that got the number since.
    """
    try:
        stat = Path(f"/proc/{int(pid_file.read_text())}/stat").read_text()
    except (OSError, ValueError):  # no file, nonsense, or nobody: Kamailio sees that by itself
        return
    head, _, rest = stat.rpartition(")")
    if head.partition("(")[2] != "kamailio" or rest.split()[0] == "Z":
        pid_file.unlink(missing_ok=True)


def _end_with_us() -> None:
    """In Kamailio before it begins: it is told to end when we are gone, for nobody watches it then."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _pass_signals_on(child: asyncio.subprocess.Process, stopping: asyncio.Event) -> None:
    def end() -> None:
        stopping.set()
        with suppress(ProcessLookupError):
            child.send_signal(signal.SIGTERM)

    for number in _STOPS:
        asyncio.get_running_loop().add_signal_handler(number, end)
    if stopping.is_set():  # the signal came while this one was being started
        end()


async def _watched(config: Config) -> str:
    """Return what hangs, once something does; the service manager is told when Kamailio serves."""
    patience_s = config.sip.hang_s
    begun = asyncio.get_running_loop().time()
    while await sip_ping.problem_of_kamailio(config):
        if patience_s and asyncio.get_running_loop().time() - begun > max(_START_S, patience_s):
            return "it has not begun to serve"
        await asyncio.sleep(_READY_LOOK_S)
    supervision.ready()
    if not patience_s:
        await asyncio.Event().wait()
    seen = Liveness()
    workers: dict[int, sip_workers.Process] = {}  # for good: Kamailio ends when one of its processes does
    while not (what := seen.hang()):
        await asyncio.sleep(patience_s / LOOKS)
        try:
            workers = workers or await sip_workers.processes(config)
            seen = seen.after(await _look(config, workers))
        except Exception:  # noqa: BLE001 - whatever it is, Kamailio is not to blame, and not killed for it
            log.get().exception("sip_look_crashed")
    return what


async def _look(config: Config, workers: Mapping[int, sip_workers.Process]) -> Look:
    """Return what is to be seen, of its workers since the last look."""
    sleepers = sip_workers.sleepers(workers)
    problem, metrics, _ = await asyncio.gather(
        sip_ping.problem_of_kamailio(config), kamailio.exposition(config), sip_workers.nudge(config)
    )
    if not metrics:
        return Look(not problem, None, sleepers)
    rounds = kamailio.rounds(metrics.decode("utf-8", "replace"))
    return Look(not problem, rounds | sip_workers.rounds(workers), sleepers)


def _kill(main: int) -> None:
    """End Kamailio with all its processes; stopped first, so that it makes no new ones meanwhile."""
    with suppress(ProcessLookupError):
        os.kill(main, signal.SIGSTOP)
        for process in (*_children(main), main):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)


def _children(parent: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has just ended
            if int(stat.read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(stat.parent.name))
    return found
