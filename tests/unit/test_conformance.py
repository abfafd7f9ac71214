"""The plugin that ties tests to requirement ids, and the table it feeds."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests import conformance
from tests.conformance import Requirement, Row, load_requirements, rows, totals

ROOT = Path(__file__).parent.parent.parent
SHALL = Requirement("PSA-MSG-3", "SHALL", "message", "The Request-URI is the recipient.")
MAY = Requirement("PSA-MSG-2", "MAY", "message", "Accept-Contact names the application.")


def pytest_in(folder: Path, test_file: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Runs pytest with the plugin on one file in a folder of its own."""
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "test_some.py").write_text(f"import pytest\n{test_file}")
    command: list[str | Path] = [sys.executable, "-m", "pytest", "-p", "tests.conformance", *arguments]
    command += ["-p", "no:cacheprovider", "--strict-markers", f"--rootdir={folder}", folder]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def report_of(folder: Path) -> dict[str, list[dict[str, str]]]:
    proofs: dict[str, list[dict[str, str]]] = json.loads((folder / "build" / "conformance.json").read_text())
    return proofs


def test_every_part_and_both_tables_of_the_sheet_are_there() -> None:
    known = load_requirements()

    assert {requirement.part for requirement in known.values()} == set(conformance.PARTS)
    assert [f"SIPPUSH-PRA-C-{number:03}" in known for number in range(1, 19)] == [True] * 17 + [False]
    assert [f"SIPPUSH-PSA-S-{number:03}" in known for number in range(1, 17)] == [True] * 15 + [False]
    assert known["MSG-SIZE"].level == "MUST NOT"


@pytest.mark.parametrize("field", ["level", "part", "summary"])
def test_a_wrong_entry_stops_the_loading(tmp_path: Path, field: str) -> None:
    fields = {"level": "SHALL", "part": "message", "summary": "Something.", field: ""}
    path = tmp_path / "requirements.toml"
    path.write_text("[X-1]\n" + "".join(f'{name} = "{value}"\n' for name, value in fields.items()))

    with pytest.raises(ValueError, match="X-1"):
        load_requirements(path)


def test_outcomes_are_recorded_under_each_id_of_the_mark(tmp_path: Path) -> None:
    run = pytest_in(
        tmp_path,
        """
@pytest.fixture
def broken(): raise RuntimeError
@pytest.fixture
def leaves_badly():
    yield
    raise RuntimeError
@pytest.mark.req("PSA-MSG-3", "PSA-MSG-6")
def test_good(): pass
@pytest.mark.req("PSA-MSG-3")
def test_bad(): assert False
@pytest.mark.req("PSA-MSG-1")
def test_broken(broken): pass
@pytest.mark.req("PSA-MSG-1")
def test_leaves_badly(leaves_badly): pass
@pytest.mark.req("PSA-MSG-2")
@pytest.mark.skip
def test_skipped(): pass
def test_unmarked(): pass
""",
    )

    assert run.returncode == 1, run.stdout
    outcomes = {
        id_: {proof["test"].rpartition("::")[2]: proof["outcome"] for proof in proofs}
        for id_, proofs in report_of(tmp_path).items()
    }
    assert outcomes == {
        "PSA-MSG-1": {"test_broken": "failed", "test_leaves_badly": "failed"},
        "PSA-MSG-2": {"test_skipped": "skipped"},
        "PSA-MSG-3": {"test_good": "passed", "test_bad": "failed"},
        "PSA-MSG-6": {"test_good": "passed"},
    }


def test_an_unknown_id_stops_the_collection_and_is_named(tmp_path: Path) -> None:
    run = pytest_in(tmp_path, '@pytest.mark.req("PSA-MSG-33")\ndef test_some(): pass\n')

    assert run.returncode == pytest.ExitCode.USAGE_ERROR
    assert "test_some.py::test_some: PSA-MSG-33" in run.stdout + run.stderr


def test_collecting_alone_leaves_the_last_report(tmp_path: Path) -> None:
    pytest_in(tmp_path, '@pytest.mark.req("PSA-MSG-3")\ndef test_some(): pass\n', "--collect-only")

    assert not (tmp_path / "build").exists()


@pytest.mark.parametrize(
    ("outcomes", "verdict"),
    [
        ([], "MISSING"),
        (["skipped"], "MISSING"),
        (["passed", "skipped"], "PASSED"),
        (["passed", "failed"], "FAILED"),
    ],
)
def test_the_verdict_needs_a_passed_test_and_no_failed_one(outcomes: list[str], verdict: str) -> None:
    (row,) = rows([SHALL], {SHALL.id: [{"test": "t", "outcome": outcome} for outcome in outcomes]})

    assert row.verdict == verdict


def test_the_totals_count_all_and_the_binding_ones() -> None:
    assert totals([Row(SHALL, 1, 0), Row(MAY, 0, 0)]).splitlines() == [
        "all: 2 requirements, 1 passed, 0 failed, 1 missing",
        "binding (SHALL, MUST, M): 1 requirements, 1 passed, 0 failed, 0 missing",
    ]


@pytest.mark.parametrize(("outcome", "exit_code"), [("passed", 0), ("skipped", 0), ("failed", 1)])
def test_only_a_failed_test_fails_the_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], outcome: str, exit_code: int
) -> None:
    report = tmp_path / "conformance.json"
    report.write_text(json.dumps({"PSA-MSG-3": [{"test": "t", "outcome": outcome}]}))

    assert conformance.main(report) == exit_code
    printed = capsys.readouterr().out
    line = next(line for line in printed.splitlines() if line.startswith("PSA-MSG-3 "))
    assert ("MISSING" in line) == (outcome == "skipped")
    assert next(line for line in printed.splitlines() if line.startswith("PSA-MSG-4 ")).endswith("MISSING")


def test_without_a_report_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert conformance.main(tmp_path / "none.json") == 2
    assert "run the tests first" in capsys.readouterr().err
