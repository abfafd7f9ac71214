"""Appendix Q as one table: what each answer means, and when the next try is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omapush.protocol.pap_values import DeliveryMethod
from omapush.push.outcome import (
    TABLE,
    Outcome,
    Reply,
    delivery_method_used,
    expired,
    judge,
    row_of,
)
from omapush.push.retry import RetryPlan, RetryPlans
from omapush.push.values import Result

PLAN = RetryPlan(attempts=4, first_ms=1_000, longest_ms=5_000)
NOW = 1_000_000
LATER = NOW + 10_000_000


def in_short(outcome: Outcome) -> tuple[int | None, str, str]:
    return outcome.retry_at_ms, outcome.state, outcome.code


def verdict(
    sip_code: int,
    *,
    attempt: int = 1,
    plan: RetryPlan = PLAN,
    before_ms: int = LATER,
    retry_after_s: int | None = None,
    unconfirmed: bool = False,
    local: bool = False,
    jitter: float = 1.0,
    hold_absent: bool = False,
) -> Outcome:
    return judge(
        Reply(sip_code, "Said", local, retry_after_s),
        attempt=attempt,
        plans=RetryPlans(
            plan, plan, plan._replace(attempts=min(plan.attempts, 2)), plan, plan, plan, hold_absent
        ),
        unconfirmed=unconfirmed,
        now_ms=NOW,
        deliver_before_ms=before_ms,
        jitter=jitter,
    )


@pytest.mark.parametrize(
    ("sip_code", "state", "code", "tries"),
    [
        (200, "delivered", "1000", 1),
        (400, "aborted", "5026", 2),
        (500, "aborted", "5026", 4),
        (503, "undeliverable", "4001", 4),
        (603, "aborted", "5026", 2),
        (403, "aborted", "5027", 1),
        (604, "aborted", "5027", 1),
        (413, "undeliverable", "5029", 1),
        (408, "timeout", "5028", 4),
        (415, "aborted", "5030", 1),
        (481, "undeliverable", "5027", 1),
        (487, "timeout", "5028", 4),
    ],
)
def test_each_row_of_appendix_q_has_its_state_code_and_number_of_tries(
    sip_code: int, state: str, code: str, tries: int
) -> None:
    for attempt in range(1, tries):
        assert verdict(sip_code, attempt=attempt).retry_at_ms is not None
    last = verdict(sip_code, attempt=tries)
    assert (last.retry_at_ms, last.state, last.code) == (None, state, code)


def test_a_500_with_retry_after_is_short_of_resources() -> None:
    assert verdict(500, attempt=4, retry_after_s=1).code == "5029"
    assert verdict(500, attempt=4).code == "5026"


def test_a_413_with_retry_after_is_for_a_time() -> None:
    """RFC 3261 21.4.11."""
    first = verdict(413, retry_after_s=30)

    assert (first.retry_at_ms, first.state) == (NOW + 30_000, "pending")
    assert in_short(verdict(413, attempt=4, retry_after_s=30)) == (None, "undeliverable", "5029")


def test_a_202_is_enough_only_when_no_confirmation_was_asked() -> None:
    assert in_short(verdict(202, unconfirmed=True)) == (None, "delivered", "1000")
    assert in_short(verdict(202)) == (LATER, "pending", "1001")
    assert in_short(expired(202, held=False)) == (None, "unknown", "4000")


@pytest.mark.parametrize(("last", "code"), [(0, "4000"), (480, "5028"), (408, "5028"), (503, "4001")])
def test_an_expired_push_tells_whether_its_user_was_unreachable(last: int, code: str) -> None:
    verdict_then = expired(last, held=False)

    assert verdict_then.state == "expired"
    assert verdict_then.code == ("5028" if code == "5028" else "4000")


@pytest.mark.parametrize(
    ("unknown", "like"), [(299, "delivered"), (399, "undeliverable"), (499, "aborted"), (699, "aborted")]
)
def test_an_unknown_code_counts_as_the_x00_of_its_class(unknown: int, like: str) -> None:
    assert unknown not in TABLE
    assert verdict(unknown).state == like


def test_waits_double_up_to_the_longest() -> None:
    waits = [
        (verdict(480, attempt=n, plan=PLAN._replace(attempts=9)).retry_at_ms or 0) - NOW for n in range(1, 6)
    ]

    assert waits == [1_000, 2_000, 4_000, 5_000, 5_000]


def test_the_peers_retry_after_is_kept_even_beyond_the_longest() -> None:
    assert verdict(503, retry_after_s=60).retry_at_ms == NOW + 60_000


def test_a_next_try_after_deliver_before_is_not_made() -> None:
    at_the_end = verdict(480, before_ms=NOW + 1_000)
    assert (at_the_end.retry_at_ms, at_the_end.state, at_the_end.code) == (None, "expired", "5028")
    assert "480" in at_the_end.desc
    assert verdict(503, before_ms=NOW + 1_000).code == "4000"
    assert verdict(480, before_ms=NOW + 1_001).state == "pending"


def test_a_local_timeout_says_that_nobody_answered() -> None:
    assert "no response" in verdict(408, attempt=4, local=True).desc
    assert "408 Said" in verdict(408, attempt=4).desc


@given(
    sip_code=st.integers(100, 699),
    attempt=st.integers(1, 200),
    attempts=st.integers(1, 100),
    first=st.integers(1, 86_400_000),
    longest=st.integers(1, 86_400_000),
    jitter=st.floats(0, 1),
    retry_after=st.none() | st.integers(0, 86_400),
)
def test_every_verdict_is_final_with_a_code_or_a_try_to_come(
    sip_code: int,
    attempt: int,
    attempts: int,
    first: int,
    longest: int,
    jitter: float,
    retry_after: int | None,
) -> None:
    plan = RetryPlan(attempts, first, longest)
    found = verdict(sip_code, attempt=attempt, plan=plan, jitter=jitter, retry_after_s=retry_after)

    if found.retry_at_ms is None:
        assert found.state != "pending"
        assert found.code.isdecimal()
        assert len(found.code) == 4
    elif row_of(Reply(sip_code)).again == "wait":
        assert (found.retry_at_ms, found.state, found.code) == (LATER, "pending", "1001")
    else:
        assert attempt < attempts
        assert (found.state, found.code) == ("pending", "1001")
        wait = found.retry_at_ms - NOW
        assert (retry_after or 0) * 1_000 <= wait <= max(longest, (retry_after or 0) * 1_000)
        assert row_of(Reply(sip_code, retry_after_s=retry_after)).again != "no"


def test_only_a_push_whose_device_is_away_waits_for_its_user_to_register_as_well() -> None:
    again = {code for code in TABLE if verdict(code).on_change}

    assert again == {430, 480}
    assert not verdict(480, attempt=4).on_change


def test_a_profile_that_holds_keeps_an_absent_push_until_deliver_before_when_its_plan_is_used_up() -> None:
    waits = verdict(480, attempt=4, hold_absent=True)
    assert in_short(waits) == (LATER, "pending", "1001")
    assert waits.on_change
    assert verdict(480, attempt=900, hold_absent=True) == waits
    assert verdict(480, before_ms=NOW + 1, hold_absent=True).retry_at_ms == NOW + 1
    assert verdict(480, before_ms=NOW, hold_absent=True).state == "expired"
    assert verdict(486, attempt=4, hold_absent=True).state == "undeliverable"


@pytest.mark.parametrize(
    ("reply", "plan"),
    [
        (Reply(480), "absent"),
        (Reply(430), "absent"),
        (Reply(486), "busy"),
        (Reply(600), "busy"),
        (Reply(603), "refused"),
        (Reply(400), "refused"),
        (Reply(503), "overload"),
        (Reply(500, retry_after_s=1), "overload"),
        (Reply(500), "failed"),
        (Reply(599), "failed"),
        (Reply(408, local=True), "path"),
        (Reply(503, local=True), "path"),
        (Reply(403), "no"),
    ],
)
def test_each_reason_has_a_plan_of_its_own(reply: Reply, plan: str) -> None:
    assert row_of(reply).again == plan


def test_a_next_hop_that_nothing_can_be_sent_to_is_told_apart_from_one_that_is_overloaded() -> None:
    assert "cannot be reached" in verdict(503, attempt=4, local=True).desc
    assert verdict(503, attempt=4, local=True).code == "4001"


@pytest.mark.parametrize(
    ("sip_code", "used"),
    [
        (200, DeliveryMethod.CONFIRMED),
        (202, DeliveryMethod.UNCONFIRMED),
        (204, DeliveryMethod.UNCONFIRMED),
        (0, None),
        (180, None),
        (302, None),
        (480, None),
    ],
)
def test_only_a_200_confirms_a_delivery(sip_code: int, used: DeliveryMethod | None) -> None:
    assert delivery_method_used(Result("unknown", "4000", "", "MESSAGE", sip_code, 1, 0)) == used
