"""
The process that keeps what was sent and received for traced pushes, and shows it to a capture server.

It alone asks Redis what is to be traced, once a second, and switches the looking on and off: while nothing is
traced no packet is looked at.
"""

from __future__ import annotations

import base64
import socket
from typing import Final, NamedTuple

import KSR
import ksr_reader
import traced
from settings import Settings

from omapush import clock, log
from omapush.errors import MalformedSip, PushError
from omapush.protocol import hep, packet
from omapush.protocol.redaction import redact
from omapush.push.tracing import Kept, Switches, captured
from omapush.store import client, traces

QUEUE: Final = "traces"
_MOST_AT_ONCE: Final = 256
_LOOK_S: Final = 1.0
_TURN_S: Final = 0.1
"How long what comes is kept before this process comes round, as in `pace.Pace`, though there may be more."
_LINGER_S: Final = 60.0
"How long packets are looked at after the last switch went off: what is under way is seen to its end."
_RPC: Final = '{{"jsonrpc":"2.0","method":"siptrace.status","params":["{0}"],"id":1}}'


class Tracer:
    """State of the tracer; lives in one process and is driven by Kamailio's timer."""

    def __init__(self, settings: Settings) -> None:
        self._store = client.connect(settings.config.redis)
        self._looks_until = 0.0
        self._is_looking = False
        self.take(settings)

    def take(self, settings: Settings) -> None:
        """Keep and show as these settings say from now on."""
        self._config = settings.config.trace
        self._hep = _CaptureServer(settings)
        self._switches: Switches | None = None
        self._look_at = 0.0

    def run_once(self) -> None:
        """See what is wanted, then keep all that came."""
        now = clock.monotonic()
        try:
            if now >= self._look_at:
                self._look_at = now + _LOOK_S
                self._look(now)
            while clock.monotonic() < now + _TURN_S and (batch := self._fetch()):
                self._hep.show(batch)
                kept = [(one.ref, one.kept) for one in batch]
                traces.keep(self._store, kept, most=self._config.most_messages, keep_s=self._config.keep_s)
        except PushError as error:  # a trace is worth less than the room that keeping it for later would take
            log.get().warning("trace_not_kept", problem=str(error))

    def _look(self, now: float) -> None:
        wanted = traces.wanted(self._store, clock.now_ms(), share=self._config.share)
        if wanted != self._switches:
            self._switches = wanted
            traced.publish(wanted, self._config.most_per_s)
        if wanted.is_on:
            self._looks_until = now + _LINGER_S
        is_needed = now < self._looks_until
        if is_needed != self._is_looking:
            KSR.jsonrpcs.exec(_RPC.format("on" if is_needed else "off"))
            self._is_looking = is_needed

    def _fetch(self) -> list[_Seen]:
        batch: list[_Seen] = []
        while len(batch) < _MOST_AT_ONCE and (queued := ksr_reader.next_queued(QUEUE)):
            if (one := _read(*queued, content=self._config.content)) is not None:
                batch.append(one)
        return batch


class _Seen(NamedTuple):
    """One packet that belongs to a traced push."""

    ref: str
    kept: Kept


def _read(key: str, value: str, *, content: bool) -> _Seen | None:
    """Read what event_route[siptrace:msg] wrote: delivery, time, source, destination; and the message."""
    try:
        delivery, at, source, destination = key.split()
        ref, _, recipient = delivery.partition(".")
        transport, sender = packet.endpoint(source)
        message = redact(base64.b64decode(value), content=content)
        seconds, _, fraction = at.partition(".")
        at_us = int(seconds) * 1_000_000 + int(fraction)
        found = captured(message, at_us, transport, sender, packet.endpoint(destination)[1])
        return _Seen(ref, Kept(int(recipient), found))
    except (ValueError, MalformedSip) as error:
        log.get().warning("trace_not_kept", problem=f"{type(error).__name__}: {error}")
        return None


class _CaptureServer:
    """Where HEP packets go, if anywhere."""

    def __init__(self, settings: Settings) -> None:
        self._agent = settings.config.trace.hep_agent
        self._key = settings.config.trace.hep_key
        self._socket: socket.socket | None = None
        self._address = settings.config.trace.hep_address
        if self._address is not None:
            family = socket.AF_INET6 if ":" in self._address[0] else socket.AF_INET
            self._socket = socket.socket(family, socket.SOCK_DGRAM)
            self._socket.setblocking(False)

    def show(self, batch: list[_Seen]) -> None:
        """Send what was seen; what the network does not take now is lost, as with any mirror."""
        if self._socket is None or self._address is None:
            return
        for one in batch:
            correlation = f"{one.ref}.{one.kept.recipient}"
            data = hep.encode(
                one.kept.message.packet, agent=self._agent, correlation=correlation, key=self._key
            )
            try:
                self._socket.sendto(data, self._address)
            except OSError:  # no way there, or the buffer is full
                continue
