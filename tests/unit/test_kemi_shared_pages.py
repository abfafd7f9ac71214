"""A process knows the pages that it shares with others before it works with them."""

import importlib
import mmap
import os
import re
from pathlib import Path

import pytest

SIZE = 3 << 20


def known_kb() -> int:
    """How many kB of memory of that size, which is shared, this process has in its page table."""
    form = rf" rw-s [^\n]*\nSize: +{SIZE // 1024} kB\n(?:[A-Za-z]+: [^\n]*\n)*?Rss: +([0-9]+) kB"
    return int(re.findall(form, Path("/proc/self/smaps").read_text())[-1])


def test_pages_that_another_process_has_touched_are_known() -> None:
    shared_pages = importlib.import_module("shared_pages")
    with mmap.mmap(-1, SIZE) as memory:
        other = os.fork()
        if other == 0:
            memory[:] = b"x" * SIZE
            os._exit(0)
        os.waitpid(other, 0)
        assert known_kb() == 0
        assert shared_pages.enter_into_page_table()
        assert known_kb() == SIZE // 1024


def test_a_process_that_shares_nothing_has_nothing_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shared_pages = importlib.import_module("shared_pages")
    maps = tmp_path / "maps"
    maps.write_text("7f00-7f10 rw-p 00000000 00:00 0 [heap]\n")
    monkeypatch.setattr(shared_pages, "_MAPS", maps)
    assert not shared_pages.enter_into_page_table()
