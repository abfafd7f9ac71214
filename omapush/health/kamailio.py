"""The metrics that all Kamailio processes of this node share, and what they say about its state."""

from __future__ import annotations

import re
import ssl
from typing import Final, NamedTuple

import httpx

from omapush.config import Config
from omapush.push.alarm_rules import Hop

_ANSWER_S: Final = 1.0
_SAMPLE: Final = re.compile(r'^omapush_(\w+?)(?:\{hop="([^"]*)"\})? ([0-9.e+]+)(?: [0-9]+)?$', re.MULTILINE)
_ROUND: Final = re.compile(r'^omapush_process_seen_seconds\{process="([^"]*)"\} (\S+)', re.MULTILINE)
_PAUSED: Final = "next_hop_paused_until_seconds"
_DOWN: Final = "next_hop_down_until_seconds"


class SipState(NamedTuple):
    """What the metrics say."""

    memory_free: int = 0
    memory_total: int = 0
    "Bytes of shared memory; 0: not known."
    hops: tuple[Hop, ...] = ()


async def exposition(config: Config) -> bytes:
    """Return Kamailio's metrics in Prometheus text format; empty if it does not return them."""
    return await told(config, "/metrics")


async def told(config: Config, path: str) -> bytes:
    """Return what Kamailio answers to a GET on its first TCP address; empty: nothing, or it has none."""
    address = next((listen[len("tcp:") :] for listen in config.sip.listen if listen.startswith("tcp:")), "")
    if not address:
        return b""
    unused = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # it is HTTP; httpx would read all CAs of the system
    try:
        async with httpx.AsyncClient(timeout=_ANSWER_S, trust_env=False, verify=unused) as client:
            response = await client.get(f"http://{address}{path}")
    except httpx.HTTPError:
        return b""
    return response.content if response.status_code == 200 else b""


def read(text: str) -> SipState:
    """Return the facts in metrics in text format; what is missing there is unknown."""
    plain: dict[str, float] = {}
    until: dict[tuple[str, str], int] = {}
    for name, hop, value in _SAMPLE.findall(text):
        if hop:
            until[name, hop] = int(float(value) * 1000)
        else:
            plain[name] = float(value)
    names = sorted({hop for _, hop in until})
    return SipState(
        int(plain.get("shmem_free_size", 0)),
        int(plain.get("shmem_total_size", 0)),
        tuple(Hop(hop, until.get((_PAUSED, hop), 0), until.get((_DOWN, hop), 0)) for hop in names),
    )


def rounds(text: str) -> dict[str, str]:
    """Return when each sender, completer and so on was last seen working, by process."""
    return dict(_ROUND.findall(text))
