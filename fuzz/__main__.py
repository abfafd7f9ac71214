"""
`make fuzz SECONDS=n`: fuzz every target for its share of the time, two at once, and print what came of it.

Ends with 1 when something was found; the input is in build/fuzz/findings, and `python -m fuzz.again FILE`
shows what happens with it.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple

from fuzz.corpus import KEPT, lay_out
from fuzz.targets import LARGEST_INPUT, TARGETS

BUILD: Final = Path(__file__).resolve().parents[1] / "build" / "fuzz"
FINDINGS: Final = BUILD / "findings"
MEMORY_MB: Final = 1_024
"Above this a process counts as found, whatever the input looked like."
SLOWEST_S: Final = 10
"Longer than this for one input counts as found."
_PROCESSES: Final = 2
_DONE: Final = re.compile(r"Done (\d+) runs in (\d+) second")


class Tried(NamedTuple):
    """What came of one target."""

    name: str
    runs: int
    seconds: int
    inputs: int
    "Different inputs that are worth keeping, so far."
    finding: str
    "Name of the file with the input that was too much; empty: none."


def fuzz(name: str, seconds: int) -> Tried:
    """Fuzz one target for so long, in a process of its own."""
    corpus = BUILD / "corpus" / name
    lay_out(name, corpus)
    before = set(FINDINGS.glob(f"{name}-*"))
    told = _run(name, [str(corpus), f"-max_total_time={seconds}", f"-artifact_prefix={FINDINGS}/{name}-"])
    (BUILD / f"{name}.log").write_text(told.stderr)
    new = sorted(file.name for file in set(FINDINGS.glob(f"{name}-*")) - before)
    finding = new[0] if new else ("see its log" if told.returncode else "")
    done = _DONE.search(told.stderr)
    runs, took = (int(done[1]), int(done[2])) if done else (0, 0)
    return Tried(name, runs, took, len(list(corpus.iterdir())), finding)


def keep(name: str) -> int:
    """Put the smallest set of inputs that reaches what was reached so far into the tree; returns how many."""
    folder = KEPT / name
    folder.mkdir(parents=True, exist_ok=True)
    _run(name, ["-merge=1", str(folder), str(BUILD / "corpus" / name)])
    return len(list(folder.iterdir()))


def _run(name: str, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    limits = [f"-rss_limit_mb={MEMORY_MB}", f"-timeout={SLOWEST_S}", f"-max_len={LARGEST_INPUT}"]
    return subprocess.run(  # noqa: S603 - our own module
        [sys.executable, "-m", "fuzz.one", name, *limits, *arguments],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )


def main() -> int:
    """Fuzz what is asked for and print a line for each target."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", default=list(TARGETS), metavar="TARGET")
    parser.add_argument("--seconds", type=int, default=600, help="of the whole, shared among the targets")
    parser.add_argument("--keep", action="store_true", help="write the smallest corpus into the tree")
    wanted = parser.parse_args()
    if unknown := set(wanted.targets) - set(TARGETS):
        parser.error(f"no such target: {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    FINDINGS.mkdir(parents=True, exist_ok=True)
    share_s = max(1, wanted.seconds * _PROCESSES // len(wanted.targets))
    with ThreadPoolExecutor(_PROCESSES) as pool:
        tried = list(pool.map(lambda name: fuzz(name, share_s), wanted.targets))
    for one in tried:
        rate = one.runs // max(one.seconds, 1)
        kept = f", {keep(one.name)} kept" if wanted.keep and not one.finding else ""
        outcome = f"FOUND {one.finding}" if one.finding else "clean"
        print(f"{one.name:22} {one.runs:>10} runs {rate:>7}/s {one.inputs:>6} inputs{kept}  {outcome}")
    return 1 if any(one.finding for one in tried) else 0


if __name__ == "__main__":
    sys.exit(main())
