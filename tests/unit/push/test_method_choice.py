"""Which method carries a push: subscriptions, referrals, and the profile's rules on what is known."""

from functools import partial
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from omapush.push import referral as referrals
from omapush.push.capabilities import Facts, Refusal
from omapush.push.device_choice import Devices, Presence
from omapush.push.dialog import begin
from omapush.push.method_choice import Choice, Composers, Rule, Rules, Situation, choose
from omapush.push.referral import Referral
from omapush.push.request import Request
from omapush.push.subscription import Subscription
from omapush.push.values import Delivery, Method
from tests.harness.records import subscription
from tests.harness.values import a_delivery

REQUEST = Request(
    "MESSAGE", "sip:a@b.example", "sip:psa@b.example", "sip:a@b.example", "", "id", "", b"", 900
)
PRESENCES: tuple[Presence, ...] = get_args(Presence)
RULES: tuple[Rule, ...] = get_args(Rule)
NOW = 1_800_000_000_000
DELIVERY = a_delivery(
    ref="f" * 20,
    content_type="Text/Plain; charset=utf-8",
    content=b"hello",
    accepted_ms=NOW - 5,
    deliver_before_ms=NOW + 60_000,
)
DIALOG = begin(call_id="c", local_uri="sip:psa@b.example", local_tag="t", remote_uri="sip:a@b.example")
SUBSCRIPTION = subscription("sip:a@b.example", "a" * 16, NOW)
ASKED = Referral(
    version=1,
    id="a" * 24,
    aor="sip:a@b.example",
    application="mms.ua",
    ticket="t",
    state="asked",
    dialog=DIALOG,
    code=0,
    why="REFER sent",
    wait_ms=40_000,
    deadline_ms=NOW + 40_000,
    at_ms=NOW,
)
FITS = Devices("fits", "so it is")
ALL: tuple[Method, ...] = ("NOTIFY", "REFER", "MESSAGE")


def decided(
    *methods: Method,
    delivery: Delivery = DELIVERY,
    devices: Devices = FITS,
    subscriptions: tuple[Subscription, ...] = (),
    referral: Referral | None = None,
    refusal: Refusal | None = None,
    no_match: Rule = "send",
    wrapped: bool = False,
) -> Choice:
    """What comes of a situation under a profile with these methods."""
    situation = Situation(delivery, devices, subscriptions, referral, refusal, NOW)
    rules = Rules("send", no_match, 1_300, 10, methods or ("NOTIFY", "MESSAGE"), wrapped)
    return choose(situation, rules, Composers(lambda: REQUEST))


def chosen(
    presence: Presence, *, unregistered: Rule = "send", no_match: Rule = "send", limit: int = 1_300
) -> Choice:
    rules = Rules(unregistered, no_match, limit, 30_000, ("NOTIFY", "MESSAGE"))
    return choose(Situation(DELIVERY, Devices(presence, "so it is")), rules, Composers(lambda: REQUEST))


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
        replace(REQUEST, headers="X: " + "y" * 2_048),
        replace(REQUEST, request_uri="sip:" + "u" * 1_024),
    ):
        rules = Rules("send", "send", 100_000, 0, ("MESSAGE",))
        choice = choose(Situation(DELIVERY, Devices("fits", "")), rules, Composers(partial(_same, request)))
        assert (choice.method, code(choice)) == (None, "2006")


def _same(request: Request) -> Request:
    return request


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


# NOTIFY ---------------------------------------------------------------------------------------------


@pytest.mark.req("GEN-1", "PSA-SUB-1")
def test_a_live_subscription_comes_first_whoever_is_registered() -> None:
    nobody = Devices("unregistered", "not registered")

    choice = decided(subscriptions=(SUBSCRIPTION,), devices=nobody)

    assert (choice.method, choice.subscription) == ("NOTIFY", SUBSCRIPTION)
    assert "subscribed as urn:uuid:1" in choice.why


def test_content_above_the_limit_of_a_notify_goes_by_the_next_method_and_says_why() -> None:
    large = DELIVERY._replace(content=b"x" * 11)

    choice = decided(delivery=large, subscriptions=(SUBSCRIPTION,))

    assert choice.method == "MESSAGE"
    assert choice.why.startswith("11 bytes, a NOTIFY carries 10; ")


@pytest.mark.req("PROP-X-3")
@pytest.mark.parametrize(
    ("accept", "wrapped", "method"),
    [
        (("text/plain",), False, "NOTIFY"),
        (("text/*",), False, "NOTIFY"),
        (("image/png",), False, "MESSAGE"),
        (("application/vnd.oma.push",), False, "MESSAGE"),
        (("application/vnd.oma.push",), True, "NOTIFY"),
    ],
)
def test_accept_of_the_subscription_decides_over_what_else_is_known(
    accept: tuple[str, ...], wrapped: bool, method: Method
) -> None:
    choosy = SUBSCRIPTION._replace(accept=accept)

    assert decided(subscriptions=(choosy,), wrapped=wrapped).method == method
    refusal = Refusal("2006", "the device does not take text/plain")
    expected = None if method == "MESSAGE" else method
    assert decided(subscriptions=(choosy,), wrapped=wrapped, refusal=refusal).method == expected


def test_the_first_subscription_that_takes_it_is_chosen() -> None:
    first = SUBSCRIPTION._replace(id="b" * 32, accept=("image/png",))

    choice = decided(subscriptions=(first, SUBSCRIPTION))

    assert choice.subscription == SUBSCRIPTION
    assert "1 more to follow" in choice.why


def test_without_a_subscription_where_only_that_would_do_the_rule_for_no_match_counts() -> None:
    assert code(decided("NOTIFY")) == "2006"
    assert decided("NOTIFY", no_match="hold").hold
    assert code(decided("NOTIFY", no_match="hold", delivery=DELIVERY._replace(content=b"x" * 11))) == "2006"


def test_what_the_initiator_wants_is_tried_alone() -> None:
    wish = DELIVERY._replace(method="MESSAGE")

    assert decided(delivery=wish, subscriptions=(SUBSCRIPTION,)).method == "MESSAGE"
    assert code(decided(delivery=DELIVERY._replace(method="NOTIFY"))) == "2006"
    assert decided(delivery=DELIVERY._replace(method="REFER")).method == "REFER"


@pytest.mark.req("PSA-REF-0")
@pytest.mark.parametrize("wish", ["REFER", ""])
def test_what_waited_for_a_subscription_goes_in_it_when_nothing_but_refer_was_named(wish: str) -> None:
    waited = DELIVERY._replace(method=wish)

    assert decided("REFER", delivery=waited, subscriptions=(SUBSCRIPTION,)).method == "NOTIFY"
    other = SUBSCRIPTION._replace(accept=("image/*",))
    assert "takes no" in decided("REFER", delivery=waited, subscriptions=(other,)).why


def test_a_push_to_subscribers_goes_to_nobody_else() -> None:
    to_one = DELIVERY._replace(subscription=SUBSCRIPTION.id)

    assert decided(delivery=to_one, subscriptions=(SUBSCRIPTION,)).method == "NOTIFY"
    gone = decided(delivery=to_one)
    assert (code(gone), gone.why) == ("5027", "no longer subscribed")


# REFER ----------------------------------------------------------------------------------------------


@pytest.mark.req("PSA-REF-0")
def test_a_device_without_a_subscription_is_asked_for_one_before_a_message_is_sent() -> None:
    assert decided(*ALL).method == "REFER"
    assert decided(*ALL, subscriptions=(SUBSCRIPTION,)).method == "NOTIFY"


def test_while_it_is_asked_the_push_waits_and_no_second_refer_goes_out() -> None:
    waits = decided(*ALL, referral=ASKED)

    assert (waits.method, waits.hold, waits.until_ms) == (None, True, ASKED.deadline_ms)
    sooner = decided(*ALL, referral=ASKED._replace(wait_ms=500))
    assert sooner.until_ms == NOW + 500


def test_a_refer_whose_process_died_is_sent_anew() -> None:
    lost = ASKED._replace(deadline_ms=NOW)

    assert decided(*ALL, referral=lost).method == "REFER"


@pytest.mark.parametrize(
    ("failed", "pap"), [(403, "5027"), (603, "5026"), (408, "5028"), (404, "2003"), (500, "5026")]
)
def test_a_referral_that_failed_is_the_result_or_makes_the_next_method_be_tried(
    failed: int, pap: str
) -> None:
    referral = ASKED._replace(state="failed", code=failed, why="so it failed")

    last = decided("NOTIFY", "REFER", referral=referral)
    assert (code(last), last.method) == (pap, None)
    assert "so it failed" in last.why
    onward = decided(*ALL, referral=referral)
    assert onward.method == "MESSAGE"
    assert onward.why.startswith("so it failed; ")


def test_a_failure_counts_for_pushes_accepted_before_it_alone() -> None:
    long_ago = ASKED._replace(state="failed", code=403, at_ms=DELIVERY.accepted_ms - 1)

    assert decided(*ALL, referral=long_ago).method == "REFER"


def test_an_accepted_refer_without_a_subscribe_in_time_has_failed() -> None:
    accepted = ASKED._replace(state="accepted", deadline_ms=NOW)

    assert referrals.is_waited_for(accepted._replace(deadline_ms=NOW + 1), NOW)
    assert code(decided("NOTIFY", "REFER", referral=accepted)) == "5028"


@pytest.mark.req("PSA-REF-2")
def test_who_has_no_sip_identity_cannot_be_referred() -> None:
    tel = DELIVERY._replace(aor="tel:+15550100")

    assert decided(*ALL, delivery=tel).method == "MESSAGE"
    assert code(decided("REFER", delivery=tel)) == "2006"


@pytest.mark.parametrize("rule", ["refuse", "hold"])
def test_a_refer_needs_a_device_as_a_message_does(rule: Rule) -> None:
    choice = decided("NOTIFY", "REFER", devices=Devices("none fits", "none"), no_match=rule)

    assert (choice.method, choice.hold, code(choice)) == (
        None,
        rule == "hold",
        "" if rule == "hold" else "2006",
    )


# INVITE and links -----------------------------------------------------------------------------------

LARGE = DELIVERY._replace(content=b"", size=5_000_000)
LINK = replace(REQUEST, size=1_100)


def by_size(
    *methods: Method,
    delivery: Delivery = LARGE,
    facts: tuple[Facts, ...] = (),
    devices: Devices = FITS,
    subscriptions: tuple[Subscription, ...] = (),
    refusal: Refusal | None = None,
    sessions: bool = True,
    links: bool = True,
    link: Request = LINK,
    no_match: Rule = "send",
) -> Choice:
    """What comes of large content, unless `delivery` says otherwise."""
    situation = Situation(delivery, devices, subscriptions, None, refusal, NOW, None, facts)
    chosen_from = methods or ("NOTIFY", "MESSAGE", "INVITE", "INDIRECT")
    rules = Rules("send", no_match, 1_300, 10, chosen_from, sessions=sessions, links=links)
    return choose(situation, rules, Composers(lambda: REQUEST, lambda: link))


def known(methods: tuple[str, ...] | None = None, types: tuple[str, ...] | None = None) -> Facts:
    return Facts("", "presence", NOW, NOW + 9, methods=methods, types=types)


@pytest.mark.req("GEN-1", "MSG-SIZE")
def test_each_size_goes_by_the_first_method_that_can_carry_it() -> None:
    small = DELIVERY

    assert by_size(delivery=small, subscriptions=(SUBSCRIPTION,)).method == "NOTIFY"
    assert by_size(delivery=small).method == "MESSAGE"
    invite = by_size()
    assert (invite.method, invite.link) == ("INVITE", False)
    assert invite.why == (
        "content has 5000000 bytes, a MESSAGE at most 1300 in all; "
        "5000000 bytes in an MSRP session, whether a device takes MSRP is not known, so it is"
    )


def test_a_device_without_msrp_gets_a_link_in_a_message() -> None:
    link = by_size(facts=(known(("MESSAGE",)),))

    assert (link.method, link.link, link.request) == ("MESSAGE", True, LINK)
    assert "no device takes MSRP; link to 5000000 bytes, " in link.why
    assert by_size(sessions=False).link
    assert by_size("INDIRECT", delivery=DELIVERY).link


def test_a_link_goes_into_a_subscription_whose_device_follows_links() -> None:
    follows = SUBSCRIPTION._replace(id="b" * 32, accept=("text/plain", "message/external-body"))
    plain = SUBSCRIPTION._replace(accept=("text/plain",))

    choice = by_size("INDIRECT", subscriptions=(plain, follows))
    assert (choice.method, choice.link, choice.subscription) == ("NOTIFY", True, follows)
    assert by_size("INDIRECT", subscriptions=(plain,)).method == "MESSAGE"


@pytest.mark.parametrize(
    ("choice", "says"),
    [
        (by_size(sessions=False, links=False), "no MSRP sessions here; no content is served by links here"),
        (by_size(facts=(known(("MESSAGE",), ("text/plain",)),)), "takes no message/external-body"),
        (by_size("INDIRECT", link=replace(LINK, size=1_301)), "MESSAGE would have 1301 bytes"),
        (by_size("INVITE", refusal=Refusal("2006", "the device does not take it")), "does not take it"),
        (by_size("INDIRECT", refusal=Refusal("2006", "the device does not take it")), "does not take it"),
    ],
)
def test_without_any_method_left_the_initiator_is_told_so(choice: Choice, says: str) -> None:
    assert (choice.method, code(choice)) == (None, "2006")
    assert says in choice.why


@pytest.mark.parametrize("method", ["INVITE", "INDIRECT"])
@pytest.mark.parametrize("rule", ["refuse", "hold"])
def test_large_content_needs_a_device_as_small_does(method: Method, rule: Rule) -> None:
    choice = by_size(method, devices=Devices("none fits", "none"), no_match=rule)

    assert (choice.method, choice.hold, code(choice)) == (
        None,
        rule == "hold",
        "" if rule == "hold" else "2006",
    )
