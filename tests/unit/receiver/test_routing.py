"""The way of requests: route sets with loose and strict routers (RFC 3261 12.2.1.1, 16.12.1)."""

import hashlib
from typing import Any

import pytest

from omapush.receiver import Credentials
from omapush.receiver.routing import Path, path
from tests.fakes.sip_text import SipText
from tests.harness.sip_peer import Says, SipPeer
from tests.unit.receiver.core import PSA, notify, registered, wait_for

TARGET = "sip:psa@192.0.2.9:5070;transport=tcp"
LOOSE = "sip:192.0.2.1;lr"
ODD = "sip:old.example;method=NOTIFY?a=b"
STRICT = "sip:192.0.2.2;transport=udp"
WHO = 'Digest realm="home1.example", nonce="n1", algorithm=MD5'
CONTENT: dict[str, Any] = {"subscribe_to": (("mms.ua", PSA),), "subscription_s": 2}


@pytest.mark.parametrize(
    ("routes", "in_dialog", "expected"),
    [
        ((), False, Path(TARGET, (), "")),
        ((), True, Path(TARGET, (), TARGET)),
        ((LOOSE, STRICT), True, Path(TARGET, (LOOSE, STRICT), LOOSE)),
        ((STRICT,), True, Path(STRICT, (TARGET,), STRICT)),
        ((STRICT, LOOSE), True, Path(STRICT, (LOOSE, TARGET), STRICT)),
        ((ODD,), True, Path("sip:old.example", (TARGET,), ODD)),
    ],
)  # fmt: skip
def test_a_first_route_without_lr_changes_places_with_the_target(
    routes: tuple[str, ...], in_dialog: bool, expected: Path
) -> None:
    assert path(TARGET, routes, in_dialog=in_dialog) == expected


def test_a_strict_router_in_the_record_route_gets_the_refresh_with_its_own_uri() -> None:
    with registered(**CONTENT) as (peer, device), SipPeer() as router:
        subscribe = wait_for(peer, "SUBSCRIBE")
        strict, loose = f"sip:127.0.0.1:{router.port}", f"sip:127.0.0.1:{peer.port};lr"
        headers = {"Record-Route": f"<{strict}>, <{loose}>", "Contact": f"<{TARGET}>"}
        raw = notify(peer, subscribe, "active;expires=1", headers=headers)
        assert peer.ask(raw, device.receiver.address).status == 200

        refresh = wait_for(router, "SUBSCRIBE")
        assert refresh.start_line == f"SUBSCRIBE {strict} SIP/2.0"
        assert refresh.all("Route") == [f"<{loose}>", f"<{TARGET}>"]


def test_a_challenge_on_the_way_through_a_strict_router_is_answered_for_its_uri() -> None:
    def challenging(request: SipText) -> Says:
        proven = request.header("Proxy-Authorization") or request.header("Expires") == "0"
        return Says(200, "OK", {"Expires": "2"}) if proven else Says(407, "Who", {"Proxy-Authenticate": WHO})

    with (
        registered(credentials=Credentials("alice", "secret"), **CONTENT) as (peer, device),
        SipPeer(policy=challenging) as router,
    ):
        strict = f"sip:127.0.0.1:{router.port}"
        headers = {"Record-Route": f"<{strict}>"}
        raw = notify(peer, wait_for(peer, "SUBSCRIBE"), "active;expires=1", headers=headers)
        assert peer.ask(raw, device.receiver.address).status == 200

        proof = wait_for(router, "SUBSCRIBE", 2).header("Proxy-Authorization")
        assert f'uri="{strict}"' in proof
        secret = hashlib.md5(b"alice:home1.example:secret").hexdigest()
        asked = hashlib.md5(f"SUBSCRIBE:{strict}".encode()).hexdigest()
        assert f'response="{hashlib.md5(f"{secret}:n1:{asked}".encode()).hexdigest()}"' in proof
