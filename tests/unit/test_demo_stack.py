"""What `make run` starts, and what it says of it."""

import pytest

from demo import stack
from omapush.config import parse


def test_a_redis_of_yours_is_named_without_its_password(capsys: pytest.CaptureFixture[str]) -> None:
    settings = parse({"redis": {"url": "redis://psa:hunter2@192.0.2.9:6379/0"}}, "omapush.toml")

    assert stack.chosen(settings, standin=False) == ["sip", "api", "notifier", "msrp"]
    said = capsys.readouterr().err
    assert "redis://psa@192.0.2.9:6379/0" in said
    assert "hunter2" not in said
