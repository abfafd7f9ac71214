"""Audit entries of one event loop: those that come while some are being written are written next."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from omapush import clock, log
from omapush.audit.chain import Entry
from omapush.audit.journal import AuditUnavailable, Journal

_MOST: Final = 512
"Entries written at once."
_REST_S: Final = 2.0
"After a failure nothing is tried for so long, but refused at once."


class AuditTrail:
    """Writes to the audit record, when there is one."""

    def __init__(self, journal: Journal | None, *, required: bool) -> None:
        self._journal = journal
        self._required = required
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="audit")
        self._waiting: list[tuple[Entry, asyncio.Future[None]]] = []
        self._running: asyncio.Task[None] | None = None
        self._broken_until = 0.0

    @property
    def is_kept(self) -> bool:
        """Whether anything is written at all."""
        return self._journal is not None

    def check(self) -> None:
        """
        Return when something may be done that has to be recorded.

        Raises:
            AuditUnavailable: the record is required and could not be written a moment ago.
        """
        if self._required and clock.monotonic() < self._broken_until:
            raise AuditUnavailable("the audit record cannot be written")

    async def note(self, entry: Entry) -> None:
        """Have the entry in the record; what cannot be written is logged instead, for it has been done."""
        if self._journal is None:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((entry, future))
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._work(self._journal))
        await future

    async def _work(self, journal: Journal) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:_MOST], self._waiting[_MOST:]
            entries = [entry for entry, _ in batch]
            try:
                await asyncio.get_running_loop().run_in_executor(self._thread, journal.append, entries)
                self._broken_until = 0.0
            except Exception as error:  # noqa: BLE001 - also a defect: who waits next would wait for ever
                self._broken_until = clock.monotonic() + _REST_S
                self._log_instead(entries, error)
            finally:
                for _, future in batch:
                    if not future.done():
                        future.set_result(None)

    def _log_instead(self, entries: list[Entry], error: Exception) -> None:
        defect = None if isinstance(error, AuditUnavailable) else error
        for one in entries:
            fields = {"who": one.who, "did": one.did, "what": one.what, "result": one.result}
            log.get().error(
                "audit_unavailable", problem=str(error), source=one.source, exc_info=defect, **fields
            )
