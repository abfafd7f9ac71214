"""The stand-in S-CSCF of tests and demo as a process."""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

from tests.harness.ports import free_port
from tests.harness.processes import Process
from tests.harness.sip_ping import answers_options
from tests.harness.stack import Stack

CONFIGURATION = Path(__file__).parent.parent / "fakes" / "scscf.cfg"


class Scscf(Process):
    """Kamailio with `tests/fakes/scscf.cfg`; entering returns when a worker answers."""

    def __init__(
        self,
        folder: Path,
        *,
        as_uri: str = "sip:127.0.0.1:5070",
        home: str = "home1.example",
        port: int | None = None,
        criteria: Sequence[str] = (),
        tls: tuple[Path, int] | None = None,
    ) -> None:
        """
        `criteria` are the configuration's WITH_* defines, such as `WITH_ISC_MESSAGE`; `tls`: profile of the
        tls module, and the port on which to speak it.
        """
        self.address = ("127.0.0.1", port or free_port())
        self.uri = f"sip:127.0.0.1:{self.address[1]}"
        defines = [f"SCSCF_PORT={self.address[1]}", f'AS_URI="{as_uri}"', f'HOME="{home}"', *criteria]
        if tls is not None:
            uri = f"sip:127.0.0.1:{tls[1]};transport=tls"
            defines += [f'SCSCF_TLS="{tls[0]}"', f"SCSCF_TLS_PORT={tls[1]}", f'SCSCF_TLS_URI="{uri}"']
        super().__init__(
            [
                *("kamailio", "-DD", "-E", "-f", CONFIGURATION, "-m", "128", "-M", "8"),
                *("-x", "tlsf", "-X", "tlsf"),
                *("-w", folder, "-Y", folder, "-P", folder / "scscf.pid"),
                *(word for define in defines for word in ("-A", define)),
            ],
            log=folder / "scscf.log",
        )

    @classmethod
    def of(cls, stack: Stack, folder: Path, *criteria: str) -> Self:
        """The core of a stack: its next hop, with the stack as application server."""
        folder.mkdir(parents=True, exist_ok=True)
        host, port = stack.sip
        return cls(folder, as_uri=f"sip:{host}:{port}", port=stack.core_port, criteria=criteria)

    def start(self) -> Self:
        super().start()
        try:
            self.wait_until(lambda: answers_options(self.address), 15, "answer to OPTIONS")
        except BaseException:
            self.stop()
            raise
        return self
