"""Processes are sampled under names that stay, and what they have in use is read as it is written."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from soak.probes import Processes, kamailio_name
from soak.redis_probe import kind_of
from soak.series import Kind, Series
from tests.harness.processes import Process


def test_a_process_of_kamailio_has_the_name_of_what_it_does() -> None:
    assert [
        kamailio_name(description)
        for description in (
            "main process - attendant",
            "udp receiver child=1 sock=127.0.0.1:5070",
            "tcp receiver (generic) child=0",
            "RTIMER EXEC child=1 timer=sender",
            "RTIMER EXEC child=0 timer=results",
            "slow timer",
        )
    ] == ["main process", "udp worker 1", "tcp worker 0", "sender 1", "results", "slow timer"]


def test_memory_and_descriptors_of_a_process_are_sampled_until_it_ends(tmp_path: Path) -> None:
    program = "import sys; held = bytearray(30_000_000); print('ready', flush=True); sys.stdin.read()"
    code = program.replace("sys.stdin.read()", "import signal; signal.pause()")
    with Process([sys.executable, "-c", code], log=tmp_path / "log") as process:
        process.wait_for_line("ready")
        processes = Processes({"api": process.pid})
        values = processes.sample()

        assert {series.kind for series in values} == {Kind.MEMORY, Kind.USS, Kind.PSS, Kind.DESCRIPTORS}
        assert {series.name for series in values} == {"api"}
        assert 30_000_000 < values[Series(Kind.MEMORY, "api")] < 60_000_000
        assert values[Series(Kind.USS, "api")] > 30_000_000
        assert values[Series(Kind.PSS, "api")] > 30_000_000
        assert values[Series(Kind.DESCRIPTORS, "api")] == len(os.listdir(f"/proc/{process.pid}/fd"))
        assert processes.ended == []

        process.kill()
        assert processes.sample() == {}
        assert processes.ended == ["api"]


def test_a_key_is_of_the_kind_that_its_name_begins_with() -> None:
    assert [kind_of(name) for name in (b"push:{p3}:00ff", b"senders")] == ["push", "senders"]
