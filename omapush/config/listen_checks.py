"""What listens where: no two parts of a node can have one port."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from omapush.errors import BadConfiguration

if TYPE_CHECKING:
    from omapush.config import Config

ANYWHERE: Final = ("0.0.0.0", "[::]")  # noqa: S104 - read, not bound


def check_ports(config: Config) -> None:
    """
    Check that each port has one key.

    Raises:
        BadConfiguration: two listen on one; the text names both.
    """
    taken: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for key, protocol, host, port in _listening(config):
        others = taken.setdefault((protocol, port), [])
        for other, at in others:
            if host == at or host in ANYWHERE or at in ANYWHERE:
                where = f"{protocol} {host}:{port}"
                problem = f"has {where} twice" if key == other else f"{where} is that of {other}, too"
                raise BadConfiguration(f"{config.path}: {key}", problem)
        others.append((key, host))


def _listening(config: Config) -> Iterator[tuple[str, str, str, str]]:
    """Key, protocol, host and port of each address."""
    for value in config.sip.listen:
        transport, _, address = value.partition(":")
        host, _, port = address.rpartition(":")
        yield "sip.listen", "udp" if transport == "udp" else "tcp", host, port
    for key, address in (("api.listen", config.api.listen), ("content.listen", config.content.listen)):
        if address:
            host, _, port = address.rpartition(":")
            yield key, "tcp", host, port
    host, _, port = config.msrp.listen.rpartition(":")
    for number in range(config.msrp.workers if config.sessions.enabled else 0):
        yield "msrp.listen", "tcp", host, str(int(port) + number)
