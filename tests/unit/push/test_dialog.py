"""A dialog as a value: who is who, which way requests go, and what numbers they have."""

import pytest

from omapush.errors import MalformedSip, TooLarge
from omapush.push.dialog import (
    NOT_HEARD,
    Dialog,
    Heard,
    answered,
    begin,
    compose,
    is_lower,
    learn,
    learn_from_answer,
)

TARGET = "<sip:reg@10.0.0.1;transport=udp>"


def begun() -> Dialog:
    return begin(
        call_id="c@h", local_uri="sip:psa@x", local_tag="l", remote_uri="sip:a@x", route=("sip:s.x;lr",)
    )


def established(record_route: str = "") -> Dialog:
    return learn(begun(), Heard("r", 4, TARGET, record_route))


def test_a_request_that_creates_a_dialog_goes_to_the_user_along_the_given_way() -> None:
    request, after = compose(begun(), "SUBSCRIBE", ["Event: reg"])

    assert (request.request_uri, request.next_hop, request.to_uri) == ("sip:a@x", "sip:s.x;lr", "sip:a@x")
    assert request.headers == "Route: <sip:s.x;lr>\r\nEvent: reg\r\n"
    assert request.dialog == ("l", "", 1)
    assert after.local_cseq == 1


def test_the_first_request_of_the_peer_brings_tag_routes_and_target() -> None:
    dialog = established("<sip:p1;lr>, <sip:p2;lr>")
    request, _ = compose(dialog, "SUBSCRIBE", [])

    assert (dialog.remote_tag, dialog.remote_cseq) == ("r", 4)
    assert request.request_uri == "sip:reg@10.0.0.1;transport=udp"
    assert request.headers == "Route: <sip:p1;lr>\r\nRoute: <sip:p2;lr>\r\n"
    assert request.next_hop == "sip:p1;lr"


def test_a_later_request_moves_the_target_and_never_the_routes() -> None:
    dialog = learn(established("<sip:p1;lr>"), Heard("r", 5, "<sip:other@x>", "<sip:p9;lr>"))

    assert (dialog.route_set, dialog.remote_target, dialog.remote_cseq) == (("sip:p1;lr",), "sip:other@x", 5)
    assert learn(dialog, Heard("r", 6, "", "")).remote_target == "sip:other@x"


def test_a_strict_router_gets_the_request_uri_and_the_target_goes_last() -> None:
    """RFC 3261 12.2.1.1."""
    request, _ = compose(established("<sip:strict.x>, <sip:p2;lr>"), "NOTIFY", [])

    assert (request.request_uri, request.next_hop) == ("sip:strict.x", "sip:strict.x")
    assert request.headers == "Route: <sip:p2;lr>\r\nRoute: <sip:reg@10.0.0.1;transport=udp>\r\n"


def test_without_routes_a_request_goes_to_the_target() -> None:
    request, _ = compose(established(), "NOTIFY", ["Event: reg"])

    assert request.next_hop == request.request_uri == "sip:reg@10.0.0.1;transport=udp"


def test_a_200_before_any_request_of_the_peer_tells_its_tag_only() -> None:
    dialog = learn_from_answer(begun(), Heard("r", 0, TARGET, ""))
    assert (dialog.remote_tag, dialog.remote_target, dialog.remote_cseq) == ("r", "sip:a@x", NOT_HEARD)

    assert learn_from_answer(established(), Heard("r", 0, "<sip:new@x>", "")).remote_target == "sip:new@x"


def test_a_200_of_a_fork_does_not_move_the_dialog_of_another() -> None:
    """RFC 6665 4.4.1: the NOTIFY that came first has made the dialog; the 200 may be of anybody."""
    assert learn_from_answer(established(), Heard("fork", 0, "<sip:fork@x>", "")) == established()


def test_a_cseq_goes_up_or_is_repeated() -> None:
    assert [is_lower(established(), cseq) for cseq in (3, 4, 5)] == [True, False, False]
    assert not is_lower(begun(), 0)


def test_a_dialog_that_we_answered_needs_the_peers_contact() -> None:
    said = Heard("r", 1, TARGET, "<sip:p1;lr>")
    dialog = answered(call_id="c", local_uri="sip:psa@x", local_tag="l", remote_uri="sip:a@x", heard=said)
    assert (dialog.remote_tag, dialog.route_set, dialog.local_cseq) == ("r", ("sip:p1;lr",), 0)

    with pytest.raises(MalformedSip, match="Contact"):
        answered(call_id="c", local_uri="l", local_tag="l", remote_uri="r", heard=said._replace(contact=""))


@pytest.mark.parametrize(
    ("contact", "record_route"),
    [
        ("<<", ""),
        (TARGET, "<sip:p1"),
        (TARGET, ", ".join(["<sip:p;lr>"] * 33)),
        (f"<sip:{'a' * 1100}@x>", ""),
        ("<tel:+1555>", ""),
        ("<urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6>", ""),
    ],
)
def test_what_cannot_be_read_is_a_typed_error(contact: str, record_route: str) -> None:
    with pytest.raises(MalformedSip):
        learn(begun(), Heard("r", 1, contact, record_route))


def test_maddr_is_where_a_request_is_sent_and_stays_in_its_request_uri() -> None:
    """RFC 3261 19.1.1."""
    bare = learn(begun()._replace(route_set=()), Heard("r", 4, "<sip:a@far.x:5062;maddr=192.0.2.7>", ""))
    request, _ = compose(bare, "NOTIFY", [])
    assert (request.request_uri, request.next_hop) == (
        "sip:a@far.x:5062;maddr=192.0.2.7",
        "sip:192.0.2.7:5062",
    )

    routed, _ = compose(established("<sip:p1;lr;maddr=192.0.2.8>"), "NOTIFY", [])
    assert (routed.next_hop, routed.headers) == (
        "sip:192.0.2.8;lr",
        "Route: <sip:p1;lr;maddr=192.0.2.8>\r\n",
    )


def test_a_route_set_that_is_longer_than_we_keep_is_refused() -> None:
    """Better than a dialog in which nothing can be sent."""

    def taken(number: int) -> Dialog:
        said = Heard("r", 1, TARGET, ", ".join([f"<sip:{'p' * 500};lr>"] * number))
        return answered(call_id="c", local_uri="sip:psa@x", local_tag="l", remote_uri="sip:a@x", heard=said)

    assert len(taken(15).route_set) == 15
    with pytest.raises(MalformedSip, match="more than 8192 bytes"):
        taken(16)


@pytest.mark.parametrize("length", [100, 900])
def test_routes_for_which_kamailio_has_no_room_are_apart_from_the_other_headers(length: int) -> None:
    route = f"sip:{'p' * length};lr"
    request, _ = compose(established()._replace(route_set=(route,) * 3), "BYE", ["X: y"])
    lines, last = f"Route: <{route}>\r\n" * 3, "X: y\r\n"

    assert (request.routes, request.headers) == (("", lines + last) if length == 100 else (lines, last))
    assert 3 * length < request.size < 5 * length + 600


def test_what_kamailio_cannot_send_is_a_typed_error() -> None:
    with pytest.raises(TooLarge):
        compose(established(), "NOTIFY", ["X: " + "x" * 2_048])
    with pytest.raises(TooLarge):
        compose(begun()._replace(remote_uri="sip:" + "x" * 1_100), "NOTIFY", [])


@pytest.mark.parametrize("routes", ["", "<sip:p1;lr>", "<sip:strict.x;method=INVITE?Subject=x>"])
def test_headers_and_method_of_a_contact_are_in_no_request(routes: str) -> None:
    """RFC 3261 19.1.1: neither in a Request-URI nor in a Route."""
    said = Heard("r", 4, "<sip:a@10.0.0.1;method=INVITE;x=1?Route=%3Csip:evil%3E&Subject=hi>", routes)

    request, _ = compose(learn(begun(), said), "NOTIFY", [])

    assert "sip:a@10.0.0.1;x=1" in (request.request_uri, request.headers[8:-3])
    assert not any(word in f"{request}" for word in ("evil", "Subject", "method=INVITE"))
