"""
A SIP dialog as a value (RFC 3261 12): what it takes to send the next request in it, and to know the peer's.

Either end may have begun it. Everything that another process or node needs to go on with a dialog is here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from omapush.errors import MalformedSip, TooLarge
from omapush.protocol.name_addr import parse_list, parse_one
from omapush.protocol.sip_uri import as_request_uri, is_loose, reached_at
from omapush.push.request import LARGEST_HEADERS, LARGEST_URI, InDialog, Request, length_of

MOST_ROUTES: Final = 32
"Record-Route values that a route set may have: as many proxies as hardly any request passes."
LARGEST_ROUTES: Final = 8_192
"Bytes of them as Route lines."
NOT_HEARD: Final = -1
"Remote CSeq of a dialog in which the peer has sent no request yet."

_CRLF: Final = "\r\n"


class Dialog(NamedTuple):
    """One dialog, as far as it is established."""

    call_id: str
    local_uri: str
    remote_uri: str
    local_tag: str
    remote_tag: str
    "Empty until the peer has said it."
    local_cseq: int
    "CSeq of the last request that we sent; 0: none yet."
    remote_cseq: int
    "CSeq of the last request that the peer sent, NOT_HEARD: none yet."
    remote_target: str
    "Request-URI of our next request: the peer's Contact once it is known."
    route_set: tuple[str, ...]
    "URIs, the nearest first. In a request that creates the dialog: the way it takes."


class Heard(NamedTuple):
    """What the other end said about the dialog in one message; header values as they came."""

    tag: str
    "The peer's own tag: of From in its requests, of To in its responses."
    cseq: int
    contact: str
    record_route: str
    "All values, comma-separated, in their order; empty when absent."


def begin(
    *, call_id: str, local_uri: str, local_tag: str, remote_uri: str, route: Sequence[str] = ()
) -> Dialog:
    """Return the dialog that a request of ours to `remote_uri` will create, sent along `route`."""
    return Dialog(call_id, local_uri, remote_uri, local_tag, "", 0, NOT_HEARD, remote_uri, tuple(route))


def answered(*, call_id: str, local_uri: str, local_tag: str, remote_uri: str, heard: Heard) -> Dialog:
    """
    Return the dialog that we accept by answering the peer's request with `local_tag` (RFC 3261 12.1.1).

    Raises:
        MalformedSip: Contact or Record-Route, without which nothing can be sent in it, or a longer route set
            than we keep.
    """
    if not heard.contact:
        raise MalformedSip("Contact", "missing in a request that creates a dialog")
    dialog = begin(call_id=call_id, local_uri=local_uri, local_tag=local_tag, remote_uri=remote_uri)
    return learn(dialog, heard)


def learn(dialog: Dialog, heard: Heard) -> Dialog:
    """
    Return the dialog after a request of the peer's: its first establishes tag and routes, each its Contact.

    The caller has checked tags and CSeq.

    Raises:
        MalformedSip: Contact or Record-Route; the dialog is as it was.
    """
    if dialog.remote_cseq == NOT_HEARD:
        dialog = dialog._replace(remote_tag=heard.tag, route_set=_routes(heard.record_route))
    return dialog._replace(remote_cseq=heard.cseq, remote_target=_target(heard.contact, dialog.remote_target))


def learn_from_answer(dialog: Dialog, heard: Heard) -> Dialog:
    """
    Return the dialog after a 2xx to a request of ours: a target refresh, unless another than the peer spoke.

    For a subscription the NOTIFY establishes it (RFC 6665 4.4.1); until one comes, the 2xx is only kept so
    that the dialog can be told from another.

    Raises:
        MalformedSip: Contact.
    """
    if dialog.remote_cseq == NOT_HEARD:
        return dialog._replace(remote_tag=heard.tag or dialog.remote_tag)
    if heard.tag not in ("", dialog.remote_tag):
        return dialog  # of a fork: the NOTIFY that came first has decided whose dialog it is
    return dialog._replace(remote_target=_target(heard.contact, dialog.remote_target))


def established(dialog: Dialog, heard: Heard) -> Dialog:
    """
    Return the dialog after the 2xx to our INVITE, which establishes it (RFC 3261 12.1.2).

    Raises:
        MalformedSip: Contact or Record-Route; the dialog is as it was.
    """
    if not heard.contact:
        raise MalformedSip("Contact", "missing in a response that creates a dialog")
    target = _target(heard.contact, dialog.remote_target)
    routes = tuple(reversed(_routes(heard.record_route)))
    return dialog._replace(remote_tag=heard.tag, remote_target=target, route_set=routes)


def refreshed(dialog: Dialog, contact: str) -> Dialog:
    """
    Return the dialog after a 2xx to a request of ours that refreshes its target (RFC 3261 12.2.1.2).

    Raises:
        MalformedSip: Contact.
    """
    return dialog._replace(remote_target=_target(contact, dialog.remote_target))


def is_lower(dialog: Dialog, cseq: int) -> bool:
    """Tell whether the peer's CSeq goes back, to be refused with 500 (RFC 3261 12.2.2); equal is repeated."""
    return dialog.remote_cseq != NOT_HEARD and cseq < dialog.remote_cseq


def next_hop_of(dialog: Dialog) -> str:
    """Return the URI of the server that the next request in the dialog is sent to."""
    return reached_at(as_request_uri(dialog.route_set[0] if dialog.route_set else dialog.remote_target))


def compose(dialog: Dialog, method: str, headers: Sequence[str], body: bytes = b"") -> tuple[Request, Dialog]:
    """
    Return the next request of `method` and the dialog after it, to be stored before the request is sent.

    `headers`: lines without CRLF; Route is written here (RFC 3261 12.2.1.1, strict routers included), apart
    from the others where Kamailio has no room for both. Of the peer's Contact only what a Request-URI may
    have is in one.

    Raises:
        TooLarge: more headers, or a longer URI, than Kamailio can send.
    """
    request_uri, routes = as_request_uri(dialog.remote_target), list(dialog.route_set)
    first = as_request_uri(routes[0]) if routes else request_uri
    next_hop = next_hop_of(dialog)
    if routes and not is_loose(first):
        request_uri, routes = first, [*routes[1:], request_uri]
    route = "".join(f"Route: <{uri}>{_CRLF}" for uri in routes)
    text = route + "".join(f"{line}{_CRLF}" for line in headers)
    size = len(text)
    if is_apart := length_of(text) > LARGEST_HEADERS:
        text = text[len(route) :]
    if length_of(text) > LARGEST_HEADERS:
        raise TooLarge(f"headers: more than {LARGEST_HEADERS} bytes in a {method}")
    if max(map(len, (request_uri, next_hop, dialog.remote_uri))) > LARGEST_URI:
        raise TooLarge(f"URI: longer than {LARGEST_URI} characters in a {method}")
    after = dialog._replace(local_cseq=dialog.local_cseq + 1)
    request = Request(
        method=method,
        request_uri=request_uri,
        from_uri=dialog.local_uri,
        to_uri=dialog.remote_uri,
        next_hop=next_hop,
        call_id=dialog.call_id,
        headers=text,
        body=body,
        size=size + len(body) + 2 * len(request_uri) + len(dialog.local_uri) + len(dialog.call_id) + 300,
        dialog=InDialog(dialog.local_tag, dialog.remote_tag, after.local_cseq),
        routes=route if is_apart else "",
    )
    return request, after


def _routes(record_route: str) -> tuple[str, ...]:
    """As the one who got the request: in its order (RFC 3261 12.1.1)."""
    if not record_route:
        return ()
    routes = tuple(route.uri for route in parse_list(record_route, "Record-Route", MOST_ROUTES))
    if sum(len(f"Route: <{uri}>{_CRLF}") for uri in routes) > LARGEST_ROUTES:
        raise MalformedSip("Record-Route", f"more than {LARGEST_ROUTES} bytes, as Route of our requests")
    return routes


def _target(contact: str, known: str) -> str:
    if not contact:
        return known
    uri = parse_one(contact, "Contact").uri
    if len(uri) > LARGEST_URI:
        raise MalformedSip("Contact", f"URI longer than {LARGEST_URI} characters")
    if uri.partition(":")[0].lower() not in ("sip", "sips"):
        raise MalformedSip("Contact", "neither a SIP nor a SIPS URI (RFC 3261 8.1.1.8)")
    return uri
