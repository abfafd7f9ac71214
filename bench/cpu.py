"""
What one push costs each kind of process, in microseconds of a processor.

On a machine that is shared a rate says little from one minute to the next; what a push costs says more.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Final

_TICKS_A_SECOND: Final = os.sysconf("SC_CLK_TCK")
_PROCESS: Final = re.compile(r"PID: ([0-9]+)\s+DSC: (.*)")
_KINDS: Final = (
    (re.compile(r"(?:udp|tcp) receiver"), "SIP workers"),
    (re.compile(r"RTIMER EXEC child=[0-9]+ timer=sender"), "senders"),
    (re.compile(r"RTIMER EXEC child=[0-9]+ timer=([a-z]+)"), r"completer \1"),
)
"How Kamailio begins the description of a process -> what we call it."


class CpuTime:
    """Processor time that groups of processes have used since this was made."""

    def __init__(self, leaders: Mapping[str, int], control: Path | None = None) -> None:
        """
        Begin to count.

        `leaders`: kind -> id of the process that leads a session, all of which is of that kind. `control`:
        control socket of a Kamailio among them, whose processes are told apart.
        """
        self._by_session = {leader: kind for kind, leader in leaders.items()}
        self._by_process = kinds_of(control) if control else {}
        self._before = self._ticks()

    def per_one_us(self, number: float) -> dict[str, float]:
        """Return the us that each kind, and all together, has spent on one of `number` things done."""
        ticks = self._ticks()
        ticks.subtract(self._before)
        spent = {kind: ticks[kind] / _TICKS_A_SECOND * 1e6 / number for kind in sorted(ticks)}
        return {kind: round(us, 1) for kind, us in spent.items() if us >= 1} | {
            "all": round(sum(spent.values()), 1)
        }

    def _ticks(self) -> Counter[str]:
        used: Counter[str] = Counter()
        for process in Path("/proc").glob("[0-9]*"):
            try:
                words = (process / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it has just ended
                continue
            kind = self._by_session.get(int(words[3]))
            if kind is not None:
                used[self._by_process.get(int(process.name), kind)] += int(words[11]) + int(words[12])
        return used


def middle(rounds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the median of several rounds, kind by kind."""
    kinds = dict.fromkeys(kind for one in rounds for kind in one)
    return {kind: median(one.get(kind, 0.0) for one in rounds) for kind in kinds}


def kinds_of(control: Path) -> dict[int, str]:
    """Process id -> kind, as Kamailio itself tells."""
    command = ["kamcmd", "-s", f"unixs:{control}", "core.psx"]
    said = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - words of ours
    return kinds(said.stdout)


def kinds(said: str) -> dict[int, str]:
    """Read process id -> kind out of what `core.psx` says."""
    found = {}
    for process, description in _PROCESS.findall(said):
        for form, kind in _KINDS:
            if match := form.match(description):
                found[int(process)] = match.expand(kind)
                break
    return found
