"""
Which requirement is proven by which test.

As a pytest plugin: the mark `@pytest.mark.req("PSA-MSG-3", ...)` names ids of `tests/requirements.toml`,
an unknown id stops the collection, and the run's outcomes go to `build/conformance.json`. As a program,
`python -m tests.conformance` prints the table of the last run.
"""

import json
import sys
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

REQUIREMENTS = Path(__file__).parent / "requirements.toml"
REPORT = Path("build") / "conformance.json"
PARTS = ("message", "registration", "subscription", "refer", "receiver", "msrp", "security", "capabilities")
LEVELS = ("SHALL", "SHALL-IF", "MUST", "MUST NOT", "SHOULD", "MAY", "INFO", "PROP", "M", "O")
SUMMARY_WIDTH = 60
_PROPERTY = "requirements"
"Under this name a test's ids travel with its reports."

Outcome = Literal["passed", "failed", "skipped"]
Proof = dict[str, str]
"One test of one requirement: its `test` and its `outcome`."


@dataclass(frozen=True, slots=True)
class Requirement:
    """One thing that omapush has to do."""

    id: str
    level: str
    part: str
    summary: str

    @property
    def is_binding(self) -> bool:
        """True for SHALL, MUST and the mandatory rows of the conformance tables."""
        return self.level in ("SHALL", "SHALL-IF", "MUST", "MUST NOT", "M")


def load_requirements(path: Path = REQUIREMENTS) -> dict[str, Requirement]:
    """
    The known requirements by id, in the file's order.

    Raises:
        ValueError: An entry has another level or part than there are, or lacks its summary.
    """
    with path.open("rb") as file:
        known = {name: Requirement(name, **fields) for name, fields in tomllib.load(file).items()}
    for requirement in known.values():
        if requirement.level not in LEVELS or requirement.part not in PARTS or not requirement.summary:
            raise ValueError(f"{path}: level, part or summary of {requirement.id} is wrong")
    return known


# ---- pytest plugin --------------------------------------------------------------------------------------


class Recorder:
    """Collects the outcomes of one run."""

    def __init__(self, known: Mapping[str, Requirement], report: Path) -> None:
        self._known = known
        self._report = report
        self._ids: dict[str, tuple[str, ...]] = {}
        self._outcomes: dict[str, Outcome] = {}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        unknown = []
        for item in items:
            ids = tuple(str(id_) for mark in item.iter_markers("req") for id_ in mark.args)
            unknown += [f"{item.nodeid}: {id_}" for id_ in ids if id_ not in self._known]
            if ids:  # by way of the report, which may come from another process
                item.user_properties.append((_PROPERTY, " ".join(dict.fromkeys(ids))))
        if unknown:
            raise pytest.UsageError("requirement ids that requirements.toml does not know:", *unknown)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A test passed when its call did and neither set-up nor tear-down failed."""
        ids = dict(report.user_properties).get(_PROPERTY)
        if not ids:
            return
        self._ids[report.nodeid] = tuple(str(ids).split())
        before = self._outcomes.get(report.nodeid)
        if report.outcome == "failed" or (before != "failed" and (report.when == "call" or report.skipped)):
            self._outcomes[report.nodeid] = report.outcome

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if session.config.option.collectonly or hasattr(session.config, "workerinput"):
            return
        proofs: dict[str, list[Proof]] = {}
        for test, outcome in self._outcomes.items():
            for id_ in self._ids[test]:
                proofs.setdefault(id_, []).append({"test": test, "outcome": outcome})
        self._report.parent.mkdir(parents=True, exist_ok=True)
        self._report.write_text(json.dumps(proofs, indent=1, sort_keys=True) + "\n")


def pytest_configure(config: pytest.Config) -> None:
    """Register the mark and the recorder of this run."""
    config.addinivalue_line(
        "markers", "req(id, ...): the requirement ids of requirements.toml that the test proves"
    )
    config.pluginmanager.register(
        Recorder(load_requirements(), config.rootpath / REPORT), "conformance-recorder"
    )


# ---- the table ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Row:
    """One requirement with what the last run says of it."""

    requirement: Requirement
    passed: int
    failed: int

    @property
    def verdict(self) -> str:
        """FAILED, PASSED, or MISSING when no test passed; a skipped test proves nothing."""
        if self.failed:
            return "FAILED"
        return "PASSED" if self.passed else "MISSING"

    def __str__(self) -> str:
        requirement = self.requirement
        summary = requirement.summary
        if len(summary) > SUMMARY_WIDTH:
            summary = summary[: SUMMARY_WIDTH - 3] + "..."
        counts = f"{self.passed} passed, {self.failed} failed" if self.passed or self.failed else self.verdict
        return f"{requirement.id:<19} {requirement.level:<9} {summary:<{SUMMARY_WIDTH}} {counts}"


def rows(known: Iterable[Requirement], proofs: Mapping[str, Sequence[Proof]]) -> list[Row]:
    """One row for each requirement, in the order given."""

    def count(requirement: Requirement, outcome: Outcome) -> int:
        return sum(proof["outcome"] == outcome for proof in proofs.get(requirement.id, ()))

    return [Row(each, count(each, "passed"), count(each, "failed")) for each in known]


def totals(table: Sequence[Row]) -> str:
    """How many are proven, failed and missing, of all and of the binding ones."""

    def line(name: str, some: Sequence[Row]) -> str:
        verdicts = [row.verdict for row in some]
        counted = ", ".join(
            f"{verdicts.count(word)} {word.lower()}" for word in ("PASSED", "FAILED", "MISSING")
        )
        return f"{name}: {len(some)} requirements, {counted}"

    binding = [row for row in table if row.requirement.is_binding]
    return f"{line('all', table)}\n{line('binding (SHALL, MUST, M)', binding)}"


def main(report: Path = REPORT) -> int:
    """Print the table; 1 when a test of some requirement failed, 2 without a report, else 0."""
    if not report.exists():
        print(f"{report} is not there: run the tests first", file=sys.stderr)
        return 2
    table = rows(load_requirements().values(), json.loads(report.read_text()))
    print("\n".join(str(row) for row in table), totals(table), sep="\n\n")
    return int(any(row.failed for row in table))


if __name__ == "__main__":
    raise SystemExit(main())
