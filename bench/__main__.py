"""`make bench`: measure, print one line a figure, and write the run to files (bench/results.py)."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from bench import (
    accept_rate,
    beside_console,
    beside_large,
    fanout_notify,
    kill9_lost,
    match_decisions,
    message_push,
    million,
    million_users,
    msrp_stream,
    overload_http,
    overload_sip,
    pap_to_delivered,
    redis_bytes,
    reg_event,
    register_capture,
    results,
    scheduled,
    silent_devices,
    sip_latency,
    subscribe_notify,
)
from bench.figure import Figure
from bench.machine import machine
from bench.results import Failed
from tests.harness.processes import ProcessEnded

FIGURES: dict[str, Callable[[Path, int], Figure]] = {
    "message_push": message_push.measure,
    "message_push_beside_large": beside_large.measure,
    "message_push_beside_console": beside_console.measure,
    "pap_to_delivered": pap_to_delivered.measure,
    "accept_rate_1": accept_rate.measure(1),
    "accept_rate_1000": accept_rate.measure(1_000),
    "scheduled_due": scheduled.measure_due,
    "waiting_million": scheduled.measure_waiting,
    "silent_devices": silent_devices.measure,
    "register_capture": register_capture.measure,
    "register_capture_watched": register_capture.measure_watched,
    "overload_goodput": overload_sip.measure_register,
    "overload_goodput_subscribe": overload_sip.measure_subscribe,
    "overload_goodput_pap": overload_http.measure_pap,
    "overload_goodput_json": overload_http.measure_json,
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
    "msrp_stream": msrp_stream.measure(1, 10, "msrp_stream", rings_s=0.2),
    "msrp_stream_unread": msrp_stream.measure(1, 10, "msrp_stream_unread"),
    "msrp_streams_50": msrp_stream.measure(50, 1, "msrp_streams_50"),
    "msrp_stream_again": msrp_stream.measure(1, 10, "msrp_stream_again", again=True),
    "msrp_streams_50_again": msrp_stream.measure(50, 1, "msrp_streams_50_again", again=True),
    "relay_of_redis": msrp_stream.measure_relay,
    "msrp_memory": msrp_stream.measure_memory,
    "million_users": million_users.measure,
    "million_dialogs": million_users.measure_dialogs,
    "match_decisions": match_decisions.measure,
    "kill9_lost": kill9_lost.measure,
}
BY_NAME: dict[str, Callable[[Path, int], list[Figure]]] = {"million": million.measure}
"Several figures each, which take so long that they are measured only when they are asked for."


def main() -> int:
    """Measure the figures named, or all; 1 when one of them could not be measured."""
    parser = argparse.ArgumentParser(prog="make bench")
    names = [*FIGURES, *BY_NAME]
    parser.add_argument("figure", nargs="*", choices=[[], *names], help="figures to measure; none: all")
    parser.add_argument("--only", action="append", default=[], choices=names, help="the same, one each")
    parser.add_argument("--rounds", type=int, default=3)
    wanted = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that what was started is ended, too
    run = results.begun(wanted.rounds, machine())
    with tempfile.TemporaryDirectory(prefix="omapush-bench-") as folder:
        for name in [*wanted.figure, *wanted.only] or FIGURES:
            try:
                measured = _measured(name, Path(folder) / name, wanted.rounds)
            except (AssertionError, ProcessEnded, TimeoutError) as error:
                # The others are measured all the same: a run takes long.
                failed = Failed(name, str(error).partition("\n")[0])
                print(f"{name:20} not measured: {error}", file=sys.stderr, flush=True)
                run = run._replace(failed=(*run.failed, failed))
            else:
                for figure in measured:
                    print(figure.line(), flush=True)
                run = run._replace(figures=(*run.figures, *measured))
            file = results.write(run)
    print(f"bench: written to {file.relative_to(Path.cwd())}")
    return 1 if run.failed else 0


def _measured(name: str, folder: Path, rounds: int) -> list[Figure]:
    return BY_NAME[name](folder, rounds) if name in BY_NAME else [FIGURES[name](folder, rounds)]


if __name__ == "__main__":
    raise SystemExit(main())
