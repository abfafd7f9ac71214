"""
The sockets that the api listens on: each of them several times.

Its event loop accepts one connection in a round for each socket that it is given, and under load a round
takes long: who asks /healthz, by a connection of its own, would wait behind all those who come to push.
"""

from __future__ import annotations

import socket
from typing import Final

TOGETHER: Final = 16
"Connections that are accepted in one round."


def sockets(host: str, port: int) -> list[socket.socket]:
    """
    Return sockets that are bound to all addresses of a name, to be listened on and closed by who gets them.

    Raises:
        OSError: the name has no address, or one of them cannot be used.
    """
    found: list[socket.socket] = []
    try:
        for family, kind, protocol, _, address in dict.fromkeys(_addresses(host, port)):
            one = socket.socket(family, kind, protocol)
            found.append(one)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            one.bind(address)
        return [*found, *(one.dup() for one in found for _ in range(TOGETHER - 1))]
    except OSError:
        for one in found:
            one.close()
        raise


def _addresses(host: str, port: int) -> list[tuple[int, int, int, str, tuple[str, int]]]:
    asked = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return [(*one[:4], one[4]) for one in asked]
