"""Whether a MESSAGE is sent, refused or held: the profile's rules on what is known of the devices."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omapush.push.device_choice import Devices, Presence
from omapush.push.method_choice import Choice, Rule, Rules, choose
from omapush.push.request import Request

REQUEST = Request(
    "MESSAGE", "sip:a@b.example", "sip:psa@b.example", "sip:a@b.example", "", "id", "", b"", 900
)
PRESENCES: tuple[Presence, ...] = get_args(Presence)
RULES: tuple[Rule, ...] = get_args(Rule)


def chosen(
    presence: Presence, *, unregistered: Rule = "send", no_match: Rule = "send", limit: int = 1_300
) -> Choice:
    return choose(REQUEST, Devices(presence, "so it is"), Rules(unregistered, no_match, limit))


def code(choice: Choice) -> str:
    return choice.outcome.code if choice.outcome else ""


@pytest.mark.req("MSG-SIZE", "GEN-1")
def test_a_request_above_the_limit_needs_another_method() -> None:
    assert chosen("fits", limit=900).method == "MESSAGE"
    too_large = chosen("fits", limit=899)
    assert (too_large.method, code(too_large)) == (None, "2006")
    assert "needs another method" in too_large.why


def test_headers_or_a_uri_beyond_what_kamailio_takes_are_refused() -> None:
    for request in (
        REQUEST._replace(headers="X: " + "y" * 2_048),
        REQUEST._replace(request_uri="sip:" + "u" * 1_024),
    ):
        choice = choose(request, Devices("fits", ""), Rules("send", "send", 100_000))
        assert (choice.method, code(choice)) == (None, "2006")


@pytest.mark.req("PROP-ARI-5", "PSA-MSG-4")
@pytest.mark.parametrize(("presence", "code_of_refusal"), [("unregistered", "2003"), ("none fits", "2006")])
def test_a_refusal_says_whether_nobody_is_there_or_nobody_has_the_application(
    presence: Presence, code_of_refusal: str
) -> None:
    choice = chosen(presence, unregistered="refuse", no_match="refuse")

    assert (choice.method, choice.hold, code(choice)) == (None, False, code_of_refusal)
    assert choice.outcome is not None
    assert choice.outcome.state == "undeliverable"
    assert choice.why.startswith("so it is")


@pytest.mark.parametrize("presence", ["unregistered", "none fits"])
def test_what_may_be_held_is_held_without_a_result(presence: Presence) -> None:
    choice = chosen(presence, unregistered="hold", no_match="hold")

    assert choice == Choice(None, "so it is", None, hold=True)


def test_what_could_never_be_sent_is_not_held() -> None:
    choice = chosen("none fits", no_match="hold", limit=899)

    assert (choice.hold, code(choice)) == (False, "2006")


@pytest.mark.parametrize("presence", ["unregistered", "none fits"])
def test_what_is_sent_without_a_known_device_says_that_the_core_decides(presence: Presence) -> None:
    choice = chosen(presence)

    assert (choice.method, choice.why) == ("MESSAGE", "900 of 1300 bytes, so it is, the core decides")


@pytest.mark.parametrize("rule", RULES)
def test_a_device_that_fits_is_sent_to_whatever_the_rules(rule: Rule) -> None:
    choice = chosen("fits", unregistered=rule, no_match=rule)

    assert (choice.method, choice.why) == ("MESSAGE", "900 of 1300 bytes, so it is")


@pytest.mark.parametrize("rule", RULES)
def test_devices_that_were_never_shown_are_left_to_the_core(rule: Rule) -> None:
    assert chosen("unknown", unregistered=rule, no_match=rule).method == "MESSAGE"


@given(st.sampled_from(PRESENCES), st.sampled_from(RULES), st.sampled_from(RULES), st.integers(400, 1_300))
def test_exactly_one_thing_happens_and_there_is_a_reason(
    presence: Presence, unregistered: Rule, no_match: Rule, limit: int
) -> None:
    choice = chosen(presence, unregistered=unregistered, no_match=no_match, limit=limit)

    assert [choice.method is not None, choice.outcome is not None, choice.hold].count(True) == 1
    assert choice.why
