"""Who comes in: accounts whose password is stored as a hash, as initiators, guessers and operators see it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from omapush.pap_http.passwords import hashed
from tests.harness.stack import PASSWORD, Stack
from tests.http.test_command import omapush
from tests.http.test_json import body

SECRET = "correct horse battery"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """An installation that has only a hash of one initiator's password."""
    settings = {"initiator.sealed": {"password_hash": hashed(SECRET)}}
    with Stack(tmp_path_factory.mktemp("guarded"), settings, ("redis", "sip", "api")) as running:
        yield running


def submit(front: Stack, push_id: str, user: str, password: str) -> int:
    answer = httpx.post(
        f"{front.http}/v1/pushes", json=body(push_id), auth=(user, password), trust_env=False, timeout=10
    )
    return answer.status_code


def test_a_password_of_which_only_the_hash_is_known_lets_its_initiator_in(guarded: Stack) -> None:
    assert submit(guarded, "1@hash", "sealed", SECRET) == 201
    assert submit(guarded, "2@hash", "sealed", SECRET) == 201
    assert submit(guarded, "3@hash", "trusted", PASSWORD) == 201


def test_neither_a_wrong_password_nor_the_stored_hash_itself_lets_anybody_in(guarded: Stack) -> None:
    stored = guarded.config.initiator["sealed"].password_hash

    for password in ("wrong", "", stored, PASSWORD):
        assert submit(guarded, "4@hash", "sealed", password) == 401
    log = guarded.parts["api"].log_text()
    assert SECRET not in log
    assert stored not in log


def test_a_hash_is_made_by_the_command_and_goes_into_the_configuration(
    guarded: Stack, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "omapush.cli.main", "initiator", "hash"]
    made = subprocess.run(command, input="new one\n", capture_output=True, text=True, timeout=60, check=False)
    file = tmp_path / "omapush.toml"
    file.write_text(
        f'[initiator.pi]\npassword_hash = "{made.stdout.strip()}"\n[initiator.lab]\npassword = "x"\n'
    )
    checked = subprocess.run(
        [*command[:3], "--config", file, "config", "check"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (made.returncode, made.stderr) == (0, "")
    assert "new one" not in made.stdout
    assert checked.returncode == 0
    assert "can be read on this machine: lab;" in checked.stderr


def test_the_command_pushes_for_an_initiator_whose_password_it_is_given(
    guarded: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x").write_text("hello")
    what = ("--to", "sip:alice@home1.example", "--app", "mms.ua", "--type", "text/plain")
    words = ("push", "send", *what, "--file", tmp_path / "x", "--initiator", "sealed")

    without = omapush(guarded, *words)
    assert without.returncode == 1
    assert "set $OMAPUSH_INITIATOR_PASSWORD" in without.stderr
    monkeypatch.setenv("OMAPUSH_INITIATOR_PASSWORD", SECRET)
    sent = omapush(guarded, *words)
    assert (sent.returncode, sent.stderr) == (0, "")
