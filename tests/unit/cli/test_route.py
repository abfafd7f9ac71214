"""`omapush route`: what an operator sees, and the exit code."""

import json
from pathlib import Path

import pytest

from tests.unit.cli.test_main import run

TOML = """
[routing]
order = ["request-uri", "accept-contact"]
unknown = "refuse"
default = ""
[application."mms.ua"]
request_uris = ["sip:mms@*"]
"""
UNKNOWN = '*;+g.oma.pusheventapp="x.ua";require'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "omapush.toml"
    path.write_text(TOML)
    return path


def test_the_application_its_profile_and_the_reasons_are_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], file: Path
) -> None:
    assert run(monkeypatch, "--config", file, "route", "--request-uri", "sip:mms@home1.example") == 0

    printed = capsys.readouterr().out
    assert "mms.ua, by its own table" in printed
    assert "request-uri: sip:mms@home1.example belongs to mms.ua" in printed


def test_an_application_without_a_table_has_the_default_profile(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    empty = tmp_path / "empty.toml"
    empty.write_text("")
    assert run(monkeypatch, "--config", empty, "route", "--accept-contact", UNKNOWN) == 0
    assert "x.ua, by the default profile" in capsys.readouterr().out


def test_a_request_for_nobody_fails_with_the_answer_it_gets(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], file: Path
) -> None:
    assert run(monkeypatch, "--config", file, "route", "--accept-contact", UNKNOWN) == 1
    assert "480 Temporarily Unavailable" in capsys.readouterr().out
    assert run(monkeypatch, "--config", file, "route", "--event", "reg", "--method", "subscribe") == 1
    assert "404 Not Found" in capsys.readouterr().out


def test_json_has_everything(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], file: Path
) -> None:
    words = ("--request-uri", "sip:mms@home1.example", "--json")
    assert run(monkeypatch, "--config", file, "route", *words) == 0

    assert json.loads(capsys.readouterr().out) == {
        "application": "mms.ua",
        "clue": "request-uri",
        "sip_status": 0,
        "reasons": ["request-uri: sip:mms@home1.example belongs to mms.ua"],
    }
