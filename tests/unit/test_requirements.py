"""What is installed is what was chosen: every library pinned, with the hashes of its files."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import version

import pytest

from tests.harness.markdown import ROOT

FILES = sorted(ROOT.glob("requirements*.txt"))
_PIN = re.compile(
    r"^([a-z0-9-]+)==([0-9][0-9A-Za-z.]*) \\((?:\n    --hash=sha256:[0-9a-f]{64}(?: \\)?)+)", re.MULTILINE
)
_WHOLE = re.compile(r"(?:[a-z0-9-]+==\S+ \\\n(?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+(?:    #.*\n)*)+")


def pins(name: str) -> dict[str, str]:
    """Libraries of a file and their versions."""
    return {found[1]: found[2] for found in _PIN.finditer((ROOT / name).read_text())}


@pytest.mark.parametrize("file", [file.name for file in FILES])
def test_a_file_holds_pinned_versions_with_hashes_and_nothing_else(file: str) -> None:
    """No other index, no address, no file, no version that may be another one tomorrow."""
    assert _WHOLE.fullmatch((ROOT / file).read_text())
    assert pins(file)


def test_the_tools_of_tests_come_on_top_of_the_same_libraries() -> None:
    run, dev = pins("requirements.txt"), pins("requirements-dev.txt")
    assert run.items() <= dev.items()


def test_every_dependency_of_the_project_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(project["dependencies"]) <= pins("requirements.txt").keys()
    assert set(project["optional-dependencies"]["dev"]) <= pins("requirements-dev.txt").keys()


@pytest.mark.parametrize(("name", "pinned"), pins("requirements.txt").items())
def test_what_runs_here_is_what_is_pinned(name: str, pinned: str) -> None:
    assert version(name) == pinned


def test_every_exception_from_a_rule_of_security_says_why() -> None:
    """`# noqa: S603 - our own module`; those of whole folders are in pyproject.toml, with a reason, too."""
    folders = ("omapush", "kemi", "demo", "bench", "fuzz", "stubs")
    silent = [
        f"{file.relative_to(ROOT)}:{number}"
        for folder in folders
        for file in (ROOT / folder).rglob("*.py")
        for number, line in enumerate(file.read_text().splitlines(), 1)
        if "# noqa" in line and not re.search(r"# noqa: [A-Z0-9, ]+ - \w", line)
    ]
    assert silent == []
