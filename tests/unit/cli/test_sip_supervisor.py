"""The process beside Kamailio, with a shell in Kamailio's place: started, started anew, ended."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from omapush.cli import sip_supervisor
from omapush.config import Config, Sip

WORKS = "while :; do sleep 0.02; done"
ENDS_AT_TERM = f"trap 'exit 0' TERM; echo x >> $BEGUN; {WORKS}"
DEAF = f"trap '' TERM; echo x >> $BEGUN; {WORKS}"


def run(script: str, folder: Path, *, hang_s: float = 0.0, until: int = 1, tell: bool = True) -> int:
    """Run a script, and with `tell` send TERM once it was begun so many times; returns the exit code."""
    begun = folder / "begun"
    environment = {**os.environ, "BEGUN": str(begun)}

    async def supervised() -> int:
        config = Config(path="", sip=Sip(hang_s=hang_s))
        task = asyncio.create_task(sip_supervisor.run(config, ["sh", "-c", script], environment))
        while tell and not (begun.exists() and begun.read_text().count("x") >= until):
            await asyncio.sleep(0.01)
        if tell:
            os.kill(os.getpid(), signal.SIGTERM)
        return await asyncio.wait_for(task, 30)

    return asyncio.run(supervised())


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A SIP side that never answers."""

    async def problem(_config: Config) -> str:
        return "no answer"

    monkeypatch.setattr("omapush.health.sip_ping.problem_of_kamailio", problem)
    monkeypatch.setattr(sip_supervisor, "_START_S", 0.2)


@pytest.mark.usefixtures("silent")
def test_a_signal_is_passed_on_and_the_end_is_that_of_the_child(tmp_path: Path) -> None:
    assert run(ENDS_AT_TERM, tmp_path) == 0
    assert (tmp_path / "begun").read_text() == "x\n"


@pytest.mark.usefixtures("silent")
def test_an_end_by_itself_is_an_end_and_no_hang(tmp_path: Path) -> None:
    assert run("exit 7", tmp_path, hang_s=5, tell=False) == 7
    assert run("kill -9 $$", tmp_path, hang_s=5, tell=False) == 1


@pytest.mark.usefixtures("silent")
def test_what_never_serves_is_killed_and_started_again_until_it_is_told_to_end(tmp_path: Path) -> None:
    assert run(ENDS_AT_TERM, tmp_path, hang_s=0.2, until=3) == 0
    assert (tmp_path / "begun").read_text().count("x") == 3


@pytest.mark.usefixtures("silent")
def test_what_does_not_end_when_it_is_told_to_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sip_supervisor, "_STOP_WITHIN_S", 0.2)
    assert run(DEAF, tmp_path) == 1
