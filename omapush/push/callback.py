"""
Where results may be posted: initiators name the URLs, and we are the ones who connect.

What an URL names is judged when the push is submitted, as far as it can be without asking the DNS; every
address that its name has is judged again when something is posted there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from omapush.protocol.ip_text import is_address
from omapush.push.acceptance import NotAllowed
from omapush.push.account import Account
from omapush.push.networks import Networks
from omapush.push.public_address import is_public

ANY: Final = "any"


class Callbacks:
    """The operator's rules about hosts that get results."""

    def __init__(self, targets: str, networks: Sequence[str]) -> None:
        """`targets`: `any` or `public`; `networks` may be posted to though they are not public."""
        self.are_all = targets == ANY
        "Whether nothing needs to be looked up."
        self._networks = Networks(networks)

    def allow(self, address: str) -> bool:
        """Tell whether results may go to an IP address."""
        return self.are_all or is_public(address) or self._networks.holds(address)

    def check(self, account: Account, url: str) -> None:
        """
        Do nothing when an initiator may name this well-formed URL.

        Raises:
            NotAllowed: its host is none of the account's, or an address that results may not go to.
        """
        if not url or (self.are_all and not account.notify_hosts):
            return
        host = (urlsplit(url).hostname or "").rstrip(".")
        if account.notify_hosts and not any(_fits(host, pattern.lower()) for pattern in account.notify_hosts):
            raise NotAllowed("notify_url", f"{host[:80]} is none of the hosts that may get your results")
        if is_address(host) and not self.allow(host):
            raise NotAllowed("notify_url", f"address {host} is not public, and not in notify.networks")


def _fits(host: str, pattern: str) -> bool:
    return host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern
