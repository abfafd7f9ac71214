"""A core that speaks IPv6 only, as many mobile ones do: addresses in brackets wherever SIP has them."""

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from omapush.push.session import CONFIRMED
from tests.fakes.sip_text import SipText
from tests.harness.session_device import SESSIONS, WORKER, employ, m_lines, transferred
from tests.harness.sip_peer import OK, Says, SipPeer
from tests.harness.stack import Settings, Stack
from tests.harness.subscriber import CONTENT_EVENT, PSA
from tests.harness.wait import wait_until
from tests.wire.requests import request, ue_register

HOST = "[::1]"


def has_ipv6() -> bool:
    """Whether this machine has a loopback for it: some containers have none."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as one:
            one.bind(("::1", 0))
    except OSError:
        return False
    return True


pytestmark = pytest.mark.skipif(not has_ipv6(), reason="no IPv6 on this machine")


class Stack6(Stack):
    """Listens for IPv6 first, so that this is what it shows of itself; the harness asks it by IPv4."""

    def _tables(
        self, sip_port: int, http_port: int, msrp_port: int, settings: Settings
    ) -> dict[str, dict[str, Any]]:
        tables = super()._tables(sip_port, http_port, msrp_port, settings)
        own = [f"udp:{HOST}:{sip_port}", f"tcp:{HOST}:{sip_port}"]
        tables["sip"]["listen"] = [*own, *tables["sip"]["listen"]]
        tables["core"]["next_hop"] = f"sip:{HOST}:{self.core_port};lr"
        tables["core"]["trusted_peers"] = ["::1/128", "127.0.0.1/32"]
        return tables

    @property
    def place(self) -> tuple[str, int]:
        return "::1", self.sip[1]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack6]:
    with Stack6(tmp_path_factory.mktemp("six"), SESSIONS, ("redis", "sip", "notifier")) as running:
        yield running


@pytest.fixture
def core(stack: Stack6) -> Iterator[SipPeer]:
    with SipPeer(stack.core_port, host="::1") as peer:
        yield peer


def shown(core: SipPeer) -> tuple[str, int]:
    """The core's address as SIP writes it."""
    return HOST, core.port


def register(core: SipPeer, stack: Stack6, aor: str, contact: str) -> None:
    """A third-party REGISTER whose S-CSCF spells its address in its own way."""
    s_cscf = f"<sip:[0:0::1]:{core.port}>"
    raw = request(
        "REGISTER",
        f"sip:{HOST}:{stack.sip[1]}",
        shown(core),
        [("Contact", s_cscf), ("Expires", "600"), ("Content-Type", "message/sip")],
        ue_register(aor, contact),
        To=f"<{aor}>",
        From=f"{s_cscf};tag=s",
    )
    assert core.ask(raw, stack.place).status == 200


def answers(core: SipPeer, invite: SipText) -> Says:
    """A 200 of a device with IPv6 only."""
    [line] = m_lines(invite.body)
    sdp = (
        "v=0\r\no=device 1 1 IN IP6 ::1\r\ns=-\r\nc=IN IP6 ::1\r\nt=0 0\r\n"
        "m=message 7394 TCP/MSRP *\r\na=recvonly\r\na=setup:passive\r\na=accept-types:*\r\n"
        f"a=path:msrp://{HOST}:7394/far;tcp\r\na=file-transfer-id:{line.value('file-transfer-id')}\r\n"
    )
    headers = {"Contact": f"<sip:device@{HOST}:{core.port}>", "Content-Type": "application/sdp"}
    return Says(200, "OK", headers, sdp.encode(), "device")


@pytest.mark.parametrize("host", [HOST, "[0:0:0:0::1]", "127.0.0.1"])
def test_we_know_our_own_address_in_each_spelling(stack: Stack6, core: SipPeer, host: str) -> None:
    asked = request("OPTIONS", f"sip:{host}:{stack.sip[1]}", shown(core))

    assert core.ask(asked, stack.place).status == 200


@pytest.mark.req("PSA-MSG-1", "PSA-REG-1")
def test_a_push_goes_by_the_s_cscf_that_registered_its_user(stack: Stack6, core: SipPeer) -> None:
    register(core, stack, "sip:alice@[2001:DB8:0::7]", "sip:alice@[2001:db8::7]:5092;transport=udp")

    result = stack.result(stack.submit("sip:alice@[2001:db8::7]", b"hello"))

    assert (result.state, result.method) == ("delivered", "MESSAGE")
    [message] = core.wait_for_push("sip:alice@[2001:db8::7]")
    assert message.header("Route") == f"<sip:[0:0::1]:{core.port};lr>"
    assert message.header("Via").startswith(f"SIP/2.0/UDP {HOST}:{stack.sip[1]};")
    assert f"icid-generated-at={HOST};" in message.header("P-Charging-Vector")
    assert message.header("Call-ID").endswith(f"@{HOST}")


@pytest.mark.req("SUB-1")
def test_a_device_subscribes_and_is_notified(stack: Stack6, core: SipPeer) -> None:
    subscribe = request(
        "SUBSCRIBE",
        PSA,
        shown(core),
        [
            ("Contact", f"<sip:bob@{HOST}:{core.port}>"),
            ("Event", CONTENT_EVENT),
            ("Accept-Contact", '*;+g.oma.pusheventapp="mms.ua"'),
            ("P-Asserted-Identity", "<sip:bob@home1.example>"),
            ("Record-Route", f"<sip:{HOST}:{core.port};lr;x=1>"),
        ],
        From="<sip:bob@home1.example>;tag=d",
    )

    answer = core.ask(subscribe, stack.place)

    assert (answer.status, answer.header("Contact")) == (200, f"<sip:{HOST}:{stack.sip[1]}>")
    wait_until(lambda: any(one.method == "NOTIFY" for one in core.requests), 5, "a NOTIFY")
    [notify] = [one for one in core.requests if one.method == "NOTIFY"]
    assert notify.start_line == f"NOTIFY sip:bob@{HOST}:{core.port} SIP/2.0"
    assert notify.header("Route") == f"<sip:{HOST}:{core.port};lr;x=1>"


@pytest.mark.req("PSA-MSRP-1")
def test_a_large_push_is_offered_and_agreed(stack: Stack6, core: SipPeer) -> None:
    employ(stack, WORKER._replace(uri=f"msrp://{HOST}:2855"))
    core.policy = lambda one: answers(core, one) if one.method == "INVITE" else OK
    aor = "sip:carol@home1.example"

    ref = stack.submit(aor, b"\x89PNG" * 1_000, app="large.ua", content_type="image/png")

    transferred(stack, aor, "large.ua", 0, CONFIRMED)
    assert stack.result(ref).state == "delivered"
    [invite] = [one for one in core.requests if one.method == "INVITE"]
    assert b"c=IN IP6 ::1\r\n" in invite.body
    assert m_lines(invite.body)[0].value("path").startswith(f"msrp://{HOST}:2855/")
    wait_until(lambda: any(one.method == "BYE" for one in core.requests), 5, "BYE")
    [bye] = [one for one in core.requests if one.method == "BYE"]
    assert bye.start_line == f"BYE sip:device@{HOST}:{core.port} SIP/2.0"
