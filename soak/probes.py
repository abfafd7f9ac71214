"""Samples of processes: memory, file descriptors, and what Kamailio says of its own memory."""

from __future__ import annotations

import os
import re
import subprocess
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from soak.series import Kind, Series

_PROC: Final = Path("/proc")
_FIELD: Final = re.compile(r"^(\w+): +([0-9]+) kB$", re.MULTILINE)
_ENTRY: Final = re.compile(r"\{(.*?)\}", re.DOTALL)
_PAIR: Final = re.compile(r"^\s*(\w+): (.*)$", re.MULTILINE)
_TIMER: Final = re.compile(r"RTIMER EXEC child=([0-9]+) timer=(\w+)")
_RECEIVER: Final = re.compile(r"(udp|tcp) receiver.* child=([0-9]+)|udp receiver child=([0-9]+)")
_KB: Final = 1_024


class Processes:
    """The processes of a running installation, each under one name for as long as it lives."""

    def __init__(self, leaders: Mapping[str, int], control: Path | None = None) -> None:
        """
        `leaders`: name of a part -> id of the process that leads its session.

        `control`: the control socket of a Kamailio, which is the part `sip`.
        """
        self._leaders = {leader: part for part, leader in leaders.items()}
        self._control = control
        self._names: dict[int, str] = {}
        self._counted: Counter[str] = Counter()
        self.ended: list[str] = []
        "Names of processes that were there and are not any more."

    def sample(self) -> dict[Series, float]:
        """Return memory and descriptors of each process that lives now, and Kamailio's own figures."""
        entries = self._package_entries()
        values: dict[Series, float] = {}
        for pid in self._living({int(entry["pid"]): entry["desc"] for entry in entries}):
            values |= _of_process(pid, self._names[pid])
        for entry in entries:
            if name := self._names.get(int(entry["pid"])):
                values[Series(Kind.PACKAGE, name)] = float(entry["used"])
        if self._control is not None:
            for entry in _entries(_told(self._control, "core.shmmem")):
                values[Series(Kind.SHARED, "Kamailio")] = float(entry["used"])
        return values

    def _package_entries(self) -> list[dict[str, str]]:
        return _entries(_told(self._control, "pkg.stats")) if self._control is not None else []

    def _living(self, described: Mapping[int, str]) -> list[int]:
        """Return the ids of our processes that live, with a name for each new one."""
        found = {}
        for entry in _PROC.glob("[0-9]*"):
            try:
                session = int((entry / "stat").read_text().rpartition(")")[2].split()[3])
            except (OSError, IndexError):  # it has just ended
                continue
            if part := self._leaders.get(session):
                found[int(entry.name)] = part
        for pid in self._names.keys() - found.keys():
            self.ended.append(self._names.pop(pid))
        for pid, part in sorted(found.items()):
            # What Redis forks writes the append-only file and goes.
            if pid not in self._names and not (part == "redis" and pid not in self._leaders):
                self._names[pid] = self._named(part, described.get(pid, ""))
        return sorted(self._names)

    def _named(self, part: str, description: str) -> str:
        name = f"{part}: {kamailio_name(description)}" if description else part
        self._counted[name] += 1
        return name if self._counted[name] == 1 else f"{name} ({self._counted[name]})"


def kamailio_name(description: str) -> str:
    """Return a short name for what Kamailio says a process of it is, such as `sender 0`."""
    if timer := _TIMER.fullmatch(description):
        return f"{timer[2]} {timer[1]}" if timer[2] == "sender" else timer[2]
    if receiver := _RECEIVER.match(description):
        return f"{receiver[1] or 'udp'} worker {receiver[2] or receiver[3]}"
    return description.removesuffix(" - attendant")


def _of_process(pid: int, name: str) -> dict[Series, float]:
    try:
        kb = dict(_FIELD.findall((_PROC / str(pid) / "smaps_rollup").read_text()))
        descriptors = len(os.listdir(_PROC / str(pid) / "fd"))
    except (OSError, ProcessLookupError):  # it has just ended
        return {}
    if not kb:
        return {}
    alone = int(kb["Private_Clean"]) + int(kb["Private_Dirty"])
    return {
        Series(Kind.MEMORY, name): float(int(kb["Anonymous"]) * _KB),
        Series(Kind.USS, name): float(alone * _KB),
        Series(Kind.PSS, name): float(int(kb["Pss"]) * _KB),
        Series(Kind.DESCRIPTORS, name): float(descriptors),
    }


def _told(control: Path, command: str) -> str:
    """What Kamailio answers a command; empty when it does not answer."""
    words = ["kamcmd", "-s", f"unixs:{control}", command]
    try:
        return subprocess.run(words, capture_output=True, text=True, timeout=10, check=False).stdout
    except subprocess.TimeoutExpired:
        return ""


def _entries(said: str) -> list[dict[str, str]]:
    """The pairs in each pair of braces of such an answer."""
    return [dict(_PAIR.findall(entry)) for entry in _ENTRY.findall(said)]
