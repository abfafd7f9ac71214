"""A SIP peer over mutual TLS: it accepts connections and answers requests, or opens one and asks."""

import socket
import ssl
import threading
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from cryptography import x509
from cryptography.x509.oid import NameOID

from tests.fakes.sip_text import SipText, reply
from tests.harness.authority import Issued
from tests.harness.sip_stream import SipStream
from tests.harness.wait import wait_until

Address = tuple[str, int]
_TIMEOUT_S: Final = 10.0


def client_context(trusted: Path, issued: Issued | None) -> ssl.SSLContext:
    """What a client needs to reach a server of the CA `trusted`, with a certificate of its own or without."""
    context = ssl.create_default_context(cafile=str(trusted))
    context.check_hostname = False
    if issued is not None:
        context.load_cert_chain(issued.certificate, issued.private_key)
    return context


def ask(raw: bytes, to: Address, context: ssl.SSLContext) -> SipText:
    """Send one request on a connection of its own and return the final answer; OSError when refused."""
    with (
        socket.create_connection(to, timeout=_TIMEOUT_S) as plain,
        context.wrap_socket(plain) as secured,
    ):
        secured.sendall(raw)
        reader = SipStream(secured)
        while (answer := reader.next()) is not None:
            if answer.status >= 200:
                return answer
        raise ConnectionResetError("closed without a final answer")


class TlsPeer:
    """A context manager; a server that wants certificates of the CA `trusted`, and answers 200."""

    def __init__(self, issued: Issued, trusted: Path) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(issued.certificate, issued.private_key)
        self._context.load_verify_locations(trusted)
        self._context.verify_mode = ssl.CERT_REQUIRED
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.1)
        self.address: Address = self._listener.getsockname()
        self.received: list[tuple[str, SipText]] = []
        "Common name of the other side's certificate, and what it sent."
        self.refused: list[str] = []
        "Handshakes that failed, and why."
        self.greets = threading.Event()
        "Unset: connections are accepted, and wait for their handshake."
        self.greets.set()
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(timeout=_TIMEOUT_S)
        self._listener.close()

    def wait_for(self, method: str) -> tuple[str, SipText]:
        """The first request of a method, with the name in the sender's certificate."""

        def found() -> list[tuple[str, SipText]]:
            return [one for one in list(self.received) if one[1].method == method]

        wait_until(lambda: bool(found()), _TIMEOUT_S, lambda: f"{method} by TLS; refused: {self.refused}")
        return found()[0]

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                plain, _ = self._listener.accept()
            except TimeoutError:
                continue
            thread = threading.Thread(target=self._serve, args=(plain,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, plain: socket.socket) -> None:
        plain.settimeout(_TIMEOUT_S)
        self.greets.wait(_TIMEOUT_S)
        try:
            with self._context.wrap_socket(plain, server_side=True) as secured:
                secured.settimeout(0.2)
                self._answer(secured)
        except OSError as error:
            self.refused.append(str(error))

    def _answer(self, secured: ssl.SSLSocket) -> None:
        reader = SipStream(secured)
        certificate = x509.load_der_x509_certificate(secured.getpeercert(binary_form=True) or b"")
        (common_name,) = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        name = str(common_name.value)
        while not self._ended.is_set():
            try:
                message = reader.next()
            except TimeoutError:
                continue
            if message is None:
                return
            if message.is_request:
                self.received.append((name, message))
                if message.method != "ACK":
                    secured.sendall(reply(message, 200, "OK", [], "peer"))
