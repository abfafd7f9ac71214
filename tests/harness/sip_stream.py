"""SIP messages of a stream, told apart by their Content-Length."""

import socket

from tests.fakes.sip_text import SipText


class SipStream:
    """What comes over one connection."""

    def __init__(self, stream: socket.socket) -> None:
        self._stream = stream
        self._rest = b""

    def next(self) -> SipText | None:
        """The next message; None at the end of the stream."""
        while (end := self._rest.find(b"\r\n\r\n")) < 0:
            if not self._more():
                return None
        length = int(SipText.parse(self._rest[: end + 4]).header("Content-Length") or 0)
        while len(self._rest) < end + 4 + length:
            if not self._more():
                return None
        message = SipText.parse(self._rest[: end + 4 + length])
        self._rest = self._rest[end + 4 + length :].lstrip(b"\r\n")
        return message

    def _more(self) -> bool:
        data = self._stream.recv(65_536)
        self._rest += data
        return bool(data)
