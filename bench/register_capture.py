"""register_capture: third-party REGISTERs stored and answered, against Kamailio's own save() in memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bench import full_size, sipp_rate
from bench.figure import Figure, compared
from bench.native import Native
from bench.sipp_rate import Load

_NOBODY = "6060"
"Port of an S-CSCF that nothing is sent to."


def measure(folder: Path, rounds: int) -> Figure:
    """Measure both sides in turn."""
    return _measure("register_capture", _captured, folder, rounds)


def measure_watched(folder: Path, rounds: int) -> Figure:
    """Measure the same while each new user's reg event is subscribed to, answered and told."""
    return _measure("register_capture_watched", _watched, folder, rounds)


def _measure(name: str, own: Callable[[Path], float], folder: Path, rounds: int) -> Figure:
    ours, theirs = [], []
    for number in range(rounds):
        ours.append(own(folder / f"ours-{number}"))
        theirs.append(_saved(folder / f"native-{number}"))
    return compared(name, "REGISTER/s", "native save() in memory", ours, theirs)


def _captured(folder: Path) -> float:
    with full_size.stack(folder, ("redis", "sip")) as stack:
        return sipp_rate.highest(folder, Load("register", stack.sip[1], {"s_cscf": _NOBODY}))


def _watched(folder: Path) -> float:
    stack = full_size.stack(folder, ("redis", "sip"), full_size.WATCHING)
    with sipp_rate.receiver(folder, stack.core_port, "s_cscf"), stack:
        return sipp_rate.highest(folder, Load("register", stack.sip[1], {"s_cscf": str(stack.core_port)}))


def _saved(folder: Path) -> float:
    with Native(folder, "native_registrar", full_size.WORKERS) as registrar:
        return sipp_rate.highest(folder, Load("register", registrar.port, {"s_cscf": _NOBODY}))
