"""Where a request goes, by its route set and its remote target (RFC 3261 8.1.2, 12.2.1.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from omapush.protocol.sip_uri import as_request_uri, is_loose


class Path(NamedTuple):
    """The way of one request."""

    request_uri: str
    routes: tuple[str, ...]
    "URIs of its Route headers, the nearest first."
    hop: str
    "URI that says where it is sent; empty: to the proxy."


def path(target: str, routes: Sequence[str], *, in_dialog: bool) -> Path:
    """
    Return the way of a request to `target` along `routes`.

    A first route without `lr` is a strict router, which looks for the next hop in the Request-URI: its own
    URI stands there, and the target is the last Route. Without routes a request inside a dialog goes to
    its target itself.
    """
    if not routes:
        return Path(target, (), target if in_dialog else "")
    if is_loose(routes[0]):
        return Path(target, tuple(routes), routes[0])
    return Path(as_request_uri(routes[0]), (*routes[1:], target), routes[0])
