"""A notifier's side of reg event and presence: it answers SUBSCRIBEs as told, and sends NOTIFYs."""

import secrets
from collections.abc import Callable, Mapping

from tests.fakes.sip_text import SipText, write
from tests.harness.sip_peer import OK, Address, Says, SipPeer
from tests.harness.wait import wait_until

REGINFO = "application/reginfo+xml"


def contact(
    uri: str, *, state: str = "active", event: str = "registered", inside: str = "", **words: str
) -> str:
    """One contact element; `words` are attributes, with `_` for `-`."""
    attributes = "".join(f' {name.replace("_", "-")}="{value}"' for name, value in words.items())
    return f'<contact id="0x1" state="{state}" event="{event}"{attributes}><uri>{uri}</uri>{inside}</contact>'


def param(name: str, value: str = "") -> str:
    """One unknown-param, with the quotes that a Kamailio S-CSCF leaves in."""
    return f'<unknown-param name="{name}">{value}</unknown-param>'


def reginfo(version: int, *registrations: str, state: str = "full") -> bytes:
    """A whole document."""
    body = "".join(registrations)
    return (
        f'<?xml version="1.0"?><reginfo xmlns="urn:ietf:params:xml:ns:reginfo" version="{version}" '
        f'state="{state}">{body}</reginfo>'
    ).encode()


def registration(aor: str, *contacts: str, state: str = "active") -> str:
    """One registration element."""
    return f'<registration aor="{aor}" id="r1" state="{state}">{"".join(contacts)}</registration>'


class Scscf:
    """One package of one S-CSCF on a `SipPeer`; its dialogs end with the object."""

    def __init__(
        self, peer: SipPeer, application_server: Address, *, package: str = "reg", document: str = REGINFO
    ) -> None:
        self.peer = peer
        self.package = package
        self._document = document
        self._to = application_server
        self._cseq = 3
        self.answers: Callable[[SipText], Says] = lambda _: Says(200, "Subscription to REG saved")
        "What to answer to a SUBSCRIBE."
        self.granted = "600"
        peer.policy = self._policy

    def _policy(self, request: SipText) -> Says:
        if request.method != "SUBSCRIBE":
            return OK
        says = self.answers(request)
        if says.code >= 300:
            return says
        granted = {"Expires": self.granted, "Contact": f"<sip:127.0.0.1:{self.peer.port}>"}
        return Says(says.code, says.phrase, {**granted, **says.headers})

    def subscribes(self, aor: str) -> list[SipText]:
        """SUBSCRIBEs for one user so far, refreshes included."""
        return [
            request
            for request in self.peer.requests
            if (request.method, request.header("Event")) == ("SUBSCRIBE", self.package)
            and request.header("To").partition(">")[0].endswith(aor)
        ]

    def subscribe(self, aor: str, count: int = 1, deadline_s: float = 10.0) -> SipText:
        """The SUBSCRIBE number `count` for a user, once it is there."""
        wait_until(
            lambda: len(self.subscribes(aor)) >= count, deadline_s, lambda: f"{count} SUBSCRIBEs to {aor}"
        )
        return self.subscribes(aor)[count - 1]

    def notify(
        self,
        subscribe: SipText,
        body: bytes = b"",
        *,
        state: str = "active;expires=600",
        tag: str = "peer",
        headers: Mapping[str, str] | None = None,
        cseq: int | None = None,
        to: Address | None = None,
    ) -> SipText:
        """Send a NOTIFY in the dialog of `subscribe`, to another node if told; return its final answer."""
        if cseq is None:
            self._cseq += 1
            cseq = self._cseq
        own = {
            "Via": f"SIP/2.0/UDP 127.0.0.1:{self.peer.port};branch=z9hG4bK{secrets.token_hex(6)}",
            "Max-Forwards": "70",
            "To": subscribe.header("From"),
            "From": f"{subscribe.header('To').partition(';')[0]};tag={tag}",
            "Call-ID": subscribe.header("Call-ID"),
            "CSeq": f"{cseq} NOTIFY",
            "Contact": f"<sip:127.0.0.1:{self.peer.port}>",
            "Event": self.package,
            "Subscription-State": state,
            **({"Content-Type": self._document} if body else {}),
            **(headers or {}),
        }
        uri = f"sip:{to[0]}:{to[1]}" if to else subscribe.header("Contact").strip("<>")
        lines = [(name, value) for name, value in own.items() if value]
        return self.peer.ask(write(f"NOTIFY {uri} SIP/2.0", lines, body), to or self._to)
