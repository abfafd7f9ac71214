"""Pushes by PAP and JSON under overload."""

import asyncio
from contextlib import suppress
from typing import Any
from unittest.mock import AsyncMock, MagicMock

import pytest
from structlog.testing import capture_logs

from omapush import clock
from omapush.errors import Overloaded
from omapush.pap_http.admission import DRAWN, Admission
from omapush.push.outflow import Seen


def tight() -> Admission:
    """Nearly nothing is let in."""
    admission = Admission(100, lambda _: 0.0)
    for n in range(100):
        admission.look(float(n), 60.0)
    return admission


def request(body: bytes = b"", length: int | None = None, drawn: bool | None = None) -> Any:
    fake = MagicMock()
    fake.headers = {"content-length": str(len(body) if length is None else length)}
    fake.body = AsyncMock(return_value=body)
    fake.scope = {} if drawn is None else {DRAWN: drawn}
    return fake


def refused(admission: Admission, asked: Any, times: int = 200) -> list[Overloaded]:
    found: list[Overloaded] = []
    for _ in range(times):
        try:
            asyncio.run(admission.admit(asked))
        except Overloaded as error:
            found.append(error)
    return found


def test_without_overload_everything_is_let_in_and_nothing_is_read() -> None:
    asked = request(b"x")

    assert refused(Admission(100, lambda _: 0.0), asked) == []
    asked.body.assert_not_called()


def test_under_overload_most_is_refused_and_told_to_come_again_at_different_times() -> None:
    found = refused(tight(), request(b'<quality-of-service priority="medium"/>'))

    assert len(found) > 150
    assert len({error.retry_after_s for error in found}) > 3
    assert all(1 < error.retry_after_s < 10 for error in found)


@pytest.mark.parametrize("body", [b'<q priority="high"/>', b"<q priority='high'/>"])
def test_high_priority_is_let_in(body: bytes) -> None:
    assert refused(tight(), request(body)) == []


def test_a_long_body_is_not_read_to_find_that_out() -> None:
    asked = request(b'priority="high"', length=1_000_000)

    assert len(refused(tight(), asked)) > 150
    asked.body.assert_not_called()


def test_what_the_connection_drew_is_not_drawn_again() -> None:
    assert refused(tight(), request(b"x", drawn=True)) == []
    assert len(refused(Admission(100, lambda _: 0.0), request(b"x", drawn=False))) == 200
    assert refused(tight(), request(b'priority="high"', drawn=False)) == []
    with pytest.raises(Overloaded):
        tight().admit_priority("medium", request(drawn=False))


def test_who_would_wait_too_long_is_refused_at_once_and_when_nobody_would_any_more_it_is_over() -> None:
    wait_s = 2.0
    admission = Admission(1_000, lambda _: 0.0, lambda: wait_s)
    with capture_logs() as logged:
        assert not admission.draw()
        wait_s = 0.9
        assert admission.draw()
        admission.look(clock.monotonic(), 0.0)
        assert [one["event"] for one in logged] == ["overload_began"]
        admission.look(clock.monotonic() + 2, 0.0)
        assert [one["event"] for one in logged] == ["overload_began", "overload_over"]


def test_json_says_its_priority() -> None:
    admission = tight()
    for _ in range(100):
        admission.admit_priority("high", request())
    with pytest.raises(Overloaded):
        _submit_many(admission, "low")


def _submit_many(admission: Admission, priority: str) -> None:
    for _ in range(1_000):
        admission.admit_priority(priority, request())


def test_what_waits_to_be_sent_closes_the_door_too_and_opens_it_again() -> None:
    admission = Admission(1_000, lambda _: 0.0)
    for _ in range(4):
        admission.look_at_outbox(Seen(ready=9_000, accepted=3_000, ended=1_000, seconds=0.5))
    assert admission.admitted < 0.1
    assert len(refused(admission, request(b"x"))) > 150

    for _ in range(20):
        admission.look_at_outbox(Seen(ready=0, accepted=500, ended=500, seconds=0.5))
    assert admission.admitted == 1


def test_without_a_limit_what_waits_to_be_sent_closes_nothing() -> None:
    admission = Admission(0, lambda _: 0.0)
    admission.look_at_outbox(Seen(ready=9_000, accepted=3_000, ended=1_000, seconds=0.5))

    assert admission.admitted == 1


def test_a_limit_of_zero_lets_everything_in() -> None:
    admission = Admission(0, lambda _: 60.0)

    async def look() -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(admission.watch(), 0.3)

    asyncio.run(look())
    assert admission.admitted == 1
