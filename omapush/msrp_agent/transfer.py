"""The transfer of one content to one device: connection, chunks, confirmation, and how it ended."""

from __future__ import annotations

import asyncio
import secrets
from typing import NamedTuple

from omapush import clock
from omapush.config import Msrp
from omapush.msrp_agent.content import Content, ContentAway, Library
from omapush.msrp_agent.hub import CannotConnect, Hub, SessionEnd
from omapush.msrp_agent.pace import Pace
from omapush.protocol.disposition import write_disposition
from omapush.protocol.msrp_sending import STOPPED, Message, MsrpSending, Timing
from omapush.protocol.msrp_uri import MsrpUri, parse_path
from omapush.push.session import LOST, Stream
from omapush.push.values import ticket_delivery


class Ended(NamedTuple):
    """How a transfer ended."""

    code: int
    "MSRP status, CONFIRMED, TAKEN, or LOST."
    why: str
    sent: int
    "Octets of this transfer that the device has taken."


class _Failed(Exception):
    """It ends here; the text says why."""


class Transfer:
    """One stream of a session on its way; `run` once."""

    def __init__(self, stream: Stream, hub: Hub, library: Library, settings: Msrp) -> None:
        self._stream = stream
        self._hub = hub
        self._settings = settings
        size = (stream.stop or stream.size) - stream.start + 1
        self._peer = parse_path(stream.peer_path, "a=path")
        own = MsrpUri.parse(stream.path, "path")
        self._sending = MsrpSending(
            Message(stream.message_id, size, stream.content_type, _headers(stream)),
            self._peer,
            (own,),
            lambda: secrets.token_hex(16),  # the longest there is: content is searched for it faster
            Timing(report_s=settings.report_s),
        )
        ref, _ = ticket_delivery(stream.ticket)
        self._absent = library.transaction
        self._content = Content(library, ref, stream.start - 1, size)
        self._pace = Pace(settings.chunk_bytes)
        self._over_at = 0.0
        self._held = False
        self._gone = 0
        "Of `end`, at the last look."
        # What the device says of its certificate is about its own end, and not about a relay before it.
        self._fingerprints = stream.peer_fingerprints if len(self._peer) == 1 else ()
        expected = self._fingerprints if own.secure else ()
        self.end = SessionEnd(own, self._sending, clock.monotonic, fingerprints=expected)
        "Stays in the hub until the session is over: the connection is closed after the 200 to BYE."

    @property
    def taken(self) -> int:
        """Octets that the device has taken so far."""
        return max(self._sending.reported, self._sending.answered)

    def stop(self, why: str) -> None:
        """End it, if it has not ended."""
        self.end.write(self._sending.stop(why))
        self.end.changed.set()

    def hold(self, is_on: bool) -> None:
        """Begin no further chunk, or go on."""
        if is_on != self._held:
            self._held = is_on
            self.end.changed.set()

    async def run(self) -> Ended:
        """Carry it out and return how it ended; nothing is raised but cancellation."""
        self._over_at = clock.monotonic() + self._settings.total_s
        self._hub.add(self.end)
        self._content.begin()
        try:
            await self._bind()
            await self._send()
            while self._sending.outcome is None:
                await self._change(self._over_at, f"not confirmed within {self._settings.total_s:g} s")
        except (CannotConnect, ContentAway, _Failed) as failed:
            self.end.write(self._sending.stop(str(failed)))
        finally:
            self._content.close()
        outcome = self._sending.outcome
        if outcome is None:
            return Ended(LOST, "ended without a reason", self.taken)
        return Ended(LOST if outcome.code == STOPPED else outcome.code, outcome.why, self.taken)

    async def _bind(self) -> None:
        """Have a connection: make one, or wait for the device's."""
        if self._stream.connects:
            await self._hub.connect(self.end, self._peer[0], self._fingerprints)
            return
        wait_s = self._settings.connect_s
        until = clock.monotonic() + wait_s
        while self.end.connection is None and self._sending.outcome is None:
            await self._change(until, self.end.refusal or f"the device did not connect within {wait_s:g} s")

    async def _send(self) -> None:
        sending = self._sending
        is_first = True
        while sending.left or is_first:
            is_first = False
            pieces, is_clear = await self._content.next(self._pace.size)
            while self._held and sending.outcome is None:
                await self._change(self._over_at, f"the device held it for {self._settings.total_s:g} s")
            await self._room()
            if sending.outcome is not None:
                return
            head = sending.begin_chunk(*pieces, absent=self._absent() if is_clear else "")
            now = clock.monotonic()
            self.end.write(head, *pieces, sending.end_chunk(sum(map(len, pieces)), now))
            await self._room_after(now)

    async def _room_after(self, written_at: float) -> None:
        """Learn how fast the connection is."""
        if self._sending.left:
            await self._room()
        self._pace.took(clock.monotonic() - written_at)

    async def _room(self) -> None:
        """Wait until the next chunk may be written, or there is an outcome."""
        idle_s = self._settings.idle_s
        until = min(clock.monotonic() + idle_s, self._over_at)
        while self._sending.outcome is None and not (self.end.is_writable and self._sending.may_begin):
            if await self._change(until, f"the device took nothing for {idle_s:g} s"):
                until = min(clock.monotonic() + idle_s, self._over_at)

    async def _change(self, until: float, problem: str) -> bool:
        """
        Wait until something has happened; True when the network has taken more of what was written.

        Raises:
            _Failed: nothing did until then (`problem`), or the connection is gone.
        """
        connection = self.end.connection
        if connection is not None and not connection.is_open:
            raise _Failed(connection.why_lost)
        deadline = self._sending.deadline
        wake_at = until if deadline is None else min(until, deadline)
        self.end.changed.clear()
        loop = asyncio.get_running_loop()
        timer = loop.call_later(max(0.0, wake_at - clock.monotonic()), self.end.changed.set)
        try:
            await self.end.changed.wait()
        finally:
            timer.cancel()
        now = clock.monotonic()
        is_moving, self._gone = self.end.gone > self._gone, self.end.gone
        if is_moving:
            self._sending.on_taken(now)
        self._sending.look(now)
        if now >= until and self._sending.outcome is None and not (is_moving and now < self._over_at):
            raise _Failed(problem)
        return is_moving


def _headers(stream: Stream) -> tuple[tuple[str, str], ...]:
    """Content-Disposition, Content-Description and others (PSA-MSRP-12 to 14); each chunk has them."""
    disposition = write_disposition(stream.disposition, stream.name, stream.size)
    told = [("Content-Description", stream.description)] if stream.description else []
    told += stream.mime
    return (
        ("Content-Disposition", disposition),
        *((name, "".join(filter(str.isprintable, value))) for name, value in told),
    )
