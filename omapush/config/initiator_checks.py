"""What the configuration of a push initiator must keep beyond the type of each single key."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import TYPE_CHECKING

from omapush.config.forms import HOST_PATTERN, NAME, SIP_URI, TEL_URI, is_password_hash, require_recipients
from omapush.config.initiator import SHORTEST_SECRET
from omapush.errors import BadConfiguration, shortened

if TYPE_CHECKING:
    from omapush.config import Config, Initiator


def check_initiator(config: Config, name: str, initiator: Initiator) -> None:
    """Check what is said about one initiator."""
    where = f"{config.path}: initiator.{shortened(name)}"
    if NAME.fullmatch(name) is None:
        raise BadConfiguration(where, "a name has 1 to 64 letters, digits, '.', '_' or '-'")
    _check_password(where, initiator)
    check_networks(f"{where}.addresses", initiator.addresses)
    require_recipients(config.path, f"initiator.{shortened(name)}.recipients", initiator.recipients)
    for host in initiator.notify_hosts:
        if HOST_PATTERN.fullmatch(host) is None:
            raise BadConfiguration(f"{where}.notify_hosts", 'right would be "results.provider.example"')
    identity = initiator.identity
    if identity and not (SIP_URI.fullmatch(identity) or TEL_URI.fullmatch(identity)):
        raise BadConfiguration(
            f"{where}.identity", 'right would be "sip:mmsc@home1.example" or "tel:+15550100"'
        )
    secrets = initiator.signing_secrets(where)
    if len(secrets) > 2 or any(len(secret) < SHORTEST_SECRET for secret in secrets):
        raise BadConfiguration(
            f"{where}.webhook_secrets",
            f"at most two, of at least {SHORTEST_SECRET} characters each, files counted",
        )


def check_identities(config: Config) -> None:
    """Check that no two initiators have a subject or a name in certificates in common."""
    for key, needed, given in (
        ("subject", "tokens.keys", config.tokens.keys),
        ("certificate_names", "api.trusted_certificates", config.api.trusted_certificates),
    ):
        owners: dict[str, str] = {}
        for name, one in config.initiator.items():
            where = f"{config.path}: initiator.{shortened(name)}.{key}"
            value = getattr(one, key)
            for identity in filter(None, [value] if isinstance(value, str) else value):
                if not given:
                    raise BadConfiguration(where, f"needs {needed}")
                if owners.setdefault(identity.lower(), name) != name:
                    raise BadConfiguration(where, f"{shortened(identity)} is that of another, too")


def check_networks(where: str, networks: Iterable[str]) -> None:
    """Check that each is an address or a network."""
    for network in networks:
        try:
            ipaddress.ip_network(network)
        except ValueError as error:
            raise BadConfiguration(where, f'{error}; right would be "192.0.2.0/24"') from error


def _check_password(where: str, initiator: Initiator) -> None:
    given = [initiator.password_hash, initiator.password, initiator.password_file]
    has_another = initiator.subject or initiator.certificate_names
    if sum(map(bool, given)) > 1 or not (any(given) or has_another):
        raise BadConfiguration(
            where,
            "needs either password_hash, or password, or password_file; else subject or certificate_names",
        )
    if initiator.password_hash and not is_password_hash(initiator.password_hash):
        raise BadConfiguration(
            f"{where}.password_hash",
            "is no Argon2id hash of this server's form; `omapush initiator hash` makes one",
        )
    if initiator.password_file:
        initiator.secret(where)
