"""The doctor's checks: each finding that is wrong says what follows and what to do."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from omapush.cli import checks, launch
from omapush.cli.checks import Finding
from omapush.config import Config, RedisSection

Says = Callable[[dict[str, str]], None]

VERSION = "version: kamailio {} (x86_64/linux)\n"


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch) -> Says:
    """Let programs print: the last word of the command line -> its output."""

    def install(outputs: dict[str, str]) -> None:
        monkeypatch.setattr(checks, "output_of", lambda command: outputs.get(command[-1], ""))
        monkeypatch.setattr(shutil, "which", lambda name, **_: f"/usr/sbin/{name}")

    return install


def assert_helpful(finding: Finding) -> None:
    """Wrong, with cause, effect and action."""
    assert finding.state == "wrong"
    assert all((finding.cause, finding.effect, finding.action))


def test_a_kamailio_with_all_modules_is_ok(says: Says, tmp_path: Path) -> None:
    cfg = (launch.ROOT / "kamailio.cfg").read_text()
    for line in cfg.splitlines():
        if line.startswith("loadmodule"):
            (tmp_path / line.split('"')[1]).touch()
    says({"-v": VERSION.format("5.6.3"), "-I": f"  Default paths to modules: {tmp_path}\n"})
    assert [finding.state for finding in checks.installed()] == ["ok", "ok"]


def test_missing_modules_are_named(says: Says, tmp_path: Path) -> None:
    says({"-v": VERSION.format("6.1.0"), "-I": f"  Default paths to modules: {tmp_path}\n"})
    version, modules = checks.installed()
    assert version.state == "ok"
    assert_helpful(modules)
    assert "app_python3.so" in modules.cause


def test_an_old_kamailio_is_wrong(says: Says) -> None:
    says({"-v": VERSION.format("5.5.9")})
    assert_helpful(next(checks.installed()))


def test_no_kamailio_is_wrong_and_nothing_else_is_asked(says: Says) -> None:
    says({"-v": "kamailio: No such file or directory"})
    [finding] = checks.installed()
    assert_helpful(finding)


def test_no_redis_server_is_wrong_only_when_we_would_start_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert_helpful(checks.private_redis(Config(path="test.toml")))
    theirs = checks.private_redis(Config(path="t", redis=RedisSection(url="redis://127.0.0.1:6379/0")))
    assert theirs.state == "skipped"


def test_a_user_without_the_folders_of_services_in_the_path_finds_programs_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On Debian they are in root's path alone: the doctor said that Kamailio was not installed."""
    monkeypatch.setenv("PATH", "/nowhere")

    assert "No such file" not in checks.output_of(["kamailio", "-v"])
    assert shutil.which("kamailio", path=checks.path())
