"""`make bench`: measure, print one line a figure, and write bench/latest.json."""

from __future__ import annotations

import argparse
import json
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path

from bench import (
    accept_rate,
    beside_console,
    beside_large,
    fanout_notify,
    match_decisions,
    message_push,
    million_users,
    msrp_stream,
    overload_goodput,
    pap_to_delivered,
    redis_bytes,
    reg_event,
    register_capture,
    scheduled,
    sip_latency,
    subscribe_notify,
)
from bench.figure import Figure, machine

LATEST = Path(__file__).with_name("latest.json")
FIGURES: dict[str, Callable[[Path, int], Figure]] = {
    "message_push": message_push.measure,
    "message_push_beside_large": beside_large.measure,
    "message_push_beside_console": beside_console.measure,
    "pap_to_delivered": pap_to_delivered.measure,
    "accept_rate_1": accept_rate.measure(1),
    "accept_rate_1000": accept_rate.measure(1_000),
    "scheduled_due": scheduled.measure_due,
    "waiting_million": scheduled.measure_waiting,
    "register_capture": register_capture.measure,
    "register_capture_watched": register_capture.measure_watched,
    "overload_goodput": overload_goodput.measure,
    "reg_notifies": reg_event.measure_notifies,
    "watches_started": reg_event.measure_started,
    "subscribe_notify": subscribe_notify.measure,
    "fanout_notify": fanout_notify.measure(50_000),
    "fanout_notify_10000": fanout_notify.measure(10_000),
    "fanout_notify_1000": fanout_notify.measure(1_000),
    "sip_latency_p99": sip_latency.measure,
    "redis_bytes_per_user": redis_bytes.measure_user,
    "redis_bytes_registration": redis_bytes.measure_registration,
    "redis_bytes_watch": redis_bytes.measure_watch,
    "redis_bytes_waiting": redis_bytes.measure_waiting,
    "redis_bytes_finished": redis_bytes.measure_finished,
    "msrp_stream": msrp_stream.measure(1, 10, "msrp_stream"),
    "msrp_streams_50": msrp_stream.measure(50, 1, "msrp_streams_50"),
    "msrp_stream_again": msrp_stream.measure(1, 10, "msrp_stream_again", again=True),
    "msrp_streams_50_again": msrp_stream.measure(50, 1, "msrp_streams_50_again", again=True),
    "msrp_memory": msrp_stream.measure_memory,
    "million_users": million_users.measure,
    "million_dialogs": million_users.measure_dialogs,
    "match_decisions": match_decisions.measure,
}


def main() -> None:
    """Measure the figures named, or all."""
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("figure", nargs="*", choices=[[], *FIGURES], help="figures to measure; none: all")
    parser.add_argument("--rounds", type=int, default=3)
    wanted = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that what was started is ended, too
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
