"""The tables of docs/ say what the code does."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.__main__ import FIGURES
from bench.million import NAMES
from omapush.push.outcome import TABLE, TRANSFERS, Reply, Row, row_of
from omapush.push.retry import DEFAULTS, REASONS
from tests.harness import markdown
from tests.harness.markdown import ROOT

OPERATE = (ROOT / "docs" / "operate.md").read_text()
RESULT_CODES = (ROOT / "docs" / "result-codes.md").read_text()
AGAIN: dict[str, str] = {"no": "no", "wait": "wait", **{reason: f"`{reason}`" for reason in REASONS}}
SOURCES = sorted([*(ROOT / "omapush").rglob("*.py"), *(ROOT / "kemi").glob("*.py")])

_PAGE = re.compile(r"\b[a-z]+/[A-Za-z0-9_./-]+\.md\b")
_OTHER = re.compile(r"other ([2-6])xx")
_EVENT = re.compile(r'\.get\(\)\.(info|warning|error|exception)\(\s*"([a-z_]+)"')


def as_written(row: Row) -> list[str]:
    """One row of the table as the page has it, behind its SIP code."""
    return [row.state, row.code, AGAIN[row.again], row.meaning]


def names(cell: str) -> list[str]:
    """The names in backticks of one cell."""
    return re.findall(r"`([a-z_*]+)`", cell)


def test_the_default_plan_of_each_reason_stands_as_it_is() -> None:
    written = {
        row[0]: row[2:5]
        for row in markdown.rows(markdown.section(RESULT_CODES, "Retry plans"))
        if len(row) == 5
    }

    assert written == {
        f"`{reason}`": [str(plan.attempts), f"{plan.first_ms / 1000:g}", f"{plan.longest_ms / 1000:g}"]
        for reason, plan in ((reason, DEFAULTS.of(reason)) for reason in REASONS)
    }


def written_results() -> dict[str, list[str]]:
    """The rows of the page that begin with a SIP code or a class of them."""
    table = RESULT_CODES.partition("## Transfers")[0]
    rows = [row for row in markdown.rows(table) if len(row) == 5]
    return {sip: rest for sip, *rest in rows}


def test_every_end_of_a_transfer_stands_as_the_table_has_it() -> None:
    rows = markdown.rows(markdown.section(RESULT_CODES, "Transfers"))
    written = {code: rest for code, *rest in rows}

    assert written.pop("all others") == as_written(row_of(Reply(0, transfer=True)))
    assert written == {str(code): as_written(row) for code, row in TRANSFERS.items()}


def test_every_result_code_stands_as_the_table_has_it() -> None:
    written = {sip: rest for sip, rest in written_results().items() if sip.isdigit()}

    assert written == {str(code): as_written(row) for code, row in TABLE.items()}


@pytest.mark.parametrize("first_digit", range(2, 7))
def test_every_class_of_codes_stands_as_it_is_judged(first_digit: int) -> None:
    unlisted = next(code for code in range(first_digit * 100 + 99, 0, -1) if code not in TABLE)

    assert written_results()[f"other {first_digit}xx"] == as_written(row_of(Reply(unlisted)))


def test_the_page_has_no_class_that_does_not_exist() -> None:
    assert {sip for sip in written_results() if not sip.isdigit()} == {f"other {n}xx" for n in range(2, 7)}


PAP_CODES = {
    *(f"100{n}" for n in range(2)),
    *(f"200{n}" for n in range(10)),
    *(f"30{n:02}" for n in range(12)),
    *("4000", "4001", "5000"),
    *(f"50{n}" for n in range(26, 31)),
}


def written_codes() -> dict[str, str]:
    """PAP codes of the page, each with where it comes from."""
    section = markdown.section(RESULT_CODES, "All codes")
    return {row[0]: row[1] for row in markdown.rows(section)}


def test_every_code_of_pap_is_on_the_page() -> None:
    assert written_codes().keys() == PAP_CODES


def test_a_code_that_is_never_sent_is_nowhere_in_the_code_and_any_other_is_in_a_test() -> None:
    never = {code for code, where in written_codes().items() if where.startswith("never")}
    code = "\n".join(file.read_text() for file in (ROOT / "omapush").rglob("*.py"))
    tests = "\n".join(
        file.read_text()
        for folder in ("http", "wire", "store", "unit/push")
        for file in (ROOT / "tests" / folder).rglob("test_*.py")
    )
    assert len(never) == 4
    assert [one for one in sorted(never) if f'"{one}"' in code] == []
    assert [one for one in sorted(PAP_CODES - never) if f'"{one}"' not in tests] == []


def test_every_figure_of_the_bench_is_described_and_no_other() -> None:
    page = (ROOT / "docs" / "performance.md").read_text()
    written = [row[0].strip("`") for row in markdown.rows(markdown.section(page, "Performance"))]

    assert written == list(FIGURES)


def test_every_figure_of_the_million_is_described_and_no_other() -> None:
    page = (ROOT / "docs" / "performance.md").read_text()
    written = [row[0].strip("`") for row in markdown.rows(markdown.section(page, "A million users"))]

    assert written == list(NAMES)


def test_every_runtime_dependency_has_its_reason_and_no_other() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    page = (ROOT / "docs" / "adr" / "0009-dependencies.md").read_text()
    written = [
        name for row in markdown.rows(markdown.section(page, "Decision")) for name in row[0].split(", ")
    ]

    assert sorted(written) == sorted(project["dependencies"])


def test_every_test_that_a_document_names_is_there() -> None:
    tests = "\n".join(file.read_text() for file in (ROOT / "tests").rglob("test_*.py"))
    named = re.findall(r"`(test_\w+)`", (ROOT / "docs" / "registration.md").read_text())

    assert len(named) > 30
    assert [name for name in named if f"def {name}(" not in tests] == []


def logged(file: Path) -> Iterator[tuple[str, str]]:
    """Events that a file logs, each with its level."""
    for level, event in _EVENT.findall(file.read_text()):
        yield event, "error" if level == "exception" else level


def test_every_event_of_the_log_is_described_with_its_level() -> None:
    written = {
        (event, row[1]) for row in markdown.rows(markdown.section(OPERATE, "Log")) for event in names(row[0])
    }

    assert written == {pair for file in SOURCES for pair in logged(file)}


def test_every_page_is_named_on_the_first_one() -> None:
    folder = ROOT / "docs"
    named = {path for path, _ in markdown.links((folder / "index.md").read_text())}

    assert {path.name for path in folder.glob("*.md")} - named == {"index.md"}


def test_every_page_that_the_code_cites_is_there() -> None:
    cited = {(page, file) for file in SOURCES for page in _PAGE.findall(file.read_text())}

    assert cited
    assert {(page, file) for page, file in cited if not (ROOT / page).exists()} == set()
