"""The far end of a subscription to `ua-profile`: it keeps what belongs to one dialog."""

import itertools
import secrets
from dataclasses import dataclass, field
from typing import Any

from omapush.push.subscription import Subscription
from omapush.store import keys, subscriptions
from tests.fakes.sip_text import SipText
from tests.harness.sip_peer import SipPeer
from tests.harness.stack import Stack
from tests.harness.wait import wait_until
from tests.wire.requests import request

PSA = "sip:psa@home1.example"
URL = "http://uaprof.maker.example/px200.rdf"
DEVICE_EVENT = f'ua-profile;profile-type=device;vendor="maker.example";model="{URL}";version="3.1"'
CONTENT_EVENT = "ua-profile;profile-type=oma-app"

_numbers = itertools.count(1)


def wants(application: str) -> dict[str, Any]:
    """What a SUBSCRIBE to an application's pushes says, as arguments of `ask` and `begin`."""
    return {"event": CONTENT_EVENT, "Accept_Contact": f'*;+g.oma.pusheventapp="{application}"'}


@dataclass
class Subscriber:
    """A device, with its one dialog."""

    stack: Stack
    core: SipPeer
    aor: str = field(default_factory=lambda: f"sip:device{next(_numbers)}@home1.example")
    call_id: str = field(default_factory=lambda: secrets.token_hex(8))
    tag: str = field(default_factory=lambda: secrets.token_hex(4))
    to_tag: str = ""
    cseq: int = 0

    def ask(
        self, *, event: str = DEVICE_EVENT, expires: str = "600", accept: str = "", cseq: int = 0, **more: Any
    ) -> SipText:
        """Send a SUBSCRIBE, in the dialog once there is one, and return its final answer."""
        return self.core.ask(
            self.subscribe(event=event, expires=expires, accept=accept, cseq=cseq, **more), self.stack.sip
        )

    def subscribe(self, *, event: str, expires: str, accept: str, cseq: int = 0, **more: str) -> bytes:
        """The bytes of a SUBSCRIBE with the next CSeq."""
        self.cseq = cseq or self.cseq + 1
        user = self.aor.partition(":")[2].partition("@")[0]
        headers = [
            ("Contact", f'<sip:{user}@127.0.0.1:{self.core.port}>;+sip.instance="<urn:uuid:{user}>"'),
            *((("Event", event),) if event else ()),
            *((("Accept", accept),) if accept else ()),
            *((("Expires", expires),) if expires else ()),
            *((name.replace("_", "-"), value) for name, value in more.items() if value),
            *(() if "P_Asserted_Identity" in more else (("P-Asserted-Identity", f"<{self.aor}>"),)),
        ]
        to_tag = f";tag={self.to_tag}" if self.to_tag else ""
        return request(
            "SUBSCRIBE",
            PSA,
            self.core.address,
            headers,
            From=f"<{self.aor}>;tag={self.tag}",
            To=f"<{PSA}>{to_tag}",
            Call_ID=self.call_id,
            CSeq=f"{self.cseq} SUBSCRIBE",
        )

    def begin(self, **more: Any) -> SipText:
        """Subscribe and enter the dialog."""
        answer = self.ask(**more)
        assert answer.status == 200, answer.raw
        self.to_tag = answer.header("To").rpartition(";tag=")[2]
        return answer

    def notifies(self, count: int, deadline_s: float = 10.0) -> list[SipText]:
        """The NOTIFYs of the dialog, once there are so many."""

        def found() -> list[SipText]:
            return [
                one
                for one in self.core.requests
                if one.method == "NOTIFY" and one.header("Call-ID") == self.call_id
            ]

        wait_until(lambda: len(found()) >= count, deadline_s, lambda: f"{count} NOTIFYs: {found()}")
        return found()

    def place(self, part: str) -> str:
        """A structure of the user's shard."""
        return keys.subscription_part(self.stack.store.layout.user_shard(self.aor), part)

    def settle(self) -> None:
        """Wait until no NOTIFY is under way."""
        number = self.stack.store.layout.user_shard(self.aor)
        flight, owed = (keys.subscription_part(number, part) for part in ("flight", "owed"))
        wait_until(
            lambda: not any(self.stack.db.zscore(name, self.to_tag) for name in (flight, owed)), 5, "settled"
        )

    @property
    def stored(self) -> Subscription | None:
        return subscriptions.read(self.stack.store, self.to_tag)
