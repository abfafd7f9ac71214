"""The IMS core of the lab as processes: Kamailio as S-CSCF, and the HSS behind it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from lab.hss.server import HOST, SCSCF, Hss
from lab.hss.subscriber import Criterion, Subscriber
from tests.harness.ports import free_ports
from tests.harness.processes import Process
from tests.harness.sip_ping import answers_options

HOME: Final = "home1.example"
PSI_DOMAIN: Final = "push.home1.example"
"Requests to this domain are for the application server itself."
_CONFIGURATION: Final = Path(__file__).parent / "scscf.cfg"
_DIAMETER: Final = """<?xml version="1.0" encoding="UTF-8"?>
<DiameterPeer FQDN="{scscf}" Realm="{realm}" Vendor_Id="10415" Product_Name="lab S-CSCF"
  AcceptUnknownPeers="0" DropUnknownOnDisconnect="1" Tc="1" Workers="2" QueueLength="32"
  TransactionTimeout="5" SessionsHashSize="128" DefaultAuthSessionTimeout="3600" MaxAuthSessionTimeout="3600">
  <Peer FQDN="{hss}" Realm="{realm}" port="{port}"/>
  <Auth id="16777216" vendor="10415"/>
  <Auth id="16777216" vendor="0"/>
  <SupportedVendor vendor="10415"/>
  <DefaultRoute FQDN="{hss}" metric="10"/>
</DiameterPeer>
"""


class Core:
    """S-CSCF and HSS on free loopback ports; a context manager that starts both and ends them."""

    def __init__(
        self,
        folder: Path,
        subscribers: Sequence[Subscriber],
        criteria: Sequence[Criterion],
        *,
        as_uri: str,
        port: int,
    ) -> None:
        """`port` is the S-CSCF's for SIP, `as_uri` where requests to `PSI_DOMAIN` go."""
        (diameter,) = free_ports(1)
        self.address = ("127.0.0.1", port)
        self.uri = f"sip:127.0.0.1:{port}"
        self.hss = Hss(HOME, diameter, subscribers, criteria)
        self.scscf = _scscf(folder, port, diameter, as_uri)

    def __enter__(self) -> Self:
        self.hss.__enter__()
        try:
            self.scscf.start()
            self.scscf.wait_until(lambda: answers_options(self.address), 20, "S-CSCF answers OPTIONS")
            self.scscf.wait_until(self.hss.is_connected, 20, "S-CSCF and HSS are connected")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> None:
        self.scscf.stop()
        self.hss.__exit__(None, None, None)


def _scscf(folder: Path, port: int, diameter: int, as_uri: str) -> Process:
    folder.mkdir(parents=True, exist_ok=True)
    peers = folder / "diameter.xml"
    peers.write_text(_DIAMETER.format(scscf=SCSCF.format(realm=HOME), hss=HOST, realm=HOME, port=diameter))
    texts = {
        "SCSCF_HOST": f"127.0.0.1:{port}",
        "SCSCF_URI": f"sip:127.0.0.1:{port}",
        "HOME": HOME,
        "CDP_FILE": peers,
        "PSI_DOMAIN": PSI_DOMAIN,
        "AS_URI": as_uri,
    }
    defines = [f"SCSCF_PORT={port}", *(f'{name}="{text}"' for name, text in texts.items())]
    return Process(
        [
            *("kamailio", "-DD", "-E", "-f", _CONFIGURATION, "-m", "256", "-M", "16"),
            # fm for private memory: lookup() of 5.6.3 unlocks a user by a name that it has freed just before.
            # Where the memory manager writes over what is freed (tlsf, qm), it unlocks another one, and the
            # user's slot stays locked for good.
            *("-x", "tlsf", "-X", "fm"),
            *("-w", folder, "-Y", folder, "-P", folder / "scscf.pid"),
            *(word for define in defines for word in ("-A", define)),
        ],
        log=folder / "scscf.log",
    )
