"""The product as an operator runs it: default windows, shards, workers and memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.harness.stack import PARTS, Stack

WORKERS = 4


def stack(folder: Path, parts: Sequence[str] = PARTS) -> Stack:
    """Return an installation with the default sizes, not started yet."""
    return Stack(
        folder,
        {
            "sip": {"workers": WORKERS, "senders": 2, "window": 1_000, "shared_memory_mb": 1_024},
            "redis": {"user_shards": 16, "push_shards": 16, "timeout_ms": 1_000},
            "delivery": {"transaction_s": 40, "lease_ms": 5_000},
        },
        parts,
    )
