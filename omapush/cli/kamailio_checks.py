"""What `omapush doctor` asks Kamailio on its control socket: memory."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Final

from omapush.cli.checks import Finding, found_ok, found_wrong, output_of, path, skipped

_LEAST_FREE_MEMORY: Final = 0.1
_MEMORY: Final = re.compile(r"(total|free): ([0-9]+)")


def memory_manager(control: Path) -> Finding:
    """Check that Kamailio runs with tlsf: the default manager takes several times the CPU."""
    words = _ask(control, "core.arg").split()
    managers = {words[at + 1] for at, word in enumerate(words[:-1]) if word in ("-x", "-X")}
    if not words:
        return _no_control("memory manager", control)
    if managers != {"tlsf"}:
        found = ", ".join(sorted(managers)) or "the default of this build"
        return found_wrong(
            "memory manager", found, "several times the CPU for each request", "start it by omapush sip"
        )
    return found_ok("memory manager", "tlsf")


def shared_memory(control: Path) -> Finding:
    """Check that Kamailio has shared memory left."""
    found = {name: int(value) for name, value in _MEMORY.findall(_ask(control, "core.shmmem"))}
    if not found:
        return _no_control("shared memory", control)
    free_mb, total_mb = found["free"] // 1_000_000, found["total"] // 1_000_000
    text = f"{free_mb} of {total_mb} MB free"
    if found["free"] < found["total"] * _LEAST_FREE_MEMORY:
        action = "make sip.shared_memory_mb larger or sip.window smaller"
        return found_wrong("shared memory", text, "requests fail for want of memory", action)
    return found_ok("shared memory", text)


def _no_control(check: str, control: Path) -> Finding:
    return skipped(check, f"no answer on {control}; is this the --run-dir of omapush sip?")


def _ask(control: Path, *command: str) -> str:
    """What Kamailio says on its control socket; empty when it cannot be asked, or has an error."""
    if not control.exists() or shutil.which("kamcmd", path=path()) is None:
        return ""
    said = output_of(["kamcmd", "-s", f"unixs:{control}", *command])
    return "" if said.startswith(("ERROR", "error")) else said
