"""What a reader needs to know of a machine before comparing figures of two of them."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from pathlib import Path
from typing import Final

_GIGABYTE: Final = 1e9


def machine() -> dict[str, str]:
    """Return processors, memory, kernel, versions, and the load before anything is measured."""
    return {
        "cpu": _entry("/proc/cpuinfo", "model name"),
        "cpus": str(os.cpu_count()),
        "memory": f"{int(_entry('/proc/meminfo', 'MemTotal').split()[0]) * 1024 / _GIGABYTE:.1f} GB",
        "kernel": platform.release(),
        "system": platform.freedesktop_os_release().get("PRETTY_NAME", "unknown"),
        "python": platform.python_version(),
        "kamailio": _said("kamailio", "-v").split("\n")[0],
        "redis": _said("redis-server", "-v"),
        "load_before": f"{os.getloadavg()[0]:.2f}",
    }


def _entry(file: str, name: str) -> str:
    """Return the first value under that name in a file of `/proc`."""
    found = re.search(rf"^{name}\s*:\s*(.*)$", Path(file).read_text(), re.MULTILINE)
    return found[1].strip() if found else "unknown"


def _said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603 - words of ours
