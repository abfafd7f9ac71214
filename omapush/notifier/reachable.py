"""
Hosts that others name, looked up before we connect to them.

What is checked is every address that the name has now, and the connection goes to the very address that was
checked: a name that changes its mind between the two does not get us into our own network.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import httpx

from omapush.errors import PushError
from omapush.push.public_address import is_public


class NotReachable(PushError):
    """A host without an address, or with one that is not to be reached."""


async def address_of(target: httpx.URL, allow: Callable[[str], bool] = is_public) -> str:
    """
    Return one address of the host of `target`; when any of them is not allowed, none is.

    Raises:
        NotReachable: `allow` does not take an address: by default loopback, link-local, private and others.
        OSError: the name is not known.
    """
    port = target.port or (443 if target.scheme == "https" else 80)
    found = await asyncio.get_running_loop().getaddrinfo(target.host, port, type=socket.SOCK_STREAM)
    addresses = [str(item[4][0]) for item in found]
    if not addresses:
        raise NotReachable("the host has no address")
    for address in addresses:
        if not allow(address):
            raise NotReachable(f"address {address} is not public")
    return addresses[0]


def pinned(target: httpx.URL, address: str) -> dict[str, Any]:
    """Return what a request to `target` needs to go to this address: url, Host, and name for TLS."""
    return {
        "url": target.copy_with(host=address),
        "host": target.netloc.decode("ascii"),
        "extensions": {"sni_hostname": target.host},
    }
