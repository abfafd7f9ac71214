"""Kamailio's own C core as the other side of a ratio: same memory manager, same number of workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.harness.ports import free_port
from tests.harness.processes import Process
from tests.harness.sip_ping import answers_options

CONFIGURATIONS = Path(__file__).parent


class Native(Process):
    """One of bench/native_*.cfg; a context manager that returns when it answers."""

    def __init__(
        self,
        folder: Path,
        configuration: str,
        workers: int,
        *,
        defines: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.port = free_port()
        run = folder / configuration
        run.mkdir(parents=True, exist_ok=True)
        super().__init__(
            [
                *("kamailio", "-f", CONFIGURATIONS / f"{configuration}.cfg", "-DD", "-E"),
                *("-m", "1024", "-M", "32", "-x", "tlsf", "-X", "tlsf", "-n", str(workers)),
                *defines,
                *("-l", f"udp:127.0.0.1:{self.port}", "-P", run / "pid", "-Y", run),
            ],
            log=run / "kamailio.log",
            env=env,
        )

    def __enter__(self) -> Native:
        self.start()
        self.wait_until(lambda: answers_options(("127.0.0.1", self.port)), 10, "native Kamailio")
        return self
