"""Pushes that filter criteria bring to applications hosted behind this server, as an S-CSCF sends them."""

from collections.abc import Iterable, Mapping

from tests.harness.sip_peer import SipPeer
from tests.harness.stack import Stack
from tests.wire.requests import isc_route, request

SENDER = "sip:psa@other.example"
PNG = b"\x89PNG\0\xff\r\n"


def push(
    stack: Stack,
    core: SipPeer,
    recipient: str,
    app: str = "posted.ua",
    body: bytes = PNG,
    *,
    sender: str = SENDER,
    headers: Iterable[tuple[str, str]] = (),
    content_type: str = "image/png",
    onward: bool = True,
    fields: Mapping[str, str] | None = None,
) -> bytes:
    """A MESSAGE with the feature tag of `app`; without `onward` its only Route is ours."""
    own = f"<sip:{stack.sip[0]}:{stack.sip[1]};lr>"
    named = [("Route", isc_route(stack.sip, core) if onward else own)]
    if sender:
        named.append(("P-Asserted-Identity", f"<{sender}>"))
    if app:
        named.append(("Accept-Contact", f'*;+g.oma.pusheventapp="{app}"'))
    if content_type:
        named.append(("Content-Type", content_type))
    return request("MESSAGE", recipient, core.address, [*named, *headers], body, **(fields or {}))
