"""Hosts that are addresses, and hosts that are names."""

from __future__ import annotations

import ipaddress


def is_address(host: str) -> bool:
    """Tell whether a host is an IPv4 or IPv6 address, without brackets, and not a name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
