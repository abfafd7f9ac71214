"""What Kamailio is started with, as it follows from the configuration."""

from pathlib import Path

import pytest

from omapush.cli import launch
from omapush.config import parse


@pytest.mark.parametrize(
    ("transaction_s", "timer_ms"), [(5, 1_000), (9, 1_000), (20, 12_000), (40, 32_000), (300, 32_000)]
)
def test_kamailio_gives_up_on_an_answer_before_anybody_takes_the_request_as_lost(
    transaction_s: int, timer_ms: int
) -> None:
    config = parse({"delivery": {"transaction_s": transaction_s}}, "test.toml")
    command = launch.kamailio_command(config, Path("run"))

    assert f"OMAPUSH_FR_TIMER={timer_ms}" in command
    assert timer_ms < transaction_s * 1000
