"""Loopback of a run's own that loses packets and delays them: in a network namespace, never the machine's."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

_OURS: Final = "OMAPUSH_CHAOS_NAMESPACE"
"Set in the run that has its own: the namespace in which it began, for a variable can be inherited."
_LOSS: Final = "15"
"Per cent of the packets that arrive."
_NETEM: Final = ("netem", "delay", "80ms", "60ms", "loss", f"{_LOSS}%")
_NARROW: Final = ("tbf", "rate", "1mbit", "burst", "4kb", "latency", "300ms")
"Where the kernel has no netem: what comes waits behind the rest, up to 300 ms, and then is lost."
LOSES: Final = "loses packets"
SLOW: Final = "is slow"
DISTURBED: Final = "delays and loses packets"


def enter() -> None:
    """
    Begin this run again in a network namespace of its own, or return: when it has one, or may not.

    The namespace goes with its last process.
    """
    if _has_own() or os.geteuid() != 0:
        return
    if _try("unshare", "--net", "true"):
        environment = {**os.environ, _OURS: _namespace()}
        words = ["unshare", "--net", sys.executable, "-m", "chaos", *sys.argv[1:]]
        os.execvpe(words[0], words, environment)


def kinds() -> list[str]:
    """What can be done to the loopback of this run; nothing when it is the machine's."""
    if not _has_own() or not _try("ip", "link", "set", "lo", "up"):
        return []
    if _can(DISTURBED):
        return [DISTURBED]
    return [kind for kind in (LOSES, SLOW) if _can(kind)]


@contextmanager
def disturbed(kind: str) -> Iterator[None]:
    """Have the loopback so for a while."""
    begin, end = _commands(kind)
    for command in begin:
        subprocess.run(command, check=True)
    try:
        yield
    finally:
        subprocess.run(end, check=True)


def _has_own() -> bool:
    began, now = os.environ.get(_OURS), _namespace()
    return bool(began and now) and now not in (began, _namespace("1"))


def _namespace(pid: str = "self") -> str:
    """The name of a process's namespace; empty when that is not for us to know."""
    try:
        return os.readlink(f"/proc/{pid}/ns/net")
    except OSError:
        return ""


def _can(kind: str) -> bool:
    begin, end = _commands(kind)
    return all(_try(*command) for command in begin) and _try(*end)


def _commands(kind: str) -> tuple[list[Sequence[str]], Sequence[str]]:
    """How it begins, and how it ends."""
    remove = ("tc", "qdisc", "del", "dev", "lo", "root")
    if kind == DISTURBED:
        return [("tc", "qdisc", "add", "dev", "lo", "root", *_NETEM)], remove
    if kind == SLOW:
        return [("tc", "qdisc", "add", "dev", "lo", "root", *_NARROW)], remove
    chain = "{ type filter hook input priority 0; }"
    drop = f"iifname lo numgen random mod 100 < {_LOSS} drop"
    begin: list[Sequence[str]] = [
        ("nft", "add table inet chaos"),
        ("nft", f"add chain inet chaos input {chain}"),
        ("nft", f"add rule inet chaos input {drop}"),
    ]
    return begin, ("nft", "delete table inet chaos")


def _try(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False
