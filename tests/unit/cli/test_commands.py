"""A command loads what it needs itself, and nothing of the others."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from rich.text import Text

from omapush.cli.commands import COMMANDS, loaded

HEAVY = ("litestar", "uvicorn", "jinja2", "opentelemetry", "cryptography", "redis", "lxml")


@pytest.mark.parametrize("name", ["redis", "sip", "api", "notifier", "msrp"])
def test_a_process_that_starts_has_not_loaded_what_other_commands_need(name: str) -> None:
    code = (
        "import sys; from omapush.cli import main, commands; "
        f"commands.loaded({name!r}); print(*{{one.partition('.')[0] for one in sys.modules}})"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert set(said.stdout.split()) & set(HEAVY) == set()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_where_the_table_says_and_describes_itself(name: str) -> None:
    command = loaded(name)

    assert command.name == name
    assert command.help or all(inner.help for inner in command.commands.values())


def _helps(command: Any) -> Iterator[str]:
    yield command.help or ""
    yield from (getattr(parameter, "help", None) or "" for parameter in command.params)
    for inner in getattr(command, "commands", {}).values():
        yield from _helps(inner)


def test_no_help_has_what_is_taken_for_markup_and_left_out() -> None:
    for name in COMMANDS:
        for text in _helps(loaded(name)):
            assert Text.from_markup(text).plain == text
