"""
Writes event data records: results are borrowed from Redis, written to a file, and only then taken out there.

So each result has its record; a second one only when this process died between the two, or another node took
over meanwhile. Who reads the records drops what has an `id` that it has seen.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from omapush import clock, log
from omapush.config import Config
from omapush.errors import PushError
from omapush.notifier.metrics import NotifierMetrics
from omapush.notifier.record_files import NotWritten, RecordFiles
from omapush.push.event_record import TIMES, EventRecord, record_of
from omapush.store import records
from omapush.store.client import Store
from omapush.store.records import Waiting

_IDLE_S: Final = 0.5
_REST_S: Final = 2.0
_LEASE_MS: Final = 20_000
_MOST: Final = 500
"Largest number from each push shard in one go."


class Recorder:
    """Part of the notifier, when `records.folder` is set."""

    def __init__(self, config: Config, store: Store, metrics: NotifierMetrics) -> None:
        self._store = store
        self._metrics = metrics
        self._node = (
            config.node
        )  # a lease of the node: started again it goes on at once, and the lock file holds one
        self._ioi = config.core.ioi
        self._age_ms = int(config.records.delay_s * 1000)
        self._files = RecordFiles(
            Path(config.records.folder),
            rotate_bytes=config.records.rotate_mb * 1_000_000,
            rotate_s=config.records.rotate_s,
            keep_files=config.records.keep_files,
        )
        self._written: set[str] | None = None
        "Ids that the file ends with; None: it was not looked at yet."

    async def run(self) -> None:
        """Work until it is cancelled; Redis or the disk being away only makes it wait."""
        try:
            while True:
                rest_s = _IDLE_S
                try:
                    rest_s = 0.0 if await asyncio.to_thread(self.write_due) else _IDLE_S
                except NotWritten as error:
                    log.get().error("records_not_written", problem=str(error), action="trying again")
                    rest_s = _REST_S
                except PushError as error:
                    log.get().warning("store_trouble", problem=str(error), action="trying again")
                    rest_s = _REST_S
                await asyncio.sleep(rest_s)
        finally:
            self._files.close()

    def write_due(self) -> int:
        """Write what is due; returns how many records that were."""
        if not self._files.take():
            return 0
        if self._written is None:
            self._written = {name for line in self._files.last_lines() if (name := _id_of(line))}
        waiting = records.borrow(self._store, self._node, lease_ms=_LEASE_MS, age_ms=self._age_ms, most=_MOST)
        if waiting:
            lines = [_line(one) for one in self._records(waiting)]
            self._files.append(lines)
            self._metrics.records.inc(len(lines))
            self._written = {f"{one.ref}.{one.recipient}" for one in waiting}
            records.settle(self._store, waiting)
        return len(waiting)

    def _records(self, waiting: Sequence[Waiting]) -> list[EventRecord]:
        """Return the records that are not in the file already."""
        written = self._written or set()
        left = [one for one in waiting if f"{one.ref}.{one.recipient}" not in written]
        return [
            record_of(one.ref, one.recipient, known, recorded_by=self._node, ioi=self._ioi)
            for one, known in zip(left, records.read(self._store, left), strict=True)
            if known is not None
        ]


def _line(record: EventRecord) -> bytes:
    fields: dict[str, Any] = record._asdict()
    for name in TIMES:
        fields[name] = clock.iso(fields[name]) if fields[name] else None
    return (json.dumps(fields, ensure_ascii=False, separators=(",", ":")) + "\n").encode()


def _id_of(line: bytes) -> str:
    try:
        found = json.loads(line)
    except ValueError:
        return ""
    return str(found.get("id", "")) if isinstance(found, dict) else ""
