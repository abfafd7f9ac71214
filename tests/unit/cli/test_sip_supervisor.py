"""The process beside Kamailio, with a shell in Kamailio's place: started, started anew, ended."""

import asyncio
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from omapush.cli import sip_supervisor
from omapush.config import Config, Sip
from tests.harness.wait import wait_until

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


def kamailio(folder: Path, program: str, *words: str) -> subprocess.Popen[bytes]:
    """A program of the system under Kamailio's name."""
    copied = folder / "kamailio"
    shutil.copy(shutil.which(program) or program, copied)
    return subprocess.Popen([copied, *words])


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_a_pid_file_is_kept_while_its_kamailio_runs_and_not_beyond(tmp_path: Path) -> None:
    file = tmp_path / "kamailio.pid"
    running = kamailio(tmp_path, "sleep", "60")
    file.write_text(f"{running.pid}\n")
    sip_supervisor.forget_dead(file)
    assert file.exists()

    running.kill()  # and nobody has asked for its end yet
    wait_until(lambda: state_of(running.pid) == "Z", 5, "its death")
    sip_supervisor.forget_dead(file)
    running.wait()
    assert not file.exists()


@pytest.mark.parametrize("text", ["ours", "", "none", "999999999"])
def test_a_pid_that_is_anothers_or_nobodys_keeps_kamailio_from_nothing(tmp_path: Path, text: str) -> None:
    file = tmp_path / "kamailio.pid"
    file.write_text(f"{os.getpid()}\n" if text == "ours" else text)

    sip_supervisor.forget_dead(file)
    sip_supervisor.forget_dead(tmp_path / "nothing.pid")

    assert file.exists() == (text != "ours")
