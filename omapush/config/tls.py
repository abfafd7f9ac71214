"""The table of the configuration file about TLS towards the core."""

from __future__ import annotations

from typing import Annotated

from omapush.config.keys import restart
from omapush.config.sections import Section


class Tls(Section, frozen=True):
    """SIP over TLS 1.2 or later: who connects, and whom we connect to, has to show a certificate."""

    certificate: Annotated[str, restart("sip")] = ""
    """PEM file with our certificate, and with those that lead from it to the CA; for both directions."""
    private_key: Annotated[str, restart("sip")] = ""
    """PEM file with its private key, without a password."""
    trusted_certificates: Annotated[str, restart("sip")] = ""
    """PEM file with the CAs that peers' certificates come from: those of the core, and no public ones."""
