"""Runs of the bench as files, written while measuring; bench/results/README.md tells their form."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from bench.figure import Figure

VERSION: Final = 1
LATEST: Final = Path(__file__).with_name("latest.json")
FOLDER: Final = Path(__file__).with_name("results")
_ROOT: Final = Path(__file__).resolve().parents[1]


class Failed(NamedTuple):
    """A figure that could not be measured."""

    name: str
    reason: str


class Run(NamedTuple):
    """One run of the bench."""

    at: str
    "When it began, UTC, in the form of ISO 8601."
    commit: str
    "What was measured: seven digits, and `+` when files were changed since."
    rounds: int
    machine: Mapping[str, str]
    figures: tuple[Figure, ...] = ()
    failed: tuple[Failed, ...] = ()

    @property
    def file_name(self) -> str:
        """`DATE-COMMIT.json`, which sorts by time; runs that follow each other within a minute differ."""
        moment = self.at.replace(":", "")[: len("2026-11-26T050000")]
        return f"{moment}-{self.commit or 'unknown'}.json"


def begun(rounds: int, machine: Mapping[str, str]) -> Run:
    """Return a run of this commit that begins now."""
    at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return Run(at, _commit(), rounds, machine)


def write(run: Run, folder: Path = FOLDER, latest: Path = LATEST) -> Path:
    """Write the run's file, and the same as the latest; returns the file."""
    text = json.dumps(_document(run), indent=1) + "\n"
    folder.mkdir(exist_ok=True)
    file = folder / run.file_name
    for path in (file, latest):
        path.write_text(text)
    return file


def read(file: Path) -> Run:
    """
    Return the run that a file holds.

    Raises:
        ValueError: It is no JSON, or of another version.
        KeyError: A field is missing.
    """
    document = json.loads(file.read_text())
    if document["version"] != VERSION:
        raise ValueError(f"{file}: version {document['version']} is not {VERSION}")
    return Run(
        document["at"],
        document["commit"],
        document["rounds"],
        document["machine"],
        tuple(map(_figure, document["figures"])),
        tuple(Failed(one["name"], one["reason"]) for one in document["failed"]),
    )


def read_all(folder: Path = FOLDER, *, kept: bool = False) -> list[Run]:
    """Return all runs of a folder, the oldest first; with `kept` those alone that git knows."""
    return [read(file) for file in sorted(_kept(folder) if kept else folder.glob("*.json"))]


def _kept(folder: Path) -> Iterator[Path]:
    """Files in git; all of them where there is no git: what came with the code was in it."""
    known = _git("ls-files", "--", str(folder / "*.json"))
    if known is None:
        yield from folder.glob("*.json")
    else:
        yield from (_ROOT / name for name in known.splitlines())


def _commit() -> str:
    head = _git("rev-parse", "--short=7", "HEAD")
    if head is None:
        return ""
    return head.strip() + ("+" if _git("status", "--porcelain", "--untracked-files=no") else "")


def _git(*words: str) -> str | None:
    """Return what git says; None where it, or its folder, is missing."""
    try:
        said = subprocess.run(["git", *words], cwd=_ROOT, capture_output=True, text=True, check=True)  # noqa: S603 - words of ours
    except (OSError, subprocess.CalledProcessError):
        return None
    return said.stdout


def _document(run: Run) -> dict[str, Any]:
    return {
        "version": VERSION,
        **run._asdict(),
        "figures": [_figure_document(figure) for figure in run.figures],
        "failed": [one._asdict() for one in run.failed],
    }


def _figure_document(figure: Figure) -> dict[str, Any]:
    rounds, ratios = figure.rounds, [round(ratio, 3) for ratio in figure.ratios]
    spreads = {
        "spread": [min(rounds), max(rounds)],
        "ratio_spread": [min(ratios), max(ratios)] if ratios else None,
    }
    return {**figure._asdict(), **spreads}


def _figure(document: Mapping[str, Any]) -> Figure:
    """A figure of a file; spreads are counted again from the rounds."""
    return Figure(
        document["name"],
        document["value"],
        document["unit"],
        document["ratio"],
        document["against"],
        tuple(document["rounds"]),
        tuple(document["other_rounds"]),
        document["cpu_us"],
    )
