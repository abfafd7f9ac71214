"""Retry plans: bounded, growing up to a ceiling, spread, never sooner than the peer allows."""

from hypothesis import given
from hypothesis import strategies as st

from omapush.push.outcome import Reply, judge
from omapush.push.retry import DEFAULTS, MOST_REFUSED, REASONS, RetryPlan, RetryPlans, next_try, wait_ms

NOW = 1_000_000
PLANS = st.builds(
    RetryPlan,
    st.integers(1, 100),
    st.integers(1, 86_400_000),
    st.integers(1, 86_400_000),
    st.floats(1, 10),
)


def all_of(plan: RetryPlan, *, hold_absent: bool = False) -> RetryPlans:
    return RetryPlans(plan, plan, plan, plan, plan, plan, hold_absent)


@given(PLANS)
def test_waits_never_shrink_and_never_pass_the_longest(plan: RetryPlan) -> None:
    waits = [wait_ms(plan, attempt) for attempt in range(1, 120)]

    assert waits == sorted(waits)
    assert waits[0] == min(plan.first_ms, plan.longest_ms)
    assert max(waits) <= plan.longest_ms


@given(PLANS, st.integers(1, 10_000), st.floats(0, 1), st.none() | st.integers(0, 86_400))
def test_a_try_is_spread_over_the_second_half_of_its_wait_and_obeys_retry_after(
    plan: RetryPlan, attempt: int, jitter: float, retry_after_s: int | None
) -> None:
    at_ms = next_try(plan, attempt=attempt, now_ms=NOW, retry_after_s=retry_after_s, jitter=jitter)

    if attempt >= plan.attempts:
        assert at_ms is None
        return
    assert at_ms is not None
    asked_ms, wait = (retry_after_s or 0) * 1000, wait_ms(plan, attempt)
    assert max(wait // 2, asked_ms) <= at_ms - NOW <= max(wait, asked_ms)


@given(
    plan=PLANS,
    reply=st.builds(
        Reply, st.integers(300, 699), st.just(""), st.booleans(), st.none() | st.integers(0, 9_999)
    ),
    lifetime_ms=st.integers(-10_000, 10_000_000),
    hold_absent=st.booleans(),
    jitter=st.floats(0, 1),
)
def test_a_push_that_always_fails_ends_after_its_tries_and_none_is_after_deliver_before(
    plan: RetryPlan, reply: Reply, lifetime_ms: int, hold_absent: bool, jitter: float
) -> None:
    """Each try happens at its time at the earliest; the sender ends what waited until deliver-before."""
    now_ms, before_ms, attempt = NOW, NOW + lifetime_ms, 1
    while True:
        verdict = judge(
            reply,
            attempt=attempt,
            plans=all_of(plan, hold_absent=hold_absent),
            unconfirmed=False,
            now_ms=now_ms,
            deliver_before_ms=before_ms,
            jitter=jitter,
        )
        if verdict.retry_at_ms is None:
            assert verdict.state != "pending"
            break
        assert now_ms <= verdict.retry_at_ms <= before_ms
        if verdict.retry_at_ms == before_ms:
            assert hold_absent
            assert verdict.on_change
            break
        now_ms, attempt = verdict.retry_at_ms, attempt + 1
    assert attempt <= plan.attempts


def test_the_defaults_are_plans_that_can_be_kept() -> None:
    for plan in map(DEFAULTS.of, REASONS):
        assert 1 < plan.attempts <= 100
        assert 0 < plan.first_ms < plan.longest_ms
    assert DEFAULTS.refused.attempts == MOST_REFUSED == 2  # once more, and never again
