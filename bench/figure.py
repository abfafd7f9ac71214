"""One measured figure, and what is said about the machine it was measured on."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import NamedTuple


class Figure(NamedTuple):
    """One line of the result."""

    name: str
    value: float
    "Median of the rounds."
    unit: str
    ratio: float | None
    "Median of the ratios of the rounds; None when there is no other side."
    against: str
    "What the ratio is against, or what the value has to reach."
    rounds: tuple[float, ...]
    other_rounds: tuple[float, ...] = ()
    cpu_us: Mapping[str, Mapping[str, float]] = {}
    "What one costs in us of a processor, by side and kind of process; empty where it is not measured."

    def line(self) -> str:
        """Return the figure as people read it, and below it what one costs."""
        ratio = f"{self.ratio:5.2f} of" if self.ratio is not None else "        "
        spread = f"[{min(self.rounds):,.0f} .. {max(self.rounds):,.0f}]"
        line = f"{self.name:20} {self.value:12,.0f} {self.unit:12} {ratio} {self.against} {spread}"
        for side, kinds in self.cpu_us.items():
            line += f"\n    cpu us, {side}: " + ", ".join(f"{kind} {us:.1f}" for kind, us in kinds.items())
        return line


def compared(
    name: str,
    unit: str,
    against: str,
    ours: list[float],
    theirs: list[float],
    cpu_us: Mapping[str, Mapping[str, float]] | None = None,
) -> Figure:
    """Return the figure of two sides measured in turn."""
    ratios = [own / other for own, other in zip(ours, theirs, strict=True)]
    text = f"{against} ({median(theirs):,.0f} {unit})"
    ratio = round(median(ratios), 3)
    return Figure(name, median(ours), unit, ratio, text, tuple(ours), tuple(theirs), cpu_us or {})


def alone(name: str, unit: str, against: str, rounds: list[float]) -> Figure:
    """Return a figure that is only measured against a number to reach."""
    return Figure(name, median(rounds), unit, None, against, tuple(rounds))


def machine() -> dict[str, str]:
    """Return what a reader needs to know to compare: processors, memory, versions, load."""
    cpu = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        "unknown",
    )
    kamailio = subprocess.run(["kamailio", "-v"], capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )[0]
    redis = subprocess.run(["redis-server", "-v"], capture_output=True, text=True, check=True).stdout.strip()
    return {
        "cpu": cpu,
        "cpus": str(os.cpu_count()),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "kamailio": kamailio,
        "redis": redis,
        "load_before": f"{os.getloadavg()[0]:.2f}",
    }
