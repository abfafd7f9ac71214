"""
Hosts that others name, looked up before we connect to them.

What is checked is every address that the name has now, and the connection goes to the very address that was
checked: a name that changes its mind between the two does not get us into our own network.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final

import httpx

from omapush import clock
from omapush.errors import PushError
from omapush.push.public_address import is_public

_KNOWN_S: Final = 1.0
"How long an address that was checked is used without another look-up."
_MOST_KNOWN: Final = 1_024
_LOOKERS: Final = ThreadPoolExecutor(max_workers=64, thread_name_prefix="names")
"""
Threads of their own: a name server that does not answer holds each for some ten seconds. The four that an
event loop has for it, of one initiator whose DNS is gone, would be all there are for the others.
"""


class NotReachable(PushError):
    """A host without an address, or with one that is not allowed."""


class Judged:
    """
    Addresses that names were found at a moment ago, each judged.

    Who is told a thousand results is looked up once a second, and not in a thread for each of them.
    """

    def __init__(self, allow: Callable[[str], bool]) -> None:
        self._allow = allow
        self._known: dict[tuple[str, int], tuple[float, str]] = {}
        self._asking: dict[tuple[str, int], asyncio.Task[str]] = {}
        "Look-ups under way: who needs the same waits for the same, however long a name server takes."

    async def address_of(self, host: str, port: int) -> str:
        """Return an address of `host`; errors as for `judged`."""
        known = self._known.get((host, port))
        if known is not None and clock.monotonic() < known[0]:
            return known[1]
        task = self._asking.get((host, port))
        if task is None:
            task = self._asking[host, port] = asyncio.create_task(self._ask(host, port))
            task.add_done_callback(partial(self._asked, (host, port)))
        return await asyncio.shield(task)

    def _asked(self, name: tuple[str, int], task: asyncio.Task[str]) -> None:
        """Forget the look-up; whoever waited for it may have gone, so that nobody else takes its error."""
        del self._asking[name]
        if not task.cancelled():
            task.exception()

    async def _ask(self, host: str, port: int) -> str:
        address = await judged(host, port, self._allow)
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known[host, port] = clock.monotonic() + _KNOWN_S, address
        return address


async def address_of(target: httpx.URL, allow: Callable[[str], bool] = is_public) -> str:
    """Return one address of the host of `target`; errors as for `judged`."""
    return await judged(target.host, target.port or (443 if target.scheme == "https" else 80), allow)


async def look_up(host: str, port: int) -> list[Any]:
    """Return what `socket.getaddrinfo` says of a host; many may be asked for at one time."""
    asked = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    return await asyncio.get_running_loop().run_in_executor(_LOOKERS, asked)


async def judged(host: str, port: int, allow: Callable[[str], bool]) -> str:
    """
    Return one address of `host`, if all of them are allowed.

    Raises:
        NotReachable: `allow` does not take an address: by default loopback, link-local, private and others.
        OSError: the name is not known.
    """
    found = await look_up(host, port)
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
