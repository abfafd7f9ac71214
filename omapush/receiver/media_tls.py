"""TLS of msrps on a device: which certificate it shows, and which the sender's has to be (RFC 4975 14.4)."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final

from omapush.certificates import ALGORITHM, ask_for_any, fingerprint_of
from omapush.errors import BadConfiguration
from omapush.receiver.settings import Sessions

_FIELD: Final = "sessions.certificate"


class MediaTls:
    """What one endpoint uses for all its sessions."""

    def __init__(self, settings: Sessions) -> None:
        """
        Raises:
            BadConfiguration: the certificate cannot be used.
        """
        self._trusting = settings.tls
        self._certificate = settings.certificate
        self.server = settings.tls_server if self._certificate is None else _server(self._certificate)
        "For senders that connect; None: they cannot."
        if self.server is not None and self.server.verify_mode is ssl.CERT_NONE:
            ask_for_any(self.server)
        self.fingerprints: tuple[tuple[str, bytes], ...] = ()
        "Of our certificate, as answers name it."
        if self._certificate is not None:
            if self._trusting is not None:
                self._trusting.load_cert_chain(self._certificate)
            digest = fingerprint_of(self._certificate, _FIELD)
            self.fingerprints = ((ALGORITHM, bytes.fromhex(digest)),)

    def client(self, *, is_named: bool) -> ssl.SSLContext:
        """Return the context for connecting; `is_named`: the offer names the sender's, which is compared."""
        if not is_named and self._trusting is not None:
            return self._trusting
        context = ssl.create_default_context()
        if is_named:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self._certificate is not None:
            context.load_cert_chain(self._certificate)
        return context


def _server(certificate: Path | str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate)
    except (OSError, ssl.SSLError) as error:
        raise BadConfiguration(_FIELD, f"{certificate} cannot be used: {error}") from None
    return context
