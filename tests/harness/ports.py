"""Loopback ports that nobody uses, on UDP and TCP alike."""

import fcntl
import os
import random
import socket
import tempfile
from contextlib import ExitStack
from pathlib import Path

# Below what Linux hands to outgoing connections by itself (32768 and up): a port found free here is not taken
# by the next connect() of a neighbour before its owner binds it.
LOWEST, HIGHEST = 20_000, 32_000
TRIES = 1_000

# A port given out here is often bound later, or not all the time: until this process ends no other test run
# on this machine gets it, which finds it locked.
_LOCKS = Path(tempfile.gettempdir()) / f"omapush-test-ports-{os.getuid()}"
_held: list[int] = []


def free_port() -> int:
    """One port of 127.0.0.1 that is free on UDP and TCP."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """
    As many different free ports.

    Raises:
        OSError: There are none left after many tries.
    """
    found: list[int] = []
    with ExitStack() as held:
        for _ in range(TRIES):
            if len(found) == count:
                return found
            port = random.randint(LOWEST, HIGHEST)
            if port not in found and _take(port, held) and _lock(port):
                found.append(port)
    raise OSError(f"only {len(found)} of {count} free loopback ports after {TRIES} tries")


def is_bound(port: int) -> bool:
    """True while some process has 127.0.0.1 and this port, on UDP or listening on TCP."""
    local = f"0100007F:{port:04X}"  # as the kernel writes 127.0.0.1 and the port
    listening = "0A"
    for protocol in ("udp", "tcp"):
        for line in Path(f"/proc/net/{protocol}").read_text().splitlines()[1:]:
            _, address, _, state = line.split()[:4]
            if address == local and (protocol == "udp" or state == listening):
                return True
    return False


def _take(port: int, held: ExitStack) -> bool:
    """Hold the port until the caller has them all; False when somebody else has it."""
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        holder = held.enter_context(socket.socket(socket.AF_INET, kind))
        try:
            holder.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _lock(port: int) -> bool:
    """Keep the port for this process; False when another run has it. The lock goes with the process."""
    _LOCKS.mkdir(mode=0o700, exist_ok=True)
    lock = os.open(_LOCKS / str(port), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return False
    _held.append(lock)
    return True
