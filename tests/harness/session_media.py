"""The media beside a SIPp scenario that opens a session: the file that its INVITE offers."""

import re
import secrets
import socket
from collections.abc import Mapping
from typing import Any

from tests.fakes.file_sender import sha1
from tests.fakes.msrp_peer import MsrpPeer
from tests.harness.sipp import Sipp
from tests.harness.wait import wait_until

TYPE = "image/png"


class SessionMedia:
    """
    The `media` of a scenario.

    `octets` of the file; `part`: only so many are sent; `success`: Success-Report; `reports`: how many must
    come; `waits`: the device connects; `closes`: its connection must be closed in the end.
    """

    def __init__(self, peer: MsrpPeer, wanted: Mapping[str, Any]) -> None:
        self._peer = peer
        self._wanted = wanted
        self.content = secrets.token_bytes(int(wanted["octets"]))
        self.session = peer.session()

    @property
    def keys(self) -> dict[str, str]:
        """What the SDP of the scenario has to be filled with."""
        return {
            "msrp_path": self.session.uri,
            "msrp_port": str(self._peer.port),
            "octets": str(len(self.content)),
            "sha1": sha1(self.content),
        }

    def transfer(self, uac: Sipp) -> None:
        """Send the file once the device has answered; see what it answers; let the scenario go on."""
        if "success" not in self._wanted and "part" not in self._wanted:
            return  # nothing is agreed in this scenario
        wait_until(lambda: bool(self._path(uac)), 10, lambda: f"an answer with a path\n{uac.messages()}")
        session = self.session
        session.remote = [self._path(uac)]
        if self._wanted.get("waits"):
            session.wait_for_connection()
        else:
            session.connect()
        if "part" in self._wanted:
            session.send(self.content, TYPE, stop=self._wanted["part"], last="+")
            return
        for transaction in session.send(self.content, TYPE, success=self._wanted["success"], chunk=100_000):
            assert session.wait_for_answer(transaction).status == 200
        if self._wanted["reports"]:
            report = session.wait_for_report()
            assert str(report.byte_range) == f"1-{len(self.content)}/{len(self.content)}"
            assert report.header("Status") == "000 200 OK"
        answered = session.send_frame({"Message-ID": "nothing.more"})
        assert session.wait_for_answer(answered).status == 200
        assert len(session.reports) == self._wanted["reports"]
        self._go_on(uac)

    def check(self) -> None:
        """See that the device kept the rules of MSRP, and let go of the connection."""
        assert self._peer.violations == []
        connection = self.session.connection
        if self._wanted.get("closes"):
            assert connection is not None
            wait_until(lambda: not connection.is_open, 10, "the end of the connection")
            assert connection.ended_between_frames

    def _path(self, uac: Sipp) -> str:
        paths = re.findall(r"^a=path:(\S+)", uac.messages(), re.MULTILINE)
        return next((one for one in paths if one != self.session.uri), "")

    @staticmethod
    def _go_on(uac: Sipp) -> None:
        """SIPp waits for an OPTIONS of its own call."""
        found = re.search(r"^Call-ID: *(\S+)", uac.messages(), re.MULTILINE)
        assert found, uac.messages()
        lines = [
            f"OPTIONS sip:sipp@127.0.0.1:{uac.port} SIP/2.0",
            "Via: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bKgoon",
            "From: <sip:test@127.0.0.1>;tag=test",
            "To: <sip:sipp@127.0.0.1>",
            f"Call-ID: {found[1]}",
            "CSeq: 1 OPTIONS",
            "Content-Length: 0",
        ]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto("\r\n".join([*lines, "", ""]).encode(), ("127.0.0.1", uac.port))
