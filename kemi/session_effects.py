"""What a changed session means outside of its record: event logs, deliveries that wait, its media worker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import holding
from media_workers import MediaWorkers
from metrics import Counts

from omapush.push.session import Session, Stream
from omapush.push.values import Event, ticket_delivery
from omapush.store import pushes
from omapush.store.client import Store


class Change(NamedTuple):
    """A session before and after something that is stored."""

    before: Session
    after: Session


class Effects:
    """Carries them out; each may be repeated. What a crash leaves out is found when the session is due."""

    def __init__(self, store: Store, counts: Counts) -> None:
        self._store = store
        self._counts = counts
        self.workers = MediaWorkers(store)

    def follow(self, changes: Sequence[Change]) -> None:
        """Tell event logs and media workers, and wake deliveries whose results are there."""
        notes = [note for change in changes for note in _notes(change)]
        if notes:
            pushes.note(self._store, notes)
        self.workers.tell(change.after for change in changes)
        over = [change for change in changes if _has_results(change)]
        for change in over:
            for stream in _new_endings(change):
                assert stream.ending is not None  # noqa: S101 - that is what makes it new
                self._counts.add("session_files_total", stream.ending.by, str(stream.ending.code))
        holding.wake(self._store, dict.fromkeys(change.after.aor for change in over))


def _has_results(change: Change) -> bool:
    """Whether something may wait for it: a result, or room for another session."""
    return bool(_new_endings(change)) or (not change.after.live and bool(change.before.live))


def _new_endings(change: Change) -> list[Stream]:
    known = {one.path for one in change.before.streams if one.ending is not None}
    return [one for one in change.after.streams if one.ending is not None and one.path not in known]


def _notes(change: Change) -> list[tuple[str, Event]]:
    """A line for each push that was live before or after, when something happened in words."""
    before, after = change
    if after.why == before.why:
        return []
    concerned = {one.ticket: None for one in (*before.live, *after.live)}
    name = "session"
    if after.asked_ms != before.asked_ms or after.cancelled > before.cancelled:
        name = "sent"
    elif before.asked and not after.asked:
        name = "reply"
    notes = []
    for ticket in concerned:
        ref, index = ticket_delivery(ticket)
        notes.append((ref, Event(after.at_ms, index, name, after.why)))
    return notes
