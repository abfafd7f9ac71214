"""The table of the configuration file about TLS towards the core."""

from __future__ import annotations

from typing import Annotated

from omapush.config.files import contents
from omapush.config.keys import restart
from omapush.config.sections import Section
from omapush.errors import BadConfiguration, shortened


class Tls(Section, frozen=True):
    """SIP over TLS 1.2 or later. Both sides have to show a certificate, in both directions."""

    certificate: Annotated[str, restart("sip")] = ""
    """
    PEM file with our certificate and the certificates between it and its CA. It is used in both
    directions.
    """
    private_key: Annotated[str, restart("sip")] = ""
    """PEM file with its private key, without a password."""
    trusted_certificates: Annotated[str, restart("sip")] = ""
    """PEM file with the CAs of the certificates of peers: those of the core, never public ones."""
    crl: Annotated[str, restart("sip")] = ""
    """
    PEM file with the certificate revocation lists of those CAs, one for each CA. Peers with a revoked
    certificate cannot connect, and we do not connect to them. `omapush reload` reads the file again. When
    a list is past its next update, no peer of that CA can connect. Empty: revocation is not checked.
    """


def check_revocation_lists(where: str, file: str) -> None:
    """Check that a file has lists of revoked certificates; `where` is the key that the text names."""
    if b"-----BEGIN X509 CRL-----" not in contents(where, file):
        raise BadConfiguration(where, f"has no certificate revocation list in PEM: {shortened(file)}")
