"""What the doctor asks Kamailio: each finding that is wrong says what follows and what to do."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from omapush.cli import kamailio_checks
from tests.unit.cli.test_checks import assert_helpful

ARGUMENTS = "kamailio\n-f\nkamailio.cfg\n-x\n{}\n-X\n{}\n"
SHARED = "{{\n\ttotal: 1000000000\n\tfree: {}\n\tused: 1\n}}\n"
NOT_FOUND = "error: 400 - Not found\n"

Says = Callable[[dict[str, str]], list[str]]


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch) -> Says:
    """Let Kamailio answer, by what it is asked; returns what that was, as it comes."""

    def install(answers: dict[str, str]) -> list[str]:
        asked: list[str] = []

        def answer(command: list[str]) -> str:
            asked.append(" ".join(command[3:]))
            return answers.get(asked[-1], NOT_FOUND)

        monkeypatch.setattr(kamailio_checks, "output_of", answer)
        monkeypatch.setattr(shutil, "which", lambda name, **_: f"/usr/sbin/{name}")
        return asked

    return install


@pytest.fixture
def control(tmp_path: Path) -> Path:
    """A control socket, as far as its file goes."""
    path = tmp_path / "kamailio.ctl"
    path.touch()
    return path


def test_a_kamailio_with_tlsf_is_ok(says: Says, control: Path) -> None:
    says({"core.arg": ARGUMENTS.format("tlsf", "tlsf")})
    assert kamailio_checks.memory_manager(control).state == "ok"


@pytest.mark.parametrize("arguments", ["kamailio\n-f\nkamailio.cfg\n", ARGUMENTS.format("tlsf", "qm")])
def test_another_memory_manager_is_wrong(says: Says, control: Path, arguments: str) -> None:
    says({"core.arg": arguments})
    assert_helpful(kamailio_checks.memory_manager(control))


def test_shared_memory_that_runs_out_is_wrong(says: Says, control: Path) -> None:
    says({"core.shmmem": SHARED.format(900_000_000)})
    assert kamailio_checks.shared_memory(control).state == "ok"
    says({"core.shmmem": SHARED.format(90_000_000)})
    assert_helpful(kamailio_checks.shared_memory(control))


def test_without_a_control_socket_nothing_is_said(tmp_path: Path) -> None:
    missing = tmp_path / "missing.ctl"
    memory = (kamailio_checks.memory_manager(missing), kamailio_checks.shared_memory(missing))
    assert {one.state for one in memory} == {"skipped"}
