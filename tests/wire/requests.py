"""Requests as an S-CSCF sends them to an application server on ISC, as text."""

import secrets
from collections.abc import Iterable

from tests.fakes.sip_text import write
from tests.harness.sip_peer import Address, SipPeer

Headers = Iterable[tuple[str, str]]
MARK = "lr;s=4;h=0;d=1;a=7369703a616c69636540696d732e6c6162"
"Parameters of the S-CSCF's own Route value: how it knows where in the filter criteria it was."


def request(
    method: str,
    uri: str,
    via: Address,
    headers: Headers = (),
    body: bytes = b"",
    **fields: str,
) -> bytes:
    """A request with what RFC 3261 8.1.1 asks for; `fields` replace those, with `_` for `-`."""
    mark = secrets.token_hex(6)
    own = {
        "Via": f"SIP/2.0/UDP {via[0]}:{via[1]};branch=z9hG4bK{mark}",
        "Max-Forwards": "70",
        "From": f"<sip:someone@home1.example>;tag={mark}",
        "To": f"<{uri}>",
        "Call-ID": f"{mark}@{via[0]}",
        "CSeq": f"1 {method}",
    }
    own |= {name.replace("_", "-"): value for name, value in fields.items()}
    return write(f"{method} {uri} SIP/2.0", [*own.items(), *headers], body)


def isc_route(own: Address, core: SipPeer) -> str:
    """Route of a request that filter criteria brought: our own value, then the S-CSCF's mark."""
    return f"<sip:{own[0]}:{own[1]};lr>, <sip:iscmark@127.0.0.1:{core.port};{MARK}>"


def register(
    aor: str, core: SipPeer, *, expires: str = "600", headers: Headers = (), body: bytes = b"", **fields: str
) -> bytes:
    """A third-party REGISTER; a body comes with its Content-Type in `headers`."""
    s_cscf = f"<sip:127.0.0.1:{core.port}>"
    named = [("Contact", s_cscf), ("Event", "registration"), ("Expires", expires), *headers]
    return request(
        "REGISTER",
        "sip:127.0.0.1:5070",
        core.address,
        named,
        body,
        To=f"<{aor}>",
        From=f"{s_cscf};tag=s",
        **fields,
    )


PUSH_TAGS = ';+g.oma.pusheventapp="mms.ua,ulp.ua"'


def ue_register(aor: str, contact: str, *, expires: int = 600, tags: str = PUSH_TAGS) -> bytes:
    """What the handset sent to its registrar; travels inside as message/sip. `tags` follow its Contact."""
    fields = [
        ("Via", "SIP/2.0/UDP 127.0.0.1:5092;branch=z9hG4bKue"),
        ("From", f"<{aor}>;tag=ue"),
        ("To", f"<{aor}>"),
        ("Call-ID", secrets.token_hex(6)),
        ("CSeq", "1 REGISTER"),
        ("Contact", f"<{contact}>{tags}"),
        ("Expires", str(expires)),
    ]
    return write("REGISTER sip:home1.example SIP/2.0", fields)
