"""Rules about who may push what to whom: layers, order, times, and what they make of a submission."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omapush.config import parse
from omapush.push.acceptance import Accepted, NotAllowed
from omapush.push.policy import CODE, LAYERS, Case, Rule, applied, judge, of_delivery, rules_of
from omapush.push.values import PENDING, Recipient, Result
from omapush.store.pushes import delivery_of
from tests.harness.values import a_push

ALL = ("*",)
NOON_MS = int(datetime(2026, 1, 30, 12, tzinfo=UTC).timestamp() * 1000)  # a Friday
CASE = Case("acme", "game.ua", "sip:kid@school.example", "text/html; charset=utf-8", NOON_MS)


def rule(name: str, effect: str = "deny", **members: Any) -> Rule:
    """One rule, by way of the configuration."""
    table = {"effect": effect, **members}
    return rules_of(parse({"policy": {name: table}}, "test.toml").policy)[0]


def test_the_first_rule_of_a_layer_that_fits_decides() -> None:
    allow = rule("school news", "allow", initiators=["acme"])
    deny = rule("nobody else", "deny", recipients=["sip:*@school.example"])

    assert judge([allow, deny], CASE).allowed
    assert not judge([deny, allow], CASE).allowed
    assert not judge([allow, deny], CASE._replace(initiator="other")).allowed
    assert judge([allow, deny], CASE._replace(initiator="other", recipient="sip:a@home1.example")).allowed


@pytest.mark.parametrize("layer", LAYERS)
def test_no_layer_allows_what_another_denies(layer: str) -> None:
    rules = [rule(f"allow {other}", "allow", layer=other) for other in LAYERS if other != layer]
    verdict = judge([*rules, rule("no", layer=layer)], CASE)

    assert not verdict.allowed
    assert verdict.why == f"denied by rule no of the {layer} layer"


@given(st.lists(st.sampled_from(["allow", "deny"]), max_size=6), st.sampled_from(LAYERS))
def test_a_layer_without_a_rule_that_fits_lets_pass(effects: list[str], layer: str) -> None:
    strangers = [
        rule(f"{number}", effect, layer=layer, initiators=["x*"]) for number, effect in enumerate(effects)
    ]

    assert judge(strangers, CASE).allowed
    assert judge(strangers, CASE).decided == tuple((one, "") for one in LAYERS)


@pytest.mark.parametrize(
    ("members", "fits"),
    [
        ({"initiators": ["ac*"]}, True),
        ({"initiators": ["Acme"]}, False),
        ({"applications": ["mms.ua", "game.*"]}, True),
        ({"applications": ["mms.ua"]}, False),
        ({"recipients": ["sip:*@school.example"]}, True),
        ({"recipients": ["sip:*@home1.example"]}, False),
        ({"content_types": ["text/*"]}, True),
        ({"content_types": ["text/plain"]}, False),
        ({"hours": {"start": "11:59", "end": "12:01"}}, True),
        ({"hours": {"start": "22:00", "end": "07:00"}}, False),
        ({"hours": {"start": "12:00", "end": "12:00"}}, True),
        ({"hours": {"start": "11:59", "end": "12:01", "days": ["sat"]}}, False),
        ({"hours": {"start": "13:30", "end": "14:30", "zone": "Europe/Helsinki"}}, True),
    ],
)
def test_a_rule_fits_by_each_of_its_members(members: dict[str, Any], fits: bool) -> None:
    assert judge([rule("no", **members)], CASE).allowed is not fits


def accepted(*aors: str, subscribers: tuple[str, ...] = ()) -> Accepted:
    push = a_push(
        initiator="acme",
        application="game.ua",
        content_type="text/html",
        accepted_ms=NOON_MS,
        subscribers=subscribers,
    )
    results = tuple(Result(PENDING, "1001", "queued", "", 0, 0, NOON_MS) for _ in aors)
    return Accepted(push, tuple(Recipient(aor, aor) for aor in aors), results, b"x")


DENY_SCHOOL = rule("school", recipients=["sip:*@school.example"])


def test_who_is_denied_gets_a_result_and_the_others_get_the_push() -> None:
    found = applied([DENY_SCHOOL], accepted("sip:a@home1.example", "sip:kid@school.example"))

    assert [(one.state, one.code) for one in found.results] == [(PENDING, "1001"), ("undeliverable", CODE)]
    assert "rule school" in found.results[1].desc


def test_a_push_that_nobody_may_get_is_refused() -> None:
    with pytest.raises(NotAllowed, match="rule school"):
        applied([DENY_SCHOOL], accepted("sip:kid@school.example"))


def test_a_push_to_all_subscribers_is_asked_about_as_such_and_then_for_each() -> None:
    everybody = accepted(subscribers=ALL)

    assert applied([DENY_SCHOOL], everybody) == everybody
    with pytest.raises(NotAllowed):
        applied([rule("no")], everybody)
    kid = delivery_of(everybody.push, 0, Recipient("", "sip:kid@school.example"), b"x")
    assert not of_delivery([DENY_SCHOOL], kid).allowed
    assert of_delivery([DENY_SCHOOL], kid._replace(aor="sip:a@home1.example")).allowed
