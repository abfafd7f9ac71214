"""`make bench`: measure, print one line a figure, and write bench/latest.json."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

from bench import match_decisions, message_push, pap_to_delivered, register_capture, sip_latency
from bench.figure import Figure, machine

LATEST = Path(__file__).with_name("latest.json")
FIGURES: dict[str, Callable[[Path, int], Figure]] = {
    "message_push": message_push.measure,
    "pap_to_delivered": pap_to_delivered.measure,
    "register_capture": register_capture.measure,
    "sip_latency_p99": sip_latency.measure,
    "match_decisions": match_decisions.measure,
}


def main() -> None:
    """Measure the figures named, or all."""
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("figure", nargs="*", choices=[[], *FIGURES], help="figures to measure; none: all")
    parser.add_argument("--rounds", type=int, default=3)
    wanted = parser.parse_args()
    described = machine()
    figures = []
    with tempfile.TemporaryDirectory(prefix="omapush-bench-") as folder:
        for name in wanted.figure or FIGURES:
            figure = FIGURES[name](Path(folder) / name, wanted.rounds)
            print(figure.line(), flush=True)
            figures.append(figure._asdict())
    LATEST.write_text(json.dumps({"machine": described, "figures": figures}, indent=2) + "\n")


if __name__ == "__main__":
    main()
