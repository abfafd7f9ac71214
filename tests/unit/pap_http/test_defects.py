"""A defect of ours in the api is answered and logged, and leaves nobody waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog

from omapush.audit.chain import Entry, Link
from omapush.audit.journal import AuditUnavailable, Journal
from omapush.config import parse
from omapush.pap_http import app
from omapush.pap_http.audit_trail import AuditTrail
from omapush.pap_http.door import Door


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [("POST", "/pap", "text/plain; charset=utf-8"), ("GET", "/v1/pushes", "application/problem+json")],
)
def test_a_defect_is_answered_500_without_its_text_and_is_in_the_log(
    monkeypatch: pytest.MonkeyPatch, method: str, path: str, kind: str
) -> None:
    async def broken(*_: Any) -> None:
        raise TypeError("inner words")

    monkeypatch.setattr(Door, "admit", broken)

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app.create(parse({}, "omapush.toml")))  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://ppg.example") as client:
            return await client.request(method, path)

    with structlog.testing.capture_logs() as lines:
        answer = asyncio.run(ask())

    assert answer.status_code == 500
    assert answer.headers["content-type"] == kind
    assert "inner words" not in answer.text
    assert "a defect of ours" in answer.text
    assert [(one["event"], one["route"]) for one in lines] == [("http_crashed", path)]
    assert str(lines[0]["exc_info"]) == "inner words"


class BrokenJournal(Journal):
    """The first entry cannot be written by a defect."""

    def __init__(self) -> None:
        super().__init__(Path("nowhere"))
        self.written: list[str] = []

    def append(self, entries: Sequence[Entry]) -> Link:
        """Refuse the entry `bad`."""
        if any(one.what == "bad" for one in entries):
            raise ValueError("a defect")
        self.written += [one.what for one in entries]
        return Link()


def test_a_defect_in_the_audit_record_is_logged_and_leaves_no_later_request_waiting() -> None:
    journal = BrokenJournal()
    trail = AuditTrail(journal, required=True)

    def entry(what: str) -> Entry:
        return Entry(at="2026-01-01T00:00:00Z", who="initiator/pi", did="push", what=what, result="done")

    async def run() -> None:
        first = asyncio.create_task(trail.note(entry("bad")))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        async with asyncio.timeout(10):
            await asyncio.gather(first, trail.note(entry("good")))

    with structlog.testing.capture_logs() as lines:
        asyncio.run(run())

    assert journal.written == ["good"]
    assert [(one["event"], one["what"]) for one in lines] == [("audit_unavailable", "bad")]
    assert str(lines[0]["exc_info"]) == "a defect"


def test_after_an_entry_that_could_not_be_written_a_required_record_refuses_what_comes_next() -> None:
    trail = AuditTrail(BrokenJournal(), required=True)
    bad = Entry(at="2026-01-01T00:00:00Z", who="initiator/pi", did="push", what="bad", result="done")

    asyncio.run(trail.note(bad))

    with pytest.raises(AuditUnavailable):
        trail.check()
