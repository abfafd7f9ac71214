"""
Whether a TCP next hop refuses connections.

Kamailio connects while its transaction waits and tells nobody of a refusal: the request would end as
unanswered after half a minute. So who has something to send there tries to connect first, now and then.
"""

from __future__ import annotations

import re
import select
import socket
from typing import Final

from omapush.protocol.ip_text import is_address

_WORKS_S: Final = 2.0
"How long a hop that took a connection, or said nothing, is believed to."
_REFUSES_S: Final = 1.0
_WAIT_MS: Final = 20
"Longest wait: who is near refuses at once, who says nothing is left to the transaction."
_MOST: Final = 10_000
# sip: [user@] host [:port]                                RFC 3261 25.1
_ADDRESS: Final = re.compile(
    r"sips?:(?:[^@;?>]*@)?(\[[0-9A-Fa-f:.]+\]|[0-9.]+)(?::([0-9]{1,5}))?(?=[;?]|$)", re.I
)
_PORT: Final = 5060


class TcpProbe:
    """Part of a sender process."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int], tuple[bool, float]] = {}

    def refuses(self, uri: str, now: float) -> bool:
        """Tell whether the address in a URI refuses; a name is left to Kamailio."""
        address = address_of(uri)
        if address is None:
            return False
        refuses, until = self._known.get(address, (False, 0.0))
        if now >= until:
            refuses = _refuses(address)
            if len(self._known) >= _MOST:
                self._known.clear()
            self._known[address] = refuses, now + (_REFUSES_S if refuses else _WORKS_S)
        return refuses


def address_of(uri: str) -> tuple[str, int] | None:
    """Return host and port of a URI whose host is an address; None for a name."""
    found = _ADDRESS.match(uri)
    if found is None:
        return None
    host = found[1].strip("[]")
    if not is_address(host):
        return None
    return host, int(found[2] or _PORT)


def _refuses(address: tuple[str, int]) -> bool:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(address)
        except BlockingIOError:
            poll = select.poll()
            poll.register(probe, select.POLLOUT)
            if not poll.poll(_WAIT_MS):
                return False
            return probe.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0
        except OSError:
            return True
        return False
