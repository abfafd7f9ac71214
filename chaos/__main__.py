"""`make chaos MINUTES=n`: strike a running stack at random, then prove that nothing is missing; 0 when so."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

from chaos import network, report, scene
from chaos.run import run
from tests.harness.processes import ProcessEnded

REPORT = Path("build/chaos/report.md")


def main() -> int:
    """Run and write the report."""
    parser = argparse.ArgumentParser(prog="make chaos")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=None, help="the same seed gives the same faults")
    parser.add_argument("--providers", type=int, default=4)
    parser.add_argument("--rate", type=float, default=40.0, help="pushes a second, all providers together")
    parser.add_argument("--redis", default=scene.ONE, choices=scene.PLACES)
    parser.add_argument("--only", nargs="*", default=[], help="these kinds of faults, such as 'kill -9'")
    asked = parser.parse_args()
    network.enter()
    network.kinds()
    seed = random.SystemRandom().randrange(2**31) if asked.seed is None else asked.seed
    print(f"chaos: seed {seed}, {asked.minutes:g} minutes, Redis: {asked.redis}", flush=True)
    try:
        with tempfile.TemporaryDirectory(prefix="omapush-chaos-") as folder:
            done = run(
                Path(folder),
                seed=seed,
                seconds=asked.minutes * 60,
                providers=asked.providers,
                rate=asked.rate,
                place=asked.redis,
                only=asked.only,
            )
    except (ProcessEnded, TimeoutError) as error:
        print(f"chaos: seed {seed}: {error}", file=sys.stderr)
        return 1
    text = report.written(done)
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(text)
    print(text.partition("## Faults")[0])
    print(f"chaos: all of it in {REPORT}")
    return 0 if done.verdict.faultless else 1


if __name__ == "__main__":
    raise SystemExit(main())
