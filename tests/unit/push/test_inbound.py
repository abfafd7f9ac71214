"""One decision for each request that reaches us."""

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omapush.push.inbound import (
    Answer,
    Capture,
    Drop,
    Hosted,
    InboundRequest,
    InSession,
    Notification,
    Relay,
    Subscription,
    decide,
    has_unknown_scheme,
    not_understood,
)

REQUEST = InboundRequest(
    method="MESSAGE", trusted=True, onward=False, for_us=False, in_dialog=False, went_through_us=False
)
METHODS = ["REGISTER", "MESSAGE", "INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "SUBSCRIBE", "X-UNHEARD-OF"]


def decided(method: str, hosted: str = "", **facts: Any) -> object:
    decision = decide(dataclasses.replace(REQUEST, method=method, hosted=hosted, **facts))
    return decision.status if isinstance(decision, Answer) else decision


@pytest.mark.req("PSA-GEN-2")
@pytest.mark.parametrize("method", METHODS)
def test_what_has_a_route_onward_goes_on_even_when_it_names_us(method: str) -> None:
    assert decided(method, onward=True) == Relay()
    assert decided(method, onward=True, for_us=True, went_through_us=True, in_dialog=True) == Relay()


@pytest.mark.parametrize("method", [method for method in METHODS if method not in ("OPTIONS", "ACK")])
def test_a_stranger_gets_403(method: str) -> None:
    for onward in (True, False):
        assert decided(method, trusted=False, onward=onward, for_us=True) == 403


def test_a_stranger_may_ask_with_options_but_not_have_it_relayed() -> None:
    assert decided("OPTIONS", trusted=False, for_us=True) == 200
    assert decided("OPTIONS", trusted=False, for_us=True, onward=True) == 403


def test_nothing_answers_an_ack() -> None:
    assert decided("ACK") == Drop()
    assert decided("ACK", trusted=False, onward=True) == Drop()


@pytest.mark.req("PSA-REG-1")
def test_a_register_from_the_core_is_captured() -> None:
    assert decided("REGISTER") == Capture()


@pytest.mark.parametrize(
    ("method", "facts", "status"),
    [
        ("MESSAGE", {}, 404),
        ("MESSAGE", {"went_through_us": True}, 482),
        ("MESSAGE", {"for_us": True}, 405),
        ("CANCEL", {"for_us": True}, 481),
        ("CANCEL", {"for_us": True, "in_dialog": True}, 481),
        ("NOTIFY", {"for_us": True}, 481),
        ("X-UNHEARD-OF", {"for_us": True}, 405),
        ("OPTIONS", {"for_us": True}, 200),
    ],
)
def test_what_ends_here_is_answered(method: str, facts: dict[str, bool], status: int) -> None:
    assert decided(method, "", **facts) == status


@pytest.mark.parametrize("method", ["BYE", "INVITE", "UPDATE", "INFO", "MESSAGE", "PUBLISH", "X-UNHEARD-OF"])
def test_whether_a_request_in_a_dialog_is_in_one_of_ours_is_for_its_session_to_say(method: str) -> None:
    assert decided(method, for_us=True, in_dialog=True) == InSession()


@pytest.mark.req("PRA-GEN-2")
def test_a_push_for_a_hosted_application_is_taken_from_trusted_peers_outside_of_dialogs() -> None:
    taken = Hosted("mms.ua")
    assert decided("MESSAGE", "mms.ua", onward=True) == taken
    assert decided("MESSAGE", "mms.ua", for_us=True) == taken
    assert decided("MESSAGE", "mms.ua") == 404
    assert decided("MESSAGE", "mms.ua", onward=True, in_dialog=True) == Relay()
    assert decided("MESSAGE", "mms.ua", onward=True, trusted=False) == 403


@pytest.mark.req("PROP-CAP-2")
def test_a_subscribe_for_us_is_looked_at_in_a_dialog_and_out_of_one() -> None:
    assert decided("SUBSCRIBE", for_us=True) == Subscription()
    assert decided("SUBSCRIBE", for_us=True, in_dialog=True) == Subscription()
    assert decided("SUBSCRIBE") == 404


def test_a_405_says_what_we_take() -> None:
    decision = decide(dataclasses.replace(REQUEST, for_us=True))
    assert isinstance(decision, Answer)
    assert decision.headers == (("Allow", "REGISTER, OPTIONS, SUBSCRIBE, NOTIFY"),)


@given(st.builds(InboundRequest, st.sampled_from(METHODS) | st.text(), *[st.booleans()] * 5))
def test_every_request_gets_exactly_one_decision_and_only_an_ack_silence(request: InboundRequest) -> None:
    decision = decide(request)

    assert isinstance(decision, (Answer, Relay, Capture, Subscription, Notification, InSession, Drop))
    assert not isinstance(decision, Drop) or request.method == "ACK"
    assert isinstance(decision, (Answer, Drop)) or request.trusted


def test_an_extension_that_we_lack_is_refused_where_a_request_ends_but_in_no_register() -> None:
    """A refused third-party REGISTER would end the user's registration by the criteria's default handling."""
    lacking = dataclasses.replace(REQUEST, unsupported=("nothing",), for_us=True)
    for method in ("OPTIONS", "SUBSCRIBE", "MESSAGE", "INVITE"):
        refused = Answer(420, "Bad Extension", (("Unsupported", "nothing"),))
        assert decide(dataclasses.replace(lacking, method=method)) == refused
    assert decide(dataclasses.replace(lacking, method="REGISTER")) == Capture()
    assert decide(dataclasses.replace(lacking, method="ACK")) == Drop()
    assert decide(dataclasses.replace(lacking, for_us=False, onward=True)) == Relay()


def test_option_tags_are_read_whatever_their_case_and_spaces() -> None:
    assert not_understood("") == ()
    assert not_understood("Pref,path ,, ") == ()
    assert not_understood("a, pref,B") == ("a", "B")
    assert len(not_understood(",".join(f"t{n}" for n in range(10_000)))) <= 32


@pytest.mark.parametrize(
    ("uri", "unknown"),
    [
        ("soap.beep://192.0.2.103:3002", True),
        ("nobodyKnowsThisScheme:totallyopaquecontent", True),
        ("im:alice@home1.example", True),
        ("SIP:alice@home1.example", False),
        ("tel:+15550100", False),
        ("<sip:alice@home1.example>", False),
        ("no scheme", False),
        ("1x:y", False),
        ("", False),
    ],
)
def test_a_scheme_that_we_do_not_have_is_told_from_what_is_no_uri(uri: str, unknown: bool) -> None:
    assert has_unknown_scheme(uri) is unknown
