"""register_capture: third-party REGISTERs stored and answered, against Kamailio's own save() in memory."""

from __future__ import annotations

from pathlib import Path

from bench import full_size, sipp_rate
from bench.figure import Figure, compared
from bench.native import Native


def measure(folder: Path, rounds: int) -> Figure:
    """Measure both sides in turn."""
    ours, theirs = [], []
    for number in range(rounds):
        ours.append(_captured(folder / f"ours-{number}"))
        theirs.append(_saved(folder / f"native-{number}"))
    return compared("register_capture", "REGISTER/s", "native save() in memory", ours, theirs)


def _captured(folder: Path) -> float:
    with full_size.stack(folder, ("redis", "sip")) as stack:
        return sipp_rate.highest(folder, "register", stack.sip[1])


def _saved(folder: Path) -> float:
    with Native(folder, "native_registrar", full_size.WORKERS) as registrar:
        return sipp_rate.highest(folder, "register", registrar.port)
