"""The sessions that a media worker carries: begun, followed and ended as their records say."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from omapush import clock, log
from omapush.config import Config, Msrp
from omapush.errors import PushError, TryLater
from omapush.msrp_agent.ahead import Ahead, Part
from omapush.msrp_agent.content import Library
from omapush.msrp_agent.hub import Hub
from omapush.msrp_agent.source import Source
from omapush.msrp_agent.transfer import Ended, Transfer
from omapush.push.session import LOST, Ending, Session, Stream
from omapush.push.values import ticket_delivery
from omapush.store import sessions
from omapush.store.client import Store

_AGAIN_S: Final = 1.0
"Wait before storing a result is tried again."


@dataclass
class _Carried:
    """One session here."""

    transfers: dict[str, Transfer] = field(default_factory=dict)
    "By our own URI of the stream; those that have ended stay until their m-line is closed."
    ended: set[str] = field(default_factory=set)


class Carrier:
    """All sessions of one worker."""

    def __init__(self, config: Config, store: Store, hub: Hub, name: str) -> None:
        self._settings = config.msrp
        self._store = store
        self._hub = hub
        self._name = name
        self._source = Source(store, config.redis.timeout_ms / 1_000)
        self._library = Library(self._source.pieces, config.msrp.kept_bytes, config.msrp.idle_s)
        self._ahead = Ahead(self._library)
        self._carried: dict[str, _Carried] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, settings: Msrp) -> None:
        """Use these settings from the next stream on."""
        self._settings = settings
        self._library.resize(settings.kept_bytes, settings.idle_s)
        self._hub.take(settings)

    @property
    def streams(self) -> int:
        """Transfers under way."""
        return len(self._tasks)

    @property
    def sessions(self) -> tuple[str, ...]:
        """Ids of the sessions that it carries, or reads ahead for."""
        return tuple({**self._carried, **dict.fromkeys(self._ahead.sessions)})

    async def look(self, session_ids: Iterable[str]) -> None:
        """
        Read sessions, and do what their records say.

        Raises:
            StoreUnavailable: nothing was read.
        """
        ids = list(session_ids)
        found = await asyncio.to_thread(sessions.read_all, self._store, ids)
        for session_id, session in zip(ids, found, strict=True):
            self._follow(session_id, session)

    def _follow(self, session_id: str, session: Session | None) -> None:
        if session is None or session.state == "ended" or session.place.worker != self._name:
            self._drop(session_id, "the session is over" if session is None else session.why)
            return
        self._ahead.offered(session_id, [_part(one) for one in session.streams if one.state == "offered"])
        for stream in session.streams:
            carried = self._carried.get(session_id)
            transfer = carried.transfers.get(stream.path) if carried else None
            if transfer is None and stream.state == "agreed":
                self._begin(session_id, stream)
            elif transfer is not None and stream.ending is None:
                transfer.hold(stream.held)
            elif transfer is not None and stream.ending is not None:
                transfer.stop(stream.ending.why)
                if stream.state == "closed" and carried is not None:
                    self._forget(carried, stream.path)

    def _begin(self, session_id: str, stream: Stream) -> None:
        carried = self._carried.setdefault(session_id, _Carried())
        try:
            if len(self._tasks) >= self._settings.streams:
                raise TryLater("the media worker is full")
            transfer = Transfer(stream, self._hub, self._library, self._settings)
        except PushError as error:
            if stream.path not in carried.ended:
                carried.ended.add(stream.path)
                self._spawn(self._report(session_id, stream, Ended(LOST, str(error), 0), clock.monotonic()))
            return
        transfer.hold(stream.held)
        carried.transfers[stream.path] = transfer
        self._spawn(self._carry(session_id, stream, transfer))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry(self, session_id: str, stream: Stream, transfer: Transfer) -> None:
        began = clock.monotonic()
        try:
            ended = await transfer.run()
        except Exception:  # noqa: BLE001 - a stream that fails must not keep its result from being stored
            log.get().exception("msrp_stream_crashed", session=session_id)
            ended = Ended(LOST, "a defect of the media worker", transfer.taken)
        await self._report(session_id, stream, ended, began)

    async def _report(self, session_id: str, stream: Stream, ended: Ended, began: float) -> None:
        """Store how a transfer ended, however long that takes, because nobody else knows it."""
        log.get().info(
            "msrp_stream_ended",
            session=session_id,
            code=ended.code,
            reason=ended.why,
            octets=ended.sent,
            seconds=round(clock.monotonic() - began, 3),
        )
        ending = Ending("msrp", ended.code, ended.why, clock.now_ms(), sent=ended.sent)
        while True:
            try:
                await asyncio.to_thread(sessions.report, self._store, session_id, stream.path, ending)
                return
            except TryLater as error:
                log.get().warning("msrp_store_away", reason=str(error))
                await asyncio.sleep(_AGAIN_S)

    def _drop(self, session_id: str, why: str) -> None:
        self._ahead.offered(session_id, ())
        carried = self._carried.pop(session_id, None)
        if carried is None:
            return
        for path, transfer in tuple(carried.transfers.items()):
            transfer.stop(why)
            self._forget(carried, path)

    def _forget(self, carried: _Carried, path: str) -> None:
        transfer = carried.transfers.pop(path)
        carried.ended.add(path)
        self._hub.remove(transfer.end)

    async def stop(self, patience_s: float, why: str) -> None:
        """Give transfers this time to end, stop the rest, and wait until all results are stored."""
        self._ahead.close()
        await self._end(patience_s, why)
        self._source.close()

    async def _end(self, patience_s: float, why: str) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=patience_s)
        for carried in self._carried.values():
            for transfer in carried.transfers.values():
                transfer.stop(why)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=patience_s)


def _part(stream: Stream) -> Part:
    """The part of its content that a stream offers."""
    return Part(
        ticket_delivery(stream.ticket)[0], stream.start - 1, (stream.stop or stream.size) - stream.start + 1
    )
