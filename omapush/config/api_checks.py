"""What the configuration of the HTTP front must keep beyond the type of each single key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from omapush.config.files import check_file
from omapush.config.forms import HTTP_LISTEN, require
from omapush.config.initiator_checks import check_networks
from omapush.config.tls import check_revocation_lists
from omapush.errors import BadConfiguration

if TYPE_CHECKING:
    from omapush.config import Config


def check_api(config: Config) -> None:
    """Check `[api]`."""
    api, where = config.api, f"{config.path}: api"
    require(config.path, "api.listen", api.listen, HTTP_LISTEN, '"127.0.0.1:8080"')
    if api.large_bodies_bytes < api.max_body_bytes:
        raise BadConfiguration(f"{where}.large_bodies_bytes", "is below api.max_body_bytes")
    check_networks(f"{where}.trusted_proxies", api.trusted_proxies)
    check_networks(f"{where}.monitors", api.monitors)
    if bool(api.certificate) != bool(api.private_key):
        raise BadConfiguration(f"{where}.certificate", "goes with api.private_key")
    if api.trusted_certificates and not api.certificate:
        raise BadConfiguration(f"{where}.trusted_certificates", "needs api.certificate")
    if api.crl and not api.trusted_certificates:
        raise BadConfiguration(f"{where}.crl", "needs api.trusted_certificates")
    if api.crl:
        check_revocation_lists(f"{where}.crl", api.crl)
    for key in ("certificate", "private_key", "trusted_certificates"):
        file = getattr(api, key)
        if file:
            check_file(f"{where}.{key}", file)
