"""sip_latency_p99: from the acceptance of a push to its SIP request, at half the rate the product can do."""

from __future__ import annotations

import re
from pathlib import Path

import httpx

from bench import full_size, sipp_rate
from bench.figure import Figure, alone
from bench.pap_to_delivered import CONNECTIONS, delivered, load
from tests.harness.stack import Stack

RATE = 900
"Pushes a second: half of what pap_to_delivered shows on two cores."
PUSHES = 9_000
_BUCKET = re.compile(r'accepted_to_sent_seconds_bucket\{le="([0-9.]+|\+Inf)"\} ([0-9]+)')


def measure(folder: Path, rounds: int) -> Figure:
    """Measure; the value is the upper bound of the histogram bucket in which the percentile lies."""
    values = [_round(folder / str(number)) for number in range(rounds)]
    return alone("sip_latency_p99", "ms", f"upper bound of a bucket, at {RATE:,} pushes/s", values)


def _round(folder: Path) -> float:
    stack = full_size.stack(folder)
    with sipp_rate.receiver(folder, stack.core_port), stack:
        load(stack, folder, CONNECTIONS, PUSHES, rate=RATE)
        stack.parts["sip"].wait_until(lambda: delivered(stack) >= PUSHES, 60, "all delivered")
        return _percentile(stack, 0.99) * 1000


def _percentile(stack: Stack, part: float) -> float:
    text = httpx.get(f"http://127.0.0.1:{stack.sip[1]}/metrics", trust_env=False).text
    buckets = [(float(bound), int(count)) for bound, count in _BUCKET.findall(text)]
    wanted = buckets[-1][1] * part
    return next(bound for bound, count in buckets if count >= wanted)
