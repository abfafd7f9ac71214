"""What an initiator is told when a limit of its is reached."""

import pytest

from omapush.push.limits import InitiatorLimits, LimitReached, Reached, refusal

OWN = InitiatorLimits(rate=2.5, burst=10, outstanding=100, daily=1_000)


@pytest.mark.parametrize(
    ("reached", "code", "after_s", "says"),
    [
        (Reached("rate", 400), "4001", 1, "rate limit of 2.5 deliveries a second"),
        (Reached("rate", 12_001), "4001", 13, "try again in 13 s"),
        (Reached("outstanding", 0), "4001", 5, "limit of 100 outstanding deliveries"),
        (Reached("daily", 3_600_000), "2001", 3_600, "daily limit of 1000 deliveries"),
    ],
)
def test_the_limit_is_named_with_its_size_and_when_to_come_again(
    reached: Reached, code: str, after_s: int, says: str
) -> None:
    told = refusal(reached, 1, OWN)

    assert isinstance(told, LimitReached)
    assert (told.code, told.retry_after_s, told.http_status) == (code, after_s, 429)
    assert says in told.problem


@pytest.mark.parametrize("limit", ["outstanding", "daily"])
def test_a_push_that_could_never_be_taken_is_not_told_to_come_again(limit: str) -> None:
    told = refusal(Reached(limit, 1_000), 1_001, OWN)  # type: ignore[arg-type]

    assert not isinstance(told, LimitReached)
    assert told.code == "2001"
    assert "1001 deliveries at once" in told.problem


def test_an_initiator_that_says_nothing_has_no_limit() -> None:
    assert not InitiatorLimits().any
    assert InitiatorLimits(rate=0.5).interval_us == 2_000_000
    assert InitiatorLimits(rate=1_000_000).interval_us == 1
    assert InitiatorLimits(daily=5).interval_us == 0
