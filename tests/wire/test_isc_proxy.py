"""Requests of other people that filter criteria bring through us go on along their route as they came."""

import pytest

from tests.fakes.sip_text import SipText
from tests.harness.sip_peer import Says, SipPeer
from tests.harness.stack import Stack
from tests.harness.wait import wait_until
from tests.wire.requests import MARK, isc_route, request

pytestmark = pytest.mark.req("PSA-GEN-2")

SERVED = (
    ("P-Served-User", "<sip:alice@ims.lab>;sescase=term;regstate=reg"),
    ("P-Served-User", "<sip:someone@ims.lab>;sescase=orig;regstate=reg"),
)


def onward(stack: Stack, core: SipPeer, method: str, aor: str) -> tuple[SipText, SipText, SipText]:
    """Send a request as the S-CSCF does; returns it as sent, as it came back there, and its answer."""
    headers = [
        ("Route", isc_route(stack.sip, core)),
        *SERVED,
        ("X-Odd", 'a "b", <c>;d'),
        ("Content-Type", "a/b"),
    ]
    sent = request(method, aor, core.address, headers, b"\0not \xff ours")
    answer = core.ask(sent, stack.sip)
    (came,) = core.pushes(aor)
    return SipText.parse(sent), came, answer


@pytest.mark.req("PSA-GEN-1")
@pytest.mark.parametrize(
    "method", ["MESSAGE", "SUBSCRIBE", "NOTIFY", "OPTIONS", "PUBLISH", "REFER", "X-UNHEARD-OF"]
)
def test_a_request_goes_on_with_nothing_changed_but_via_hops_and_our_own_route(
    stack: Stack, core: SipPeer, method: str
) -> None:
    """As recorded at a Kamailio S-CSCF: the mark stays, or the criteria would run again."""
    sent, came, answer = onward(stack, core, method, f"sip:{method}@ims.lab")

    assert came.start_line == sent.start_line
    assert came.body == sent.body
    assert came.all("Route") == [f"<sip:iscmark@127.0.0.1:{core.port};{MARK}>"]
    assert came.header("Max-Forwards") == "69"
    assert came.all("Via")[1:] == sent.all("Via")
    own = f"SIP/2.0/UDP 127.0.0.1:{stack.sip[1]};branch="
    assert came.all("Via")[0].startswith(own)
    touched = ("route", "via", "max-forwards")
    assert [one for one in came.headers if one[0] not in touched] == [
        one for one in sent.headers if one[0] not in touched
    ]
    assert (answer.status, answer.all("Via")) == (200, sent.all("Via"))


def test_the_answer_of_the_other_side_goes_back_as_it_is(stack: Stack, core: SipPeer) -> None:
    core.policy = lambda _: Says(486, "Busy Elsewhere", {"Retry-After": "17", "X-Kept": "yes"})

    _, _, answer = onward(stack, core, "MESSAGE", "sip:answered@ims.lab")

    assert answer.start_line == "SIP/2.0 486 Busy Elsewhere"
    assert (answer.header("Retry-After"), answer.header("X-Kept")) == ("17", "yes")


def test_our_own_message_that_comes_back_by_the_criteria_goes_on(stack: Stack, core: SipPeer) -> None:
    """The S-CSCF may trigger on the MESSAGE that we originated: it must not end here, nor loop."""
    ref = stack.submit("sip:boomerang@home1.example")
    (own,) = core.wait_for_push("sip:boomerang@home1.example")
    via = f"SIP/2.0/UDP 127.0.0.1:{core.port};branch=z9hG4bKback"
    headers = [header for header in own.headers if header[0] not in ("route", "content-length")]
    triggered = SipText.parse(
        request("MESSAGE", "sip:boomerang@home1.example", core.address)  # only for its start line
    ).start_line
    lines = [triggered, f"Via: {via}", f"Route: {isc_route(stack.sip, core)}"]
    lines += [f"{name}: {value}" for name, value in headers] + [f"Content-Length: {len(own.body)}", "", ""]

    answer = core.ask("\r\n".join(lines).encode() + own.body, stack.sip)

    assert answer.status == 200
    first, again = core.pushes("sip:boomerang@home1.example")
    assert again.header("Call-ID") == first.header("Call-ID")
    assert again.all("Route") == [f"<sip:iscmark@127.0.0.1:{core.port};{MARK}>"]
    assert stack.result(ref).state == "delivered"


def test_the_same_call_id_twice_with_other_branches_is_no_merged_request(stack: Stack, core: SipPeer) -> None:
    """Both ends are served by us: the criteria of each bring the request once."""
    for _ in range(2):
        sent = request(
            "MESSAGE",
            "sip:both@ims.lab",
            core.address,
            [("Route", isc_route(stack.sip, core))],
            Call_ID="same",
            From="<sip:a@ims.lab>;tag=same",
        )
        assert core.ask(sent, stack.sip).status == 200

    assert len(core.pushes("sip:both@ims.lab")) == 2


def test_a_request_that_has_no_hop_left_ends_here(stack: Stack, core: SipPeer) -> None:
    headers = [("Route", isc_route(stack.sip, core))]
    answer = core.ask(
        request("MESSAGE", "sip:tired@ims.lab", core.address, headers, Max_Forwards="0"), stack.sip
    )

    assert answer.status == 483
    assert core.pushes("sip:tired@ims.lab") == []


def test_a_request_without_a_route_onward_is_refused_and_not_relayed_by_its_uri(
    stack: Stack, core: SipPeer
) -> None:
    """Relaying by Request-URI would make us an open relay."""
    uri = f"sip:stray@127.0.0.1:{core.port}"
    answer = core.ask(request("MESSAGE", uri, core.address), stack.sip)

    assert (answer.status, core.pushes(uri)) == (404, [])


def test_a_route_that_starts_with_another_leads_nowhere_from_here(stack: Stack, core: SipPeer) -> None:
    """Kamailio would follow it, and so relay for anybody whom a trusted peer relays for."""
    headers = [("Route", f"<sip:elsewhere@127.0.0.1:{core.port};lr>")]
    uri = "sip:astray@ims.lab"
    answer = core.ask(request("MESSAGE", uri, core.address, headers), stack.sip)

    assert (answer.status, core.pushes(uri)) == (404, [])


@pytest.mark.parametrize("separate", [False, True])
def test_a_route_with_our_identity_is_ours(stack: Stack, core: SipPeer, separate: bool) -> None:
    uri = f"sip:by-identity-{separate}@ims.lab"
    own, mark = "<sip:psa@HOME1.example;lr>", f"<sip:iscmark@127.0.0.1:{core.port};{MARK}>"
    routes = [("Route", own), ("Route", mark)] if separate else [("Route", f"{own}, {mark}")]
    answer = core.ask(request("MESSAGE", uri, core.address, routes, b"\0 \xff"), stack.sip)
    (came,) = core.pushes(uri)

    assert (answer.status, came.all("Route"), came.body) == (200, [mark], b"\0 \xff")


def test_a_route_with_our_identity_alone_leads_nowhere(stack: Stack, core: SipPeer) -> None:
    uri = f"sip:nobody@127.0.0.1:{core.port}"
    headers = [("Route", "<sip:psa@home1.example;lr>")]
    answer = core.ask(request("MESSAGE", uri, core.address, headers), stack.sip)

    assert (answer.status, core.pushes(uri)) == (404, [])


def test_a_relayed_requests_odd_uris_are_none_of_our_business(stack: Stack, core: SipPeer) -> None:
    """RFC 3261 16.3: a proxy does not reject what it does not need."""
    uri = "sip:odd@ims.lab"
    headers = [("Route", isc_route(stack.sip, core)), ("Expires", "99999999999999")]
    odd = "<nobody:xyz>;tag=1"
    answer = core.ask(request("MESSAGE", uri, core.address, headers, From=odd), stack.sip)
    (came,) = core.pushes(uri)

    assert (answer.status, came.header("From"), came.header("Expires")) == (200, odd, "99999999999999")
    here = request("MESSAGE", "sip:psa@home1.example", core.address, From=odd)
    assert core.ask(here, stack.sip).status == 400


def test_a_method_that_is_not_utf_8_goes_on(stack: Stack, core: SipPeer) -> None:
    headers = [("Route", isc_route(stack.sip, core))]
    sent = request("FOO", "sip:bytes@ims.lab", core.address, headers).replace(b"FOO", b"FO\xff")
    core.send(sent, stack.sip)
    wait_until(lambda: bool(core.requests), 5, "the request")

    (came,) = core.requests
    assert came.all("Route") == [f"<sip:iscmark@127.0.0.1:{core.port};{MARK}>"]
    assert came.header("Call-ID") == SipText.parse(sent).header("Call-ID")


@pytest.mark.parametrize("hop", ["no-such-host.invalid", "127.0.0.1:1;transport=tls"])
def test_a_next_hop_that_cannot_be_reached_is_told_with_503(stack: Stack, core: SipPeer, hop: str) -> None:
    own = f"<sip:{stack.sip[0]}:{stack.sip[1]};lr>"
    headers = [("Route", f"{own}, <sip:{hop};lr>")]
    answer = core.ask(request("MESSAGE", "sip:unreached@ims.lab", core.address, headers), stack.sip, 15)

    assert answer.start_line == "SIP/2.0 503 Next Hop Unreachable"
    assert len([one for one in core.responses if one.status >= 200]) == 1


def test_a_name_that_dns_does_not_know_is_looked_up_once_however_many_requests_lead_there(
    stack: Stack, core: SipPeer
) -> None:
    """And not by the SIP worker, which would serve nobody meanwhile."""
    name = "gone.no-such-host.invalid"
    headers = [("Route", f"<sip:{stack.sip[0]}:{stack.sip[1]};lr>, <sip:{name};lr>")]
    for user in ("first", "second", "third"):
        sent = request("MESSAGE", f"sip:{user}@ims.lab", core.address, headers)
        assert core.ask(sent, stack.sip, 15).start_line == "SIP/2.0 503 Next Hop Unreachable"

    log = stack.parts["sip"].log_text()
    assert "could not resolve hostname" not in log
    assert log.count(f"event=next_hop_not_found name={name}") == 1


def test_a_request_that_went_through_us_and_leads_nowhere_is_a_loop(stack: Stack, core: SipPeer) -> None:
    headers = [("Via", f"SIP/2.0/UDP 127.0.0.1:{stack.sip[1]};branch=z9hG4bKours")]
    answer = core.ask(request("MESSAGE", "sip:looped@ims.lab", core.address, headers), stack.sip)

    assert answer.status == 482


def test_a_stranger_gets_nothing_relayed(stack: Stack, core: SipPeer) -> None:
    with SipPeer(host="127.0.0.2") as stranger:
        headers = [("Route", isc_route(stack.sip, core))]
        answer = stranger.ask(request("MESSAGE", "sip:spam@ims.lab", stranger.address, headers), stack.sip)

    assert (answer.status, core.pushes("sip:spam@ims.lab")) == (403, [])


def test_the_response_to_a_repeated_request_is_repeated_and_nothing_sent_twice(
    stack: Stack, core: SipPeer
) -> None:
    sent = request("MESSAGE", "sip:twice@ims.lab", core.address, [("Route", isc_route(stack.sip, core))])

    assert core.ask(sent, stack.sip).status == 200
    assert core.ask(sent, stack.sip).status == 200
    assert len(core.pushes("sip:twice@ims.lab")) == 1
