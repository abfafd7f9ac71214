"""Files of event data records: whole lines only, closed files that stay, one writer."""

import os
from pathlib import Path

import pytest

from omapush import clock
from omapush.notifier.record_files import NotWritten, RecordFiles


def files(
    folder: Path, *, rotate_bytes: int = 1_000, rotate_s: int = 3_600, keep_files: int = 0
) -> RecordFiles:
    made = RecordFiles(folder, rotate_bytes=rotate_bytes, rotate_s=rotate_s, keep_files=keep_files)
    assert made.take()
    return made


def names(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.glob("results*"))


def test_lines_are_appended_and_found_again(tmp_path: Path) -> None:
    first = files(tmp_path / "new" / "folder")
    first.append([b"a\n", b"b\n"])
    first.append([b"c\n"])
    first.close()

    assert files(tmp_path / "new" / "folder").last_lines() == [b"a", b"b", b"c"]


def test_a_torn_line_is_cut_off(tmp_path: Path) -> None:
    (tmp_path / "results.jsonl").write_bytes(b"whole\ntorn")
    found = files(tmp_path)

    assert found.last_lines() == [b"whole"]
    found.append([b"next\n"])
    assert (tmp_path / "results.jsonl").read_bytes() == b"whole\nnext\n"


def test_a_file_that_is_full_is_closed_and_never_changes_again(tmp_path: Path) -> None:
    found = files(tmp_path, rotate_bytes=4)
    for line in (b"1234\n", b"5678\n", b"9\n"):
        found.append([line])

    closed = names(tmp_path)[:-1]
    assert len(closed) == 2
    assert [(tmp_path / name).read_bytes() for name in closed] == [b"1234\n", b"5678\n"]
    assert (tmp_path / "results.jsonl").read_bytes() == b"9\n"


def test_a_file_that_is_old_is_closed_with_the_next_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = files(tmp_path, rotate_s=60)
    found.append([b"old\n"])
    now_ms = clock.now_ms()
    monkeypatch.setattr(clock, "now_ms", lambda: now_ms + 61_000)
    assert len(names(tmp_path)) == 1
    found.append([b"new\n"])

    assert len(names(tmp_path)) == 2


def test_only_so_many_closed_files_are_kept(tmp_path: Path) -> None:
    found = files(tmp_path, rotate_bytes=1, keep_files=2)
    for number in range(6):
        found.append([b"%d\n" % number])

    contents = [(tmp_path / name).read_bytes() for name in names(tmp_path)]
    assert sorted(contents) == [b"3\n", b"4\n", b"5\n"]


def test_one_process_writes_in_a_folder(tmp_path: Path) -> None:
    first = files(tmp_path)
    second = RecordFiles(tmp_path, rotate_bytes=1, rotate_s=1, keep_files=0)

    assert not second.take()
    first.close()
    assert second.take()


def test_what_is_not_written_whole_is_not_there_and_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = files(tmp_path)
    found.append([b"before\n"])
    write = os.write
    calls: list[int] = []

    def full(handle: int, data: bytes) -> int:
        calls.append(1)
        if len(calls) > 1:
            raise OSError(28, "No space left on device")
        return write(handle, data[:3])

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(NotWritten, match="No space left"):
        found.append([b"after\n"])
    monkeypatch.undo()
    assert (tmp_path / "results.jsonl").read_bytes() == b"before\n"
    found.append([b"after\n"])
    assert (tmp_path / "results.jsonl").read_bytes() == b"before\nafter\n"


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(NotWritten, match="file"):
        RecordFiles(tmp_path / "file" / "below", rotate_bytes=1, rotate_s=1, keep_files=0).take()
