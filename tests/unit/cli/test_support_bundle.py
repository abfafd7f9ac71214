"""What a bundle for support says of the processes of a machine."""

import pytest

from omapush.cli.support_bundle import command_line


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (("omapush", "api", "--config", "x.toml", ""), "omapush api --config x.toml"),
        (
            ("omapush", "receiver", "run", "--password", "hunter2", "--app", "a.ua"),
            "--password *** --app a.ua",
        ),
        (("omapush", "receiver", "run", "--password=hunter2"), "run --password=***"),
        (
            ("omapush", "receiver", "run", "--k", "00ff", "--opc=11ee", "--sqn", "7"),
            "--k *** --opc=*** --sqn 7",
        ),
        (
            ("redis-server", "--requirepass", "hunter2", "--masterauth", "00ff"),
            "--requirepass *** --masterauth ***",
        ),
        (("redis-cli", "-a", "hunter2"), "redis-cli -a ***"),
    ],
)
def test_command_lines_are_shown_without_secrets(words: tuple[str, ...], shown: str) -> None:
    said = command_line(words)

    assert said.endswith(shown)
    assert not any(secret in said for secret in ("hunter2", "00ff", "11ee"))
