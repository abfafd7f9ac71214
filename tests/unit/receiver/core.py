"""A SIP core of a few lines for the receiver: registrar, and whatever a test wants besides."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from typing import Any

from omapush.receiver import Timers
from tests.fakes.sip_text import SipText, write
from tests.harness.receiver_thread import ReceiverThread, receiver_in_thread
from tests.harness.sip_peer import OK, Policy, Says, SipPeer
from tests.harness.wait import wait_until

ALICE = "sip:alice@home1.example"
PSA = "sip:psa@home1.example"
FAST = Timers(t1_s=0.05, t2_s=0.2)
"Base timers that let a test see a time-out of 64*T1 within 3.2 s."
_numbers = count(1)


def grant(request: SipText) -> Says | None:
    """What a friendly core answers to everything."""
    if request.method == "REGISTER":
        return Says(200, "OK", {"Contact": request.header("Contact")})
    if request.method == "SUBSCRIBE":
        return Says(200, "OK", {"Expires": request.header("Expires"), "Contact": f"<{PSA}>"})
    if request.method == "PUBLISH":
        return Says(200, "OK", {"Expires": "3600", "SIP-ETag": f"e{request.header('CSeq').split()[0]}"})
    return OK


@contextmanager
def registered(policy: Policy = grant, **settings: Any) -> Iterator[tuple[SipPeer, ReceiverThread]]:
    """A core and a receiver that registered with it."""
    with SipPeer(policy=policy) as peer:
        settings = {"timers": FAST, "expires_s": 600, **settings}
        uri = settings.pop("uri", ALICE)
        with receiver_in_thread(uri, f"sip:127.0.0.1:{peer.port}", **settings) as device:
            yield peer, device


def requests(peer: SipPeer, method: str) -> list[SipText]:
    """The requests of a method so far, each once."""
    return [request for request in peer.requests if request.method == method]


def wait_for(peer: SipPeer, method: str, number: int = 1, deadline_s: float = 10.0) -> SipText:
    """The request of that number, once it came."""
    wait_until(lambda: len(requests(peer, method)) >= number, deadline_s, lambda: f"{number}. {method}")
    return requests(peer, method)[number - 1]


def request(
    peer: SipPeer,
    method: str,
    headers: Mapping[str, str | None] | None = None,
    body: bytes = b"",
    **changes: str,
) -> bytes:
    """A request of the core to the device; a header that is None is left out; `line`: another start line."""
    number = next(_numbers)
    fields: dict[str, str | None] = {
        "Via": f"SIP/2.0/UDP 127.0.0.1:{peer.port};branch=z9hG4bKcore{number}",
        "Max-Forwards": "70",
        "From": f"<{PSA}>;tag=core",
        "To": f"<{ALICE}>",
        "Call-ID": f"core{number}@127.0.0.1",
        "CSeq": f"{number} {method}",
        "P-Asserted-Identity": f"<{PSA}>",
        **({"Accept-Contact": '*;+g.oma.pusheventapp="mms.ua"'} if method == "MESSAGE" else {}),
        **({"Content-Type": "text/plain"} if body else {}),
        **(headers or {}),
    }
    line = changes.get("line", f"{method} {ALICE} SIP/2.0")
    return write(line, [(name, value) for name, value in fields.items() if value is not None], body)


def notify(
    peer: SipPeer,
    subscribe: SipText,
    state: str = "active;expires=600",
    body: bytes = b"",
    headers: Mapping[str, str | None] | None = None,
    *,
    tag: str = "psa",
    cseq: int = 1,
) -> bytes:
    """A NOTIFY inside the dialog that a SUBSCRIBE of the device makes."""
    fields: dict[str, str | None] = {
        "From": f"{subscribe.header('To').partition(';tag')[0]};tag={tag}",
        "To": subscribe.header("From"),
        "Call-ID": subscribe.header("Call-ID"),
        "CSeq": f"{cseq} NOTIFY",
        "Contact": f"<sip:psa@127.0.0.1:{peer.port}>",
        "Event": subscribe.header("Event").partition(";")[0],
        "Subscription-State": state,
        **(headers or {}),
    }
    return request(peer, "NOTIFY", fields, body)
