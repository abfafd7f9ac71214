"""The manual pages hold what the command knows, in roff that its readers accept."""

import shutil
import subprocess
from pathlib import Path

import pytest

from deploy import manpages
from omapush.cli import configuration
from tests.unit.test_readme import commands


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("man")
    manpages.write(folder, "1.2.3")
    return {file.name: file.read_text() for file in folder.rglob("*") if file.is_file()}


def test_each_command_has_its_page_and_each_command_within_it_is_there(pages: dict[str, str]) -> None:
    for words in commands():
        page = pages[f"omapush-{words[0]}.1"]
        assert manpages.escaped(" ".join(("omapush", *words))) in page
    assert len(pages) == len({words[0] for words in commands()}) + 2


def test_options_stand_with_their_meaning(pages: dict[str, str]) -> None:
    assert ".B \\-\\-app ARI\nPush application, such as mms.ua." in pages["omapush-push.1"]


def test_every_configuration_key_is_on_its_page(pages: dict[str, str]) -> None:
    page = pages["omapush.toml.5"]
    for key in configuration.all_keys():
        assert f".B {manpages.escaped(key.name)} = " in page


@pytest.mark.parametrize(
    ("text", "roff"),
    [
        ("--to", r"\-\-to"),
        (".hidden", r"\&.hidden"),
        ("a\n'b", "a\n\\&'b"),
        ("back\\slash", r"back\eslash"),
    ],
)
def test_text_is_printed_as_it_is(text: str, roff: str) -> None:
    assert manpages.escaped(text) == roff


@pytest.mark.skipif(shutil.which("groff") is None, reason="needs groff")
def test_groff_has_nothing_to_complain_of(pages: dict[str, str], tmp_path: Path) -> None:
    for name, page in pages.items():
        (tmp_path / name).write_text(page)
    command = ["groff", "-man", "-Tutf8", "-ww", *map(str, sorted(tmp_path.iterdir()))]

    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert done.stderr == ""
    assert "Push application, such as mms.ua." in done.stdout
