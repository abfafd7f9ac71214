"""The audit record on disk: many writers, torn lines, days, and a disk that refuses."""

import json
import multiprocessing
from pathlib import Path

import pytest

from omapush.audit.chain import Entry
from omapush.audit.journal import AuditUnavailable, Journal, journal_for
from omapush.errors import PushError


def entry(what: str = "1@pi", at: str = "2026-01-31T09:00:00.000Z") -> Entry:
    return Entry(at, "initiator/acme", "submit", what, "1001")


def write_many(folder: Path, writer: int) -> None:
    journal = Journal(folder)
    for number in range(50):
        journal.append([entry(f"{writer}.{number}"), entry(f"{writer}.{number}b")])


def test_several_processes_write_one_chain(tmp_path: Path) -> None:
    start = multiprocessing.get_context("spawn")
    writers = [start.Process(target=write_many, args=(tmp_path, number)) for number in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    verdict = Journal(tmp_path).verify()

    assert (verdict.entries, verdict.broken) == (300, "")


def test_the_chain_goes_on_over_the_files_of_days(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    for day in (30, 31, 31):
        journal.append([entry(at=f"2026-01-{day}T09:00:00.000Z")])

    assert [file.name for file in sorted(tmp_path.glob("*.jsonl"))] == [
        "audit-2026-01-30.jsonl",
        "audit-2026-01-31.jsonl",
    ]
    assert journal.verify().entries == 3


def test_a_clock_that_was_set_back_does_not_break_it(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    for at in ("2026-02-01T00:00:00.000Z", "2026-01-31T23:59:59.000Z"):
        journal.append([entry(at=at)])

    assert journal.verify() == journal.verify()._replace(entries=2, broken="")


@pytest.mark.parametrize("left", [1, 40, 200])
def test_a_torn_line_is_taken_away_and_that_is_recorded(tmp_path: Path, left: int) -> None:
    journal = Journal(tmp_path)
    journal.append([entry("first")])
    file = next(tmp_path.glob("*.jsonl"))
    whole = file.read_bytes()
    file.write_bytes(whole + whole[:left])

    journal.append([entry("second")])

    lines = [json.loads(text) for text in file.read_text().splitlines()]
    assert [(one["did"], one["result"]) for one in lines[1:]] == [
        ("mend", f"{left} bytes of a torn line"),
        ("submit", "1001"),
    ]
    assert journal.verify().broken == ""


def test_a_file_that_holds_only_a_torn_line_continues_the_day_before(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append([entry()])
    (tmp_path / "audit-2026-02-01.jsonl").write_bytes(b'{"seq":2,')

    journal.append([entry(at="2026-02-01T09:00:00.000Z")])

    assert journal.verify() == journal.verify()._replace(entries=3, broken="")


def test_nothing_is_written_behind_a_line_that_is_no_entry(tmp_path: Path) -> None:
    file = tmp_path / "audit-2026-01-31.jsonl"
    file.write_bytes(b"what somebody wrote\n")

    with pytest.raises(AuditUnavailable, match="not an audit entry"):
        Journal(tmp_path).append([entry()])

    assert file.read_bytes() == b"what somebody wrote\n"


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(AuditUnavailable, match="audit record in"):
        Journal(tmp_path / "file" / "folder").append([entry()])


def test_what_is_kept_follows_the_configuration(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_bytes(b"k" * 16 + b"\n")
    short = tmp_path / "short"
    short.write_bytes(b"k" * 15)

    assert journal_for("", "") is None
    keyed = journal_for(str(tmp_path / "audit"), str(key))
    assert keyed is not None
    keyed.append([entry()])
    assert keyed.verify().broken == ""
    assert Journal(tmp_path / "audit").verify().broken
    for file, problem in ((short, "15 bytes"), (tmp_path / "missing", "cannot be read")):
        with pytest.raises(PushError, match=problem):
            journal_for(str(tmp_path), str(file))
