"""Ways of a push that devices refuse: passed over in the same try, and by what was learnt later on."""

import pytest

from omapush.push import refused_method
from omapush.push.capabilities import Content, Facts, check, check_way
from omapush.push.capability_sources import facts_of_answer
from omapush.push.method_choice import Choice, Composers, Rules, Situation, choose, has_another
from omapush.push.method_support import of_links
from omapush.push.refused_method import RefusedMethod
from omapush.push.values import Delivery, Method
from tests.unit.push.test_method_choice import DELIVERY, FITS, LINK, NOW, REQUEST, SUBSCRIPTION

WAYS: tuple[Method, ...] = ("NOTIFY", "MESSAGE", "INVITE", "INDIRECT")
RULES = Rules("send", "send", 1_300, 30_000, WAYS, sessions=True, links=True)
CONTENT = Content("text/plain", 5, "mms.ua")


def decided(
    *refused: tuple[Method, int],
    facts: tuple[Facts, ...] = (),
    delivery: Delivery = DELIVERY,
    subscribed: bool = False,
    rules: Rules = RULES,
) -> Choice:
    situation = Situation(
        delivery,
        FITS,
        (SUBSCRIPTION,) if subscribed else (),
        now_ms=NOW,
        facts=facts,
        refused=tuple(RefusedMethod(*one) for one in refused),
    )
    return choose(situation, rules, Composers(lambda: REQUEST, lambda: LINK))


def learnt(code: int, method: Method, accept: str = "") -> tuple[Facts, ...]:
    return facts_of_answer(code, accept, "", CONTENT, method=method, now_ms=NOW, learned_s=60)


def test_each_refusal_leads_to_the_next_way_and_the_reasons_are_told() -> None:
    assert decided(subscribed=True).method == "NOTIFY"
    assert decided(("NOTIFY", 415), subscribed=True).method == "MESSAGE"
    assert decided(("MESSAGE", 488)).method == "INVITE"
    link = decided(("MESSAGE", 488), ("INVITE", 415))
    assert (link.method, link.link) == ("MESSAGE", True)
    assert link.why.startswith("MESSAGE was refused with 488; INVITE was refused with 415; link to ")


@pytest.mark.req("PSA-MSG-4")
def test_when_none_is_left_the_last_refusal_is_the_result() -> None:
    none = decided(("MESSAGE", 413), ("INVITE", 488), ("INDIRECT", 415))

    assert (none.method, none.refused) == (None, RefusedMethod("INDIRECT", 415))
    assert none.outcome is not None
    assert (none.outcome.state, none.outcome.code) == ("aborted", "5030")
    assert none.outcome.desc.endswith("(INDIRECT 415; MESSAGE 413, INVITE 488 before)")


@pytest.mark.parametrize("code", [405, 501])
def test_who_takes_no_message_gets_no_link_in_one(code: int) -> None:
    assert decided(("MESSAGE", code), ("INVITE", code)).method is None
    in_notify = SUBSCRIPTION._replace(accept=("message/external-body",))
    situation = Situation(DELIVERY, FITS, (in_notify,), now_ms=NOW, refused=(RefusedMethod("MESSAGE", code),))
    rules = RULES._replace(methods=("MESSAGE", "INDIRECT"))
    choice = choose(situation, rules, Composers(lambda: REQUEST, lambda: LINK))
    assert (choice.method, choice.link) == ("NOTIFY", True)


def test_a_push_to_a_subscriber_ends_with_its_refusal() -> None:
    to_one = DELIVERY._replace(subscription=SUBSCRIPTION.id)
    choice = decided(("NOTIFY", 415), delivery=to_one, subscribed=True)

    assert choice.method is None
    assert choice.outcome is not None
    assert choice.outcome.code == "5030"


@pytest.mark.parametrize(
    ("method", "wish", "expected"),
    [
        ("NOTIFY", "", True),
        ("MESSAGE", "", True),
        ("INVITE", "", True),
        ("INDIRECT", "", False),
        ("MESSAGE", "MESSAGE", False),
    ],
)
def test_another_way_is_one_behind_it_in_the_profile(method: Method, wish: str, expected: bool) -> None:
    assert has_another(DELIVERY._replace(method=wish), method, RULES) is expected


def test_a_way_that_this_node_does_not_have_is_none() -> None:
    bare = RULES._replace(sessions=False, links=False)

    assert not has_another(DELIVERY, "MESSAGE", bare)
    assert has_another(DELIVERY, "NOTIFY", bare)
    assert not has_another(DELIVERY._replace(subscription="x"), "NOTIFY", RULES)
    assert not has_another(DELIVERY, "REFER", RULES)


@pytest.mark.req("PROP-CAP-5")
@pytest.mark.parametrize("code", sorted(refused_method.REFUSING))
@pytest.mark.parametrize("method", ["MESSAGE", "INVITE"])
def test_a_refusal_is_learnt_for_its_way_alone(code: int, method: Method) -> None:
    facts = learnt(code, method)

    assert check_way(CONTENT, method, facts) is not None
    assert check(CONTENT, facts) is None
    for other in set(WAYS) - {method}:
        assert check_way(CONTENT, other, facts) is None
    assert decided(facts=facts).method == ("INVITE" if method == "MESSAGE" else "MESSAGE")


def test_a_method_that_is_not_taken_is_not_for_other_types_either() -> None:
    image = CONTENT._replace(type="image/png")

    assert check_way(image, "MESSAGE", learnt(405, "MESSAGE")) is not None
    assert check_way(image, "MESSAGE", learnt(488, "MESSAGE")) is None
    assert check_way(image, "MESSAGE", learnt(415, "MESSAGE", "image/*")) is None
    assert check_way(CONTENT, "MESSAGE", learnt(415, "MESSAGE", "image/*")) is not None
    assert check_way(image, "INVITE", learnt(415, "INVITE", "image/*")) is None


def test_a_device_that_refuses_a_link_refuses_links_unless_it_says_that_it_follows_them() -> None:
    assert of_links(learnt(415, "INDIRECT"), "mms.ua").taken is False
    follows = learnt(415, "INDIRECT", "image/png, message/external-body")
    assert of_links(follows, "mms.ua").taken is None
    assert check_way(CONTENT, "INDIRECT", follows) is not None
    assert of_links(learnt(415, "MESSAGE", "image/png"), "mms.ua").taken is False
    assert of_links(learnt(415, "MESSAGE", "message/external-body"), "mms.ua").taken is True
    assert of_links(learnt(415, "INVITE"), "mms.ua").taken is None


def test_what_was_told_of_subscriptions_is_no_method() -> None:
    told = (("a" * 32, 200), ("MESSAGE", 415), ("INDIRECT", 413))

    assert refused_method.of_told(told) == (RefusedMethod("MESSAGE", 415), RefusedMethod("INDIRECT", 413))
    assert not refused_method.is_method("a" * 32)


def test_only_answers_about_the_way_refuse_it() -> None:
    assert not any(refused_method.is_refused(code) for code in (200, 400, 403, 404, 408, 480, 486, 500, 603))
    assert refused_method.is_refused(603, in_session=True)
    assert not refused_method.is_refused(408, in_session=True)
