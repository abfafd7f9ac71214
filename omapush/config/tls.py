"""The table of the configuration file about TLS towards the core."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from omapush.config.keys import restart
from omapush.config.sections import Section
from omapush.errors import BadConfiguration, shortened


class Tls(Section, frozen=True):
    """SIP over TLS 1.2 or later: who connects, and whom we connect to, has to show a certificate."""

    certificate: Annotated[str, restart("sip")] = ""
    """PEM file with our certificate, and with those that lead from it to the CA; for both directions."""
    private_key: Annotated[str, restart("sip")] = ""
    """PEM file with its private key, without a password."""
    trusted_certificates: Annotated[str, restart("sip")] = ""
    """PEM file with the CAs that peers' certificates come from: those of the core, and no public ones."""
    crl: Annotated[str, restart("sip")] = ""
    """
    PEM file with certificate revocation lists of those CAs, one for each of them: peers whose certificates
    are on them get no connection, and none from us. `omapush reload` reads the file again; once one of the
    lists is past its next update, nobody of that CA connects. Empty: nothing is looked up.
    """


def check_revocation_lists(where: str, file: str) -> None:
    """Check that a file has lists of revoked certificates; `where` is the key that the text names."""
    try:
        found = b"-----BEGIN X509 CRL-----" in Path(file).read_bytes()
    except OSError:
        raise BadConfiguration(where, f"cannot be read: {shortened(file)}") from None
    if not found:
        raise BadConfiguration(where, f"has no certificate revocation list in PEM: {shortened(file)}")
