"""What README and documents name is there: files, headings, make targets, commands, configuration keys."""

import re
from functools import cache
from pathlib import Path

import pytest

from omapush.cli import configuration
from omapush.cli.commands import COMMANDS, loaded
from tests.harness import markdown
from tests.harness.markdown import DOCUMENTS, ROOT

README = (ROOT / "README.md").read_text()
CONFIGURATION = (ROOT / "docs" / "configuration.md").read_text()
BEGIN = "<!-- configuration: what `omapush config reference` prints -->\n"
END = "\n<!-- end of configuration -->"
GENERATED = {"bench/latest.json"}
"Written by a command; not in the repository."
NOT_YET: set[tuple[str, str]] = set()
"Commands that the README names as still to come."

_PATH = re.compile(
    r"(?<![\w/.-])(?:\.ci|bench|chaos|demo|docs|kemi|lab|omapush|schema|stubs|tests)/[\w.*/-]*[\w*/]"
)
_ROOT_FILE = re.compile(r"[\w-]+\.(?:md|toml|cfg|txt)|Makefile|Procfile|LICENSE")
_MAKE = re.compile(r"\bmake ([a-z][a-z-]*)")
_COMMAND = re.compile(r"(?:^|bin/)omapush (?:--config \S+ )?([a-z][a-z-]*)(?: ([a-z][a-z-]*))?")
_SETTING = re.compile(r"([a-z_]+)\.(?!md$|py$|toml$)[a-z_]+")

each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))


@cache
def commands() -> frozenset[tuple[str, ...]]:
    """Every command as its words, such as ("push", "send")."""
    found: set[tuple[str, ...]] = {(name,) for name in COMMANDS}
    for name in COMMANDS:
        found |= {(name, inner) for inner in getattr(loaded(name), "commands", {})}
    return frozenset(found)


def test_the_configuration_table_is_what_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    configuration.reference(as_json=False)
    printed = capsys.readouterr().out

    written = CONFIGURATION.partition(BEGIN)[2].partition(END)[0]
    assert written.strip() == printed.strip(), "put in what `omapush config reference` prints"


def test_the_first_lines_after_the_sentence_are_demo_and_test() -> None:
    title, sentence, first, *_ = README.split("\n\n")

    assert title == "# omapush"
    assert sentence.count(". ") == 0
    assert [line.split("#")[0].strip() for line in first.splitlines()] == ["make demo", "make test"]


@each_document
def test_every_file_that_a_document_names_is_there(document: Path) -> None:
    text = document.read_text()
    named = {*_PATH.findall(text), *filter(_ROOT_FILE.fullmatch, markdown.spans(text))} - GENERATED
    nearby = {path.name for path in document.parent.iterdir()}

    assert [name for name in named if name not in nearby and not any(ROOT.glob(name.rstrip("/")))] == []


@each_document
def test_every_link_leads_to_a_file_and_a_heading(document: Path) -> None:
    for path, anchor in markdown.links(document.read_text()):
        target = document.parent / path if path else document
        assert target.exists(), path
        if anchor:
            assert anchor in markdown.anchors(target.read_text()), f"{path}#{anchor}"


@each_document
def test_every_make_target_that_a_document_names_is_there(document: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {target for line in markdown.code(document.read_text()) for target in _MAKE.findall(line)}

    assert {"demo", "run", "test", "check", "bench", "conformance", "doctor"} <= targets
    assert named - targets == set()


@each_document
def test_every_command_that_a_document_names_is_there(document: Path) -> None:
    known = commands()
    for line in markdown.code(document.read_text()):
        for first, second in _COMMAND.findall(line):
            is_group = any(words[:1] == (first,) and len(words) == 2 for words in known)
            words = (first, second) if second and (is_group or (first, second) in NOT_YET) else (first,)
            assert words in known | NOT_YET, line


def test_what_the_readme_calls_still_to_come_is_not_there() -> None:
    assert commands() & NOT_YET == set()
    assert all(f"`omapush {' '.join(words)}`" in README for words in NOT_YET)


@cache
def settings() -> frozenset[str]:
    """Every configuration key with its table, such as "sip.listen"."""
    return frozenset(
        f"{key.table.strip('[]').removesuffix('.NAME')}.{key.name}" for key in configuration.all_keys()
    )


def unknown_settings(document: Path) -> set[str]:
    """What a document writes like a key of one of our tables, and is none."""
    tables = {name.partition(".")[0] for name in settings()}
    written = (_SETTING.fullmatch(span) for span in markdown.spans(document.read_text()))
    return {found[0] for found in written if found and found[1] in tables} - settings()


@each_document
def test_every_configuration_key_that_a_document_names_is_there(document: Path) -> None:
    assert unknown_settings(document) == set()


def test_every_configuration_key_that_a_scenario_names_is_there() -> None:
    found = sorted((ROOT / "tests").glob("*-scenarios/*/README.md"))

    assert len(found) > 50
    assert {path.parent.name: keys for path in found if (keys := unknown_settings(path))} == {}
