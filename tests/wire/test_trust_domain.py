"""Where the trust domain ends: who is believed, what stays inside, and that we are no open relay."""

from collections.abc import Iterator

import pytest

from tests.fakes.sip_text import SipText
from tests.harness.sip_peer import Says, SipPeer
from tests.harness.stack import Stack
from tests.harness.wait import wait_until
from tests.wire.requests import MARK, isc_route, register, request

pytestmark = pytest.mark.req("SEC-4")

INSIDE = {
    "P-Charging-Vector": 'icid-value="secret";orig-ioi="Type 3home1.example"',
    "P-Charging-Function-Addresses": "ccf=192.0.2.1",
    "P-Access-Network-Info": "3GPP-UTRAN-TDD;utran-cell-id-3gpp=234151D0FCE11;network-provided",
    "P-Visited-Network-ID": '"home1.example"',
    "P-Served-User": "<sip:alice@home1.example>;sescase=term;regstate=reg",
    "P-Preferred-Identity": "<sip:hint@home1.example>",
}
IDENTITY = {"P-Asserted-Identity": "<sip:someone@home1.example>"}


@pytest.fixture
def outside() -> Iterator[SipPeer]:
    """A host that belongs to no trust domain: only 127.0.0.1 does."""
    with SipPeer(host="127.0.0.2") as peer:
        yield peer


def expect_life(stack: Stack, core: SipPeer) -> None:
    """Workers answer, and whatever came before them has been dealt with."""
    for _ in range(4):
        assert core.ask(request("OPTIONS", "sip:psa@home1.example", core.address), stack.sip).status == 200


def relayed(stack: Stack, core: SipPeer, uri: str, routes: str, **headers: str) -> SipText:
    """A request of the S-CSCF along `routes`; returns its answer."""
    named = [("Route", f"<sip:{stack.sip[0]}:{stack.sip[1]};lr>, {routes}")]
    named += [
        (name.replace("_", "-"), value) for name, value in (INSIDE | IDENTITY | headers).items() if value
    ]
    return core.ask(request("MESSAGE", uri, core.address, named, b"x"), stack.sip)


# What stays inside ----------------------------------------------------------------------------------


@pytest.mark.req("SEC-4", "PSA-GEN-2")
def test_inside_the_domain_nothing_is_taken_away(stack: Stack, core: SipPeer) -> None:
    uri = "sip:inside@home1.example"
    assert (
        relayed(stack, core, uri, f"<sip:{core.address[0]}:{core.port};{MARK}>", Privacy="id").status == 200
    )

    (came,) = core.pushes(uri)
    assert {name: came.header(name) for name in INSIDE | IDENTITY} == INSIDE | IDENTITY
    assert came.header("Privacy") == "id"


@pytest.mark.parametrize(
    ("privacy", "identity"),
    [
        ("", True),
        ("none", True),
        ("id", False),
        ("header; id;critical", False),
        ("none, id", True),
        ("user", False),
    ],
)
def test_what_leaves_the_domain_loses_what_is_the_operators_and_the_identity_as_privacy_says(
    stack: Stack, core: SipPeer, outside: SipPeer, privacy: str, identity: bool
) -> None:
    uri = f"sip:leaving-{len(privacy)}@other.example"
    answer = relayed(stack, core, uri, f"<sip:127.0.0.2:{outside.port};lr>", Privacy=privacy, X_Kept="yes")

    assert answer.status == 200
    (came,) = outside.pushes(uri)
    assert [name for name in INSIDE if came.all(name)] == []
    assert came.all("P-Asserted-Identity") == ([IDENTITY["P-Asserted-Identity"]] if identity else [])
    assert (came.header("X-Kept"), came.body) == ("yes", b"x")


def test_what_leaves_by_its_request_uri_is_stripped_too(
    stack: Stack, core: SipPeer, outside: SipPeer
) -> None:
    """A Route of two values, both ours: what is left is the Request-URI."""
    uri = f"sip:gone@127.0.0.2:{outside.port}"
    own = f"<sip:{stack.sip[0]}:{stack.sip[1]};lr>"
    relayed(stack, core, uri, own, Privacy="id")

    expect_life(stack, core)
    for came in outside.pushes(uri):
        assert [name for name in INSIDE | IDENTITY if came.all(name)] == []


def test_an_answer_from_outside_may_assert_nobody(stack: Stack, core: SipPeer, outside: SipPeer) -> None:
    outside.policy = lambda _: Says(202, "Accepted", {**INSIDE, **IDENTITY, "X-Kept": "yes"})
    answer = relayed(stack, core, "sip:answered@other.example", f"<sip:127.0.0.2:{outside.port};lr>")

    assert answer.status == 202
    assert [name for name in INSIDE | IDENTITY if answer.all(name)] == []
    assert answer.header("X-Kept") == "yes"


@pytest.mark.req("SEC-8", "SEC-11", "PSA-MSG-5")
def test_our_own_message_asserts_who_pushes_inside_and_nobody_outside(
    stack: Stack, core: SipPeer, outside: SipPeer
) -> None:
    """A REGISTER of a trusted peer may name an S-CSCF anywhere: that does not move the border."""
    inside_ref = stack.submit("sip:in@home1.example")
    (own,) = core.wait_for_push("sip:in@home1.example")
    assert own.header("P-Asserted-Identity") == "<sip:mmsc@home1.example>"
    assert own.header("P-Charging-Vector")
    assert stack.result(inside_ref).state == "delivered"

    aor = "sip:roaming@home1.example"
    elsewhere = [("Contact", f"<sip:127.0.0.2:{outside.port}>")]
    raw = register(aor, core).replace(
        f"Contact: <sip:127.0.0.1:{core.port}>".encode(), f"Contact: {elsewhere[0][1]}".encode()
    )
    assert core.ask(raw, stack.sip).status == 200
    ref = stack.submit(aor)
    (left,) = outside.wait_for_push(aor)
    assert [name for name in INSIDE | IDENTITY if left.all(name)] == []
    assert left.header("Accept-Contact")
    assert stack.result(ref).state == "delivered"


# Who is believed ------------------------------------------------------------------------------------


@pytest.mark.req("SEC-4", "SEC-10")
@pytest.mark.parametrize(
    "method", ["MESSAGE", "SUBSCRIBE", "NOTIFY", "REGISTER", "INVITE", "BYE", "REFER", "PUBLISH"]
)
def test_a_stranger_gets_403_whatever_identity_it_asserts(
    stack: Stack, outside: SipPeer, core: SipPeer, method: str
) -> None:
    for uri in ("sip:psa@home1.example", "sip:alice@home1.example"):
        raw = request(
            method,
            uri,
            outside.address,
            [*IDENTITY.items(), *INSIDE.items(), ("Route", isc_route(stack.sip, core)), ("Event", "reg")],
        )
        assert outside.ask(raw, stack.sip).status == 403
    assert [one for one in core.requests if one.method == method] == []


# No open relay --------------------------------------------------------------------------------------


USER = "sip:alice@home1.example"
# Request-URI and Route; {ours} and {theirs} are host and port of us and of the victim, {host} its host.
WAYS = {
    "by its request-uri": ("sip:victim@{theirs}", ""),
    "by its bare request-uri": ("sip:{theirs}", ""),
    "by a route without ours": (USER, "<sip:{theirs};lr>"),
    "by a strict route": ("sip:{ours}", "<sip:{theirs}>"),
    "by a strict route to a user": ("sip:{ours};lr", "<sip:victim@{theirs}>"),
    "behind our own route": ("sip:victim@{theirs}", "<sip:{ours};lr>"),
    "by maddr in the request-uri": ("sip:victim@home1.example;maddr={host}", ""),
    "by maddr in our route": (USER, "<sip:{ours};maddr={host};lr>"),
    "by received in our route": (USER, "<sip:{ours};received=sip:{theirs};lr>"),
    "by a route in the request-uri": (USER + "?Route=%3Csip:{theirs};lr%3E", ""),
    "by a route of our identity": ("sip:victim@{theirs}", "<sip:psa@home1.example;lr>"),
}


@pytest.mark.req("SEC-4")
@pytest.mark.parametrize("way", WAYS)
def test_nobody_makes_us_send_where_no_route_behind_ours_leads(
    stack: Stack, core: SipPeer, outside: SipPeer, way: str
) -> None:
    """Not even a peer of the domain: only a Route value behind our own leads on."""
    words = {
        "ours": f"{stack.sip[0]}:{stack.sip[1]}",
        "theirs": f"127.0.0.2:{outside.port}",
        "host": "127.0.0.2",
    }
    uri, route = (text.format(**words) for text in WAYS[way])
    headers = [("Route", route)] if route else []
    for method in ("MESSAGE", "INVITE", "ACK", "X-ODD"):
        core.send(request(method, uri, core.address, headers), stack.sip)

    wait_until(lambda: len({one.method for one in core.responses}) >= 3, 5, "answers")
    expect_life(stack, core)
    assert outside.requests == []
    assert {one.status for one in core.responses if one.method != "OPTIONS"} <= {404, 405, 416, 482, 400, 481}


@pytest.mark.req("SEC-4")
def test_a_stranger_reaches_nobody_by_any_way(stack: Stack, core: SipPeer, outside: SipPeer) -> None:
    ours = f"{stack.sip[0]}:{stack.sip[1]}"
    with SipPeer(host="127.0.0.3") as victim:
        theirs = f"127.0.0.3:{victim.port}"
        ways = [
            ("sip:alice@home1.example", [("Route", f"<sip:{ours};lr>, <sip:{theirs};lr>")]),
            ("sip:alice@home1.example", [("Route", f"<sip:{ours};lr>"), ("Route", f"<sip:{theirs};lr>")]),
            (f"sip:victim@{theirs}", [("Route", f"<sip:{ours};lr>")]),
            (f"sip:victim@{theirs}", []),
        ]
        for method in ("MESSAGE", "INVITE", "ACK", "CANCEL", "BYE", "OPTIONS"):
            for uri, headers in ways:
                outside.send(request(method, uri, outside.address, headers), stack.sip)
        expect_life(stack, core)
        assert victim.requests == []
        assert {one.status for one in outside.responses} == {403}
