"""
TCP from outside the trust domain is not let in: the kernel drops its packets before there is a connection.

Kamailio does nothing for a stranger, but it has to read what he sends to see who he is, and some bytes end
Kamailio 5.6 while it looks for the end of a message (docs/adr/0050-tcp-of-strangers-is-not-accepted.md). With
TLS, a certificate is asked for before anything is read, so those sockets stay as they are.

Kamailio closes the listening sockets in all processes but the one that accepts connections. So they are
handed to the one that learns of another configuration.
"""

from __future__ import annotations

import array
import os
import socket
import struct
from contextlib import suppress
from pathlib import Path
from typing import Final

import address_filter
from settings import Settings

from omapush import log

MAIN: Final = 0
"""
What Kamailio calls its main process, when that starts others (PROC_MAIN).

It has begun to listen by then, and the process that accepts connections is not there yet.
"""
_SO_ATTACH_FILTER: Final = 26
_MOST_SOCKETS: Final = 64
_FILES: Final = Path("/proc/self/fd")


class TcpDoor:
    """Made before Kamailio forks, so that two of its processes can pass sockets on."""

    def __init__(self) -> None:
        self._far, self._near = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._near.setblocking(False)
        self._listening: list[socket.socket] = []
        self._networks: tuple[str, ...] | None = None

    def shut(self, settings: Settings) -> None:
        """In the main process, before anybody accepts connections."""
        listening = listening_at(_ports(settings))
        for one in listening:
            keep_out(one, settings.config.core.trusted_peers)
            refuse_waiting(one)
        if listening:
            socket.send_fds(self._far, [b"."], [one.fileno() for one in listening])
        for one in listening:
            one.close()

    def keep(self, settings: Settings) -> None:
        """In the control process, again and again: who may connect changes with the configuration."""
        with suppress(BlockingIOError):
            _, found, _, _ = socket.recv_fds(self._near, 1, _MOST_SOCKETS)
            self._listening, self._networks = [socket.socket(fileno=one) for one in found], None
        networks = settings.config.core.trusted_peers
        if networks != self._networks:
            self._networks = networks
            for one in self._listening:
                keep_out(one, networks)


def _ports(settings: Settings) -> frozenset[int]:
    listens = (one for one in settings.config.sip.listen if one.startswith("tcp:"))
    return frozenset(int(one.rpartition(":")[2]) for one in listens)


def listening_at(ports: frozenset[int]) -> list[socket.socket]:
    """Return the sockets of this process that accept connections at these ports, as copies."""
    found = []
    for file in _FILES.iterdir():
        with suppress(OSError):
            one = socket.socket(fileno=os.dup(int(file.name)))
            if _accepts_at(one, ports):
                found.append(one)
            else:
                one.close()
    return found


def _accepts_at(one: socket.socket, ports: frozenset[int]) -> bool:
    if one.family not in (socket.AF_INET, socket.AF_INET6) or one.type != socket.SOCK_STREAM:
        return False
    return bool(one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)) and one.getsockname()[1] in ports


def keep_out(listening: socket.socket, networks: tuple[str, ...]) -> bool:
    """Let only these networks and this machine itself connect; False, and told in the log, if that fails."""
    program = address_filter.passing_only(networks)
    packed = array.array("B", b"".join(struct.pack("=HBBI", *one) for one in program))
    where, _ = packed.buffer_info()
    try:
        listening.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", len(program), where))
    except OSError as error:
        log.get().error("tcp_not_guarded", problem=str(error), networks=len(networks))
        return False
    return True


def refuse_waiting(listening: socket.socket) -> None:
    """Close connections that were made before; who is let in makes another one."""
    listening.setblocking(False)
    with suppress(BlockingIOError):
        while True:
            listening.accept()[0].close()
