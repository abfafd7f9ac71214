"""`make soak HOURS=n`: half load for so long, then the proof that nothing grows or is missing; 0 when so."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
import threading
from pathlib import Path
from types import FrameType

from soak import report
from soak.mix import receivers_for
from soak.run import Wish, run
from tests.harness.processes import ProcessEnded

REPORT = Path("build/soak")


def main() -> int:
    """Run and write the report; the logs of a run that did not hold stay beside it."""
    parser = argparse.ArgumentParser(prog="make soak")
    parser.add_argument("--minutes", type=float, default=60.0, help="of load, warm-up included")
    parser.add_argument(
        "--receivers", type=int, default=None, help="devices; as many as fit to the time if left out"
    )
    parser.add_argument(
        "--rate", type=float, default=0.0, help="pushes a second; 0: half of the highest that is found"
    )
    parser.add_argument("--every", type=float, default=10.0, help="seconds from one sample to the next")
    asked = parser.parse_args()
    seconds = asked.minutes * 60
    wish = Wish(seconds, asked.receivers or receivers_for(seconds), asked.rate, asked.every)
    over = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        if over.is_set():
            signal.default_int_handler(number, frame)
        over.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    shutil.rmtree(REPORT, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="omapush-soak-") as folder:
        try:
            done = run(Path(folder), wish, over, lambda text: print(f"soak: {text}", flush=True))
        except (ProcessEnded, TimeoutError) as error:
            print(f"soak: {error}", file=sys.stderr)
            _keep_logs(Path(folder))
            return 1
        if not done.holds:
            _keep_logs(Path(folder))
    print(report.write(done, REPORT).partition("## What may grow")[0])
    print(f"soak: all of it in {REPORT}/report.md")
    return 0 if done.holds else 1


def _keep_logs(folder: Path) -> None:
    kept = REPORT / "logs"
    kept.mkdir(parents=True, exist_ok=True)
    for log in folder.rglob("*.log"):
        shutil.copy(log, kept / log.name)


if __name__ == "__main__":
    raise SystemExit(main())
