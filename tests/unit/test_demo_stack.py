"""What `make run` starts, and what it says of it."""

import pytest

from demo import stack
from omapush.cli import launch
from omapush.config import DEFAULT_FILE, parse


def test_a_redis_of_yours_is_named_without_its_password(capsys: pytest.CaptureFixture[str]) -> None:
    settings = parse({"redis": {"url": "redis://psa:hunter2@192.0.2.9:6379/0"}}, "omapush.toml")

    assert stack.chosen(settings, standin=False) == ["sip", "api", "notifier", "msrp"]
    said = capsys.readouterr().err
    assert "redis://psa@192.0.2.9:6379/0" in said
    assert "hunter2" not in said


def test_the_commands_to_try_take_the_configuration_that_runs() -> None:
    by_tls = parse({}, str(launch.ROOT / "var" / "tls" / "omapush.toml"))

    assert f"export OMAPUSH_CONFIG={by_tls.path}\n" in stack.what_to_try(by_tls)
    assert "OMAPUSH_CONFIG" not in stack.what_to_try(parse({}, str(launch.ROOT / DEFAULT_FILE)))


def test_the_password_of_the_console_is_told_in_the_lab_alone() -> None:
    settings = parse({"operator": {"ann": {"password": "hunter2-and-more"}}}, "omapush.toml")

    assert "user ann, password hunter2-and-more" in stack.where_the_console_is(settings, is_lab=True)
    assert "hunter2" not in stack.where_the_console_is(settings, is_lab=False)
