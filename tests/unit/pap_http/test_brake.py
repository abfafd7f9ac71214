"""Failed authentications of one address slow down its next ones, and no other's."""

import asyncio

import pytest
import structlog

from omapush.pap_http import brake
from omapush.pap_http.brake import LATE_S, MOST_A_MINUTE, Brake

GUESSER, OTHER = "192.0.2.1", "192.0.2.2"


class Clock:
    """Seconds, moved by the test."""

    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long each late answer was put off."""
    put_off: list[float] = []

    async def sleep(seconds: float) -> None:
        put_off.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    return put_off


def fail(one: Brake, address: str, times: int) -> list[str]:
    """Let authentications fail; returns the events logged."""

    async def run() -> None:
        for _ in range(times):
            await one.failed(address, "mmsc")

    with structlog.testing.capture_logs() as lines:
        asyncio.run(run())
    return [line["event"] for line in lines]


def test_the_first_failures_are_logged_and_answered_at_once(waits: list[float]) -> None:
    assert fail(Brake(Clock()), GUESSER, MOST_A_MINUTE) == ["authentication_failed"] * MOST_A_MINUTE
    assert waits == []


def test_later_ones_are_answered_late_and_logged_once(waits: list[float]) -> None:
    one = Brake(Clock())
    fail(one, GUESSER, MOST_A_MINUTE)

    assert fail(one, GUESSER, 5) == ["authentication_braked"]
    assert waits == [LATE_S] * 5
    assert fail(one, OTHER, 1) == ["authentication_failed"]
    assert waits == [LATE_S] * 5


def test_a_minute_later_it_begins_anew(waits: list[float]) -> None:
    seconds = Clock()
    one = Brake(seconds)
    fail(one, GUESSER, MOST_A_MINUTE + 1)
    seconds.now += 60

    assert fail(one, GUESSER, 1) == ["authentication_failed"]
    assert waits == [LATE_S]


def test_no_more_than_so_many_addresses_are_remembered(
    waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(brake, "_MOST_ADDRESSES", 2)
    one = Brake(Clock())
    for address in (GUESSER, OTHER, "192.0.2.3"):
        fail(one, address, MOST_A_MINUTE)

    assert fail(one, OTHER, 1) == ["authentication_braked"]
    assert fail(one, GUESSER, 1) == ["authentication_failed"]


def test_a_name_is_cut_before_it_is_logged(waits: list[float]) -> None:
    with structlog.testing.capture_logs() as lines:
        asyncio.run(Brake(Clock()).failed(GUESSER, "n" * 500))
    assert len(lines[0]["initiator"]) == 80
