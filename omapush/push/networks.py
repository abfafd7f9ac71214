"""Whether an address is in one of some networks; what was looked up is remembered."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

_REMEMBERED: Final = 4_096


class Networks:
    """Networks of the configuration, IPv4 or IPv6."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks = [ipaddress.ip_network(one) for one in networks]
        self.holds = lru_cache(maxsize=_REMEMBERED)(self._holds)

    def _holds(self, address: str) -> bool:
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        if parsed.version == 6 and parsed.ipv4_mapped is not None:
            parsed = parsed.ipv4_mapped
        return any(parsed in network for network in self._networks)
