"""
Does each process of Kamailio that takes messages still take them?

A worker that waits for a message is asleep, and so is one that will never wake; the count of how often it
went to sleep tells them apart: the kernel gives what comes to a UDP socket to its sleepers in turn, so after
some datagrams each that lives has been awake and went to sleep anew.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from omapush.config import Config
from omapush.health import kamailio
from omapush.push.liveness import WAITS_EACH, Sleeper

_NUDGE: Final = b"\r\n\r\n"
"A keep-alive, which Kamailio drops as it is read."
_PAUSE_S: Final = 0.002
"Between two of them, so that each finds a sleeper."
_UDP: Final = re.compile(r"udp receiver child=([0-9]+) sock=(\S+)")
_TCP: Final = re.compile(r"tcp receiver \([^)]*\) child=[0-9]+|timer")
"Those that wake by themselves every two seconds, and the one that times requests out."


class Process(NamedTuple):
    """One process of Kamailio that is looked at."""

    name: str
    socket: str
    "UDP socket that it takes from, together with others; empty: it wakes by itself."


async def processes(config: Config) -> dict[int, Process]:
    """Return those that are to be looked at, by process id; empty: Kamailio does not tell."""
    answer = await kamailio.told(config, "/processes")
    try:
        found = [(int(one["PID"]), _process(one["DSC"])) for one in json.loads(answer)["result"]]
    except (ValueError, KeyError, TypeError):
        return {}
    return {pid: process for pid, process in found if process is not None}


def _process(description: str) -> Process | None:
    if udp := _UDP.fullmatch(description):
        return Process(f"udp {udp[2]} {udp[1]}", udp[2])
    return Process(description, "") if _TCP.fullmatch(description) else None


async def nudge(config: Config) -> None:
    """Send each UDP socket so many datagrams that each of its workers, asleep, is woken."""
    addresses = [listen.removeprefix("udp:") for listen in config.sip.listen if listen.startswith("udp:")]
    await asyncio.gather(*(_nudge(address, config.sip.workers * WAITS_EACH * 2) for address in addresses))


async def _nudge(address: str, times: int) -> None:
    host, _, port = address.rpartition(":")
    bare = host.strip("[]")
    family = socket.AF_INET6 if ":" in bare else socket.AF_INET
    with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as own:
        own.setblocking(False)
        own.connect((bare, int(port)))
        for _ in range(times):
            with suppress(BlockingIOError):
                own.send(_NUDGE)
            await asyncio.sleep(_PAUSE_S)


def sleepers(known: Mapping[int, Process]) -> dict[str, Sleeper]:
    """Return how often each that shares a socket went to sleep so far."""
    counts = ((process, _sleeps(pid)) for pid, process in known.items() if process.socket)
    return {process.name: Sleeper(process.socket, count) for process, count in counts if count is not None}


def rounds(known: Mapping[int, Process]) -> dict[str, str]:
    """Return, by each other process, what stays the same when it neither sleeps nor reads."""
    shown = {}
    for pid, process in known.items():
        if not process.socket:
            sleeps, reads = _sleeps(pid), _reads(pid)
            if sleeps is not None and reads is not None:
                shown[process.name] = f"{sleeps} {reads}"
    return shown


def _sleeps(pid: int) -> int | None:
    return _number(Path(f"/proc/{pid}/status"), "voluntary_ctxt_switches")


def _reads(pid: int) -> int | None:
    """Calls of read(); a TCP worker that has always something to read may never sleep."""
    return _number(Path(f"/proc/{pid}/io"), "syscr")


def _number(file: Path, field: str) -> int | None:
    try:
        lines = file.read_text().splitlines()
    except OSError:  # it has just ended, or belongs to somebody else
        return None
    return next((int(line.partition(":")[2]) for line in lines if line.startswith(f"{field}:")), None)
