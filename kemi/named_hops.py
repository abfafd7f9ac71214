"""
Next hops that are known by name, and the addresses behind them: nobody who sends waits for DNS.

Kamailio would look a name up in the process that sends or relays, and that stands still meanwhile. So it is
only ever given addresses. The control process looks names up (name_lookups.py) and notes what it finds in a
table that all processes share.
"""

from __future__ import annotations

import time
from functools import lru_cache
from typing import Final, NamedTuple

import hop_state
import KSR
import tcp_probe
from window import hop_of

from omapush import clock
from omapush.errors import MalformedSip
from omapush.protocol.sip_servers import Server
from omapush.protocol.sip_uri import SipUri, reached_at

QUEUE: Final = "names"
TABLE: Final = "names"
NOT_FOUND: Final = "-"
ASKED: Final = "?"
"Begins what stands for a name that nobody has found yet; the time when it was asked for follows."
_TELL_S: Final = 60.0
"How often a process says that it uses a name: what nobody uses is forgotten."
_MOST_TOLD: Final = 10_000
_SOON_MS: Final = 100
"Wait for a name that is being looked up: DNS mostly answers within that time."
_SOON_FOR_MS: Final = 2_000
_POLL_S: Final = 0.002
_IN_VAIN_S: Final = 5.0
_waits_again = 0.0
"Until then this process waits for no name."
_told: dict[str, float] = {}
"When this process says next that it uses a name."


class Addresses(NamedTuple):
    """What is known of a next hop."""

    uris: tuple[str, ...]
    "Where a request may go, the first one first; empty: nowhere, or that is not known yet."
    wait_ms: int = 0
    "The name is being looked up: ask again after so long. 0: `uris` is all there is."
    is_asked_long: bool = False
    "DNS has not said anything for some time."


@lru_cache(maxsize=4_096)
def name_of(uri: str) -> str:
    """
    Return the part of a URI that DNS decides about, in one form; empty: it is an address.

    What is no SIP URI is left to Kamailio as well.
    """
    if tcp_probe.address_of(uri) is not None:
        return ""
    try:
        parsed = SipUri.parse(reached_at(uri))
    except MalformedSip:
        return ""
    if parsed.scheme == "tel" or tcp_probe.address_of(str(parsed)) is not None:
        return ""
    port = "" if parsed.port is None else f":{parsed.port}"
    transport = (parsed.param("transport") or "").lower()
    return f"{parsed.scheme}:{parsed.host.lower()}{port}{f';transport={transport}' if transport else ''}"


def packed(servers: tuple[Server, ...]) -> str:
    """Return what stands in the table for a name with these servers."""
    return " ".join(f"{one.transport}|{one.host}|{one.port}" for one in servers)


def look(uri: str) -> Addresses:
    """Return where a request to `uri` may go, as far as that is known now; a new name is asked for."""
    name = name_of(uri)
    if not name:
        return Addresses((uri,))
    _use(name)
    found = KSR.htable.sht_get(TABLE, name)
    if not isinstance(found, str):
        KSR.htable.sht_sets(TABLE, name, f"{ASKED}{clock.now_ms()}")
        return Addresses((), _SOON_MS)
    if found.startswith(ASKED):
        is_new = clock.now_ms() - int(found[len(ASKED) :]) < _SOON_FOR_MS
        return Addresses((), _SOON_MS, is_asked_long=not is_new)
    return Addresses(_uris(found, ";transport=udp" in name))


def wait_for(uri: str, longest_s: float) -> tuple[str, ...]:
    """
    Return where a request to `uri` may go, after `longest_s` at most; nothing: it is not known.

    Only the first use of a name waits. Who has waited in vain does not wait again for some seconds, whatever
    the name: DNS is silent, and others want to be served.
    """
    global _waits_again
    found = look(uri)
    if not found.wait_ms or found.is_asked_long:
        return found.uris
    now = clock.monotonic()
    ends = now + longest_s
    while found.wait_ms and _waits_again <= now < ends:
        time.sleep(_POLL_S)
        found, now = look(uri), clock.monotonic()
    if found.wait_ms and now >= ends:
        _waits_again = now + _IN_VAIN_S
    return found.uris


def first_up(uris: tuple[str, ...]) -> str:
    """Return the first of these that is not known to be down; empty when there are none."""
    if len(uris) < 2:
        return uris[0] if uris else ""
    now_ms = clock.now_ms()
    return next((uri for uri in uris if not hop_state.is_down(hop_of(uri), now_ms)), uris[0])


@lru_cache(maxsize=4_096)
def _uris(text: str, says_udp: bool) -> tuple[str, ...]:
    """A large request may leave UDP for TCP only where the URI does not say UDP."""
    if text == NOT_FOUND:
        return ()
    uris = []
    for one in text.split(" "):
        transport, host, port = one.split("|")
        shown = f"[{host}]" if ":" in host else host
        told = f";transport={transport}" if transport != "udp" or says_udp else ""
        uris.append(f"sip:{shown}:{port}{told};lr")
    return tuple(uris)


def _use(name: str) -> None:
    now = clock.monotonic()
    if now < _told.get(name, 0.0):
        return
    if len(_told) >= _MOST_TOLD:
        _told.clear()
    _told[name] = now + _TELL_S
    KSR.mqueue.mq_add(QUEUE, name, "")
