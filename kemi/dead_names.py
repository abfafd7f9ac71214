"""
Names of next hops that lead nowhere: nobody waits a second time for a DNS that does not answer.

Kamailio looks a name up in the process that sends or relays, and that stands still meanwhile. So a name that
was not found is noted for all of them, who do not try it again; from then on it is looked up by the process
that asks for orders.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

import KSR
import ksr_reader
import tcp_probe

from omapush import clock, log
from omapush.protocol.sip_uri import host_and_port

QUEUE: Final = "dead_names"
_TABLE: Final = "names"
# hostname [":" port], and "_" as names of services have it                              RFC 3261 25.1
_NAME: Final = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*\.?(?::[0-9]{1,5})?")
_LOOK_S: Final = 1.0
"How often a name is looked up; Kamailio asks DNS when what it knows is too old, each 30 s for a dead one."
_LOOKUP: Final = '{{"jsonrpc":"2.0","method":"dns.lookup","params":["{kind}","{name}"],"id":1}}'


@lru_cache(maxsize=4_096)
def name_of(uri: str) -> str:
    """Return host and port of a URI whose host is a name; empty: it is an address, or no name of DNS."""
    if tcp_probe.address_of(uri) is not None:
        return ""
    found = host_and_port(uri).lower()
    return found if _NAME.fullmatch(found) else ""


def is_dead(uri: str) -> bool:
    """Tell whether a next hop's name was not found of late."""
    name = name_of(uri)
    return bool(name) and KSR.htable.sht_get(_TABLE, name) is not None


def failed(uri: str) -> None:
    """Note that a request could not be sent: if to a name, that is taken for dead until it is found."""
    name = name_of(uri)
    if name and KSR.htable.sht_get(_TABLE, name) is None:
        KSR.htable.sht_sets(_TABLE, name, str(clock.now_ms()))
        KSR.mqueue.mq_add(QUEUE, name, "")
        log.get().warning("next_hop_not_found", name=name)


class Lookups:
    """In the one process that may wait for DNS."""

    def __init__(self) -> None:
        self._due: dict[str, float] = {}

    def run_once(self) -> None:
        """Look up one name that is due; found or forgotten, senders try it again."""
        while queued := ksr_reader.next_queued(QUEUE):
            self._due[queued[0]] = 0.0
        now = clock.monotonic()
        name = next((one for one, due in self._due.items() if due <= now), "")
        if not name:
            return
        del self._due[name]  # behind the others
        if KSR.htable.sht_get(_TABLE, name) is None:
            return
        if _is_found(name):
            KSR.htable.sht_rm(_TABLE, name)
            log.get().info("next_hop_found", name=name)
            return
        self._due[name] = clock.monotonic() + _LOOK_S


def _is_found(name: str) -> bool:
    """As Kamailio does it (RFC 3263): a name without a port may have SRV records."""
    host, _, port = name.rpartition(":")
    if port.isdigit():
        return _has(host, ("A", "AAAA"))
    services = (f"_sip._{protocol}.{name}" for protocol in ("udp", "tcp"))
    return any(_has(service, ("SRV",)) for service in services) or _has(name, ("A", "AAAA"))


def _has(name: str, kinds: tuple[str, ...]) -> bool:
    for kind in kinds:
        KSR.jsonrpcs.exec(_LOOKUP.format(kind=kind, name=name))
        if '"error"' not in ksr_reader.text("$jsonrpl(body)"):
            return True
    return False
