"""A process of the SIP side is watched only when that is asked for."""

import pstats
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


class _Worker:
    done = 0

    def run_once(self) -> None:
        self.done += 1


@pytest.fixture
def profiling(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(ROOT / "kemi"))
    import profiling

    yield profiling
    sys.modules.pop("profiling")


def test_nothing_is_watched_by_default(profiling: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(profiling.FOLDER, raising=False)
    worker = _Worker()

    assert profiling.watched("sender", lambda: worker) is worker


def test_what_was_seen_is_in_a_file_of_the_process(
    profiling: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(profiling.FOLDER, str(tmp_path))
    worker = _Worker()
    watched = profiling.watched("sender", lambda: worker)

    watched.run_once()
    watched.run_once()

    assert worker.done == 2
    [file] = tmp_path.iterdir()
    assert file.name.startswith("sender-")
    assert "run_once" in {name for _, _, name in pstats.Stats(str(file)).stats}  # type: ignore[attr-defined]
