"""The HSS as a Diameter node on loopback that one S-CSCF connects to."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Final, Self

from diameter.message.commands import CapabilitiesExchangeAnswer
from diameter.node import Node

from lab.hss.cx import Cx, application
from lab.hss.subscriber import Criterion, Subscriber

HOST: Final = "localhost"
"Our Diameter identity is what the S-CSCF looks up to connect to us: here a name that needs no DNS."
SCSCF: Final = "scscf.{realm}"
_TGPP: Final = 10_415


# It warns of each connection that ends, and without a handler logging prints that.
logging.getLogger("diameter").addHandler(logging.NullHandler())


class _CxNode(Node):  # type: ignore[misc]  # the library has no types
    """Says in the capabilities exchange that Cx is 3GPP's (TS 29.229 5.6); the S-CSCF insists on it."""

    def send_message(self, conn: Any, message: Any) -> None:
        if isinstance(message, CapabilitiesExchangeAnswer):
            message.vendor_specific_application_id = [application()]
        super().send_message(conn, message)

    def _record_answer(self, conn: Any, message: Any) -> None:
        """Leave out of the statistics what has an Experimental-Result instead of the code they divide by."""
        if message.result_code is not None:
            super()._record_answer(conn, message)


class Hss:
    """A context manager that serves the S-CSCF's requests from its beginning to its end."""

    def __init__(
        self, realm: str, port: int, subscribers: Sequence[Subscriber], criteria: Sequence[Criterion]
    ) -> None:
        """`port` is the one of Diameter, TCP."""
        self._realm = realm
        self._node = _CxNode(HOST, realm, ip_addresses=["127.0.0.1"], tcp_port=port, vendor_ids=[_TGPP])
        self._node.vendor_id = _TGPP
        self._node.wakeup_interval = 1
        # It looks for the AVPs of RFC 4740 in place of those of Cx, and would refuse each request.
        self._node.validate_received_request_avps = False
        peer = self._node.add_peer(f"aaa://{SCSCF.format(realm=realm)}", realm)
        self.cx = Cx(subscribers, criteria)
        self._node.add_application(self.cx, [peer])

    def __enter__(self) -> Self:
        self._node.start()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> None:
        self._node.stop(wait_timeout=1, force=True)

    def is_connected(self) -> bool:
        """Tell whether the S-CSCF has connected and can be asked."""
        return bool(self.cx.is_ready.is_set())

    def deregister(self, impu: str) -> int:
        """End a user's registration from the network's side; the S-CSCF's Result-Code, 2001 when it did."""
        return self.cx.deregister(impu, SCSCF.format(realm=self._realm), self._realm)
