"""How many more requests may leave: while all answer, while some devices are silent, while everybody is."""

import importlib
import sys
from collections import deque
from collections.abc import Iterator
from typing import Any
from unittest.mock import MagicMock

import pytest

SIZE = 100
ALLOWANCE = 1_000
LONGEST_S = 40.0
TIMER_F_S = 32
NAME = "0.notify"


class Far:
    """Time, the table that processes share, one count, and the other end of its requests."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.at_s = 10_000.5
        self.ended: dict[str, int] = {}
        fake: Any = MagicMock(name="KSR")
        fake.htable.sht_get.side_effect = lambda _, name: self.ended.get(name)
        fake.htable.sht_seti.side_effect = lambda _, name, number: self.ended.update({name: number})
        monkeypatch.setitem(sys.modules, "KSR", fake)
        monkeypatch.delitem(sys.modules, "in_flight", raising=False)
        monkeypatch.setattr("omapush.clock.monotonic", lambda: self.at_s)
        monkeypatch.setattr("omapush.clock.now_ms", lambda: int(self.at_s * 1000))
        self.module = importlib.import_module("in_flight")
        self.count = self.module.Count(NAME, 1, 0.0)  # as a window begins, before it is told its size
        self.count.resize(SIZE, LONGEST_S, ALLOWANCE)
        self.unanswered: deque[float] = deque()
        "When each was sent that nobody answers."

    def passes(self, seconds: float) -> int:
        """Let time pass; returns how many more may be sent then."""
        self.at_s += seconds
        while self.unanswered and self.at_s - self.unanswered[0] > TIMER_F_S:
            sent_ms = int(self.unanswered.popleft() * 1000)
            self._end(sent_ms, 1, is_answered=False)
        self.count.look(self.at_s)
        return int(self.count.free)

    def send(self, number: int, answered: int, *, after_s: float = 0.05) -> int:
        """Send as many as there is room for, of which so many are answered; returns how many left."""
        number = min(number, max(self.count.free, 0))
        answered = min(answered, number)
        self.count.sent(number)
        sent_ms = int(self.at_s * 1000)
        self.unanswered.extend([self.at_s] * (number - answered))
        self.passes(after_s)
        self._end(sent_ms, answered, is_answered=True)
        self.passes(0)
        return number

    def _end(self, sent_ms: int, number: int, *, is_answered: bool) -> None:
        end = self.module.end_of(sent_ms, int(self.at_s * 1000), is_answered=is_answered)
        self.module.add_ended(NAME, {end: number})

    def answer_late(self, number: int) -> None:
        """Have the other end answer requests of long ago."""
        self._end(int((self.at_s - 10) * 1000), number, is_answered=True)


@pytest.fixture
def far(monkeypatch: pytest.MonkeyPatch) -> Iterator[Far]:
    yield Far(monkeypatch)
    sys.modules.pop("in_flight")


def test_a_place_is_silent_when_several_requests_had_no_answer_for_some_seconds(far: Far) -> None:
    far.send(10, 10)
    far.passes(60)
    assert not far.count.is_silent
    far.send(2, 0)
    far.passes(5)
    assert not far.count.is_silent  # two devices may be on their way out of sleep

    far.send(1, 0)
    assert far.count.is_silent
    far.answer_late(1)
    far.passes(0)
    assert not far.count.is_silent


def test_what_has_ended_makes_room(far: Far) -> None:
    far.count.sent(106)
    assert far.count.free < 0
    far.ended[NAME] = 76
    assert far.passes(0) == SIZE - 30


def test_silent_devices_do_not_take_the_room_of_those_that_answer(far: Far) -> None:
    """Of 200 a second 20 are silent, for 60 s: 640 are in flight, and nobody waits."""
    for _ in range(600):
        assert far.send(20, 18, after_s=0.1) == 20

    assert far.count.in_flight == len(far.unanswered) >= 620
    assert far.count.free >= SIZE - 2 * 20 - 20


def test_the_allowance_bounds_them(far: Far) -> None:
    for _ in range(600):
        far.send(60, 10, after_s=0.1)

    assert SIZE + ALLOWANCE - 60 <= far.count.in_flight <= SIZE + ALLOWANCE


def test_where_nobody_ever_answered_no_more_than_the_window_is_in_flight(far: Far) -> None:
    for _ in range(300):
        far.send(20, 0, after_s=0.1)
        assert far.count.in_flight <= SIZE
    assert far.count.in_flight == SIZE


def test_who_stops_to_answer_gets_little_more_until_he_does_again(far: Far) -> None:
    for _ in range(100):
        far.send(20, 18, after_s=0.1)
    before = far.count.in_flight
    for _ in range(100):  # ten seconds of silence: two seconds' worth of trust, then a few to see
        far.send(20, 0, after_s=0.1)
    probes = 4 * 10 * 2
    assert before <= far.count.in_flight <= before + 4 * SIZE + probes

    while not far.send(4, 4, after_s=0.1):
        far.passes(0.1)
    far.passes(0.1)
    assert far.send(20, 18, after_s=0.1) == 20


def test_an_answer_that_our_own_timer_gave_is_none(far: Far) -> None:
    """All are silent; what ends after 32 s makes room for as many, and for no more."""
    for _ in range(1_000):
        far.send(20, 0, after_s=0.1)
        assert far.count.in_flight <= SIZE


def test_devices_that_take_long_do_not_slow_others_down_as_long_as_answers_come(far: Far) -> None:
    """Each takes three seconds: the window is what leaves within a second at most, not within three."""
    under_way: deque[tuple[float, int]] = deque()
    left = 0
    for _ in range(600):
        while under_way and far.at_s - under_way[0][0] >= 3:
            far.answer_late(under_way.popleft()[1])
        far.passes(0)
        number = min(20, max(far.count.free, 0))
        far.count.sent(number)
        under_way.append((far.at_s, number))
        left += number
        far.passes(0.1)
    assert left >= 50 * SIZE
    assert far.count.in_flight <= 6 * SIZE


def test_answers_that_come_late_count_as_ended(far: Far) -> None:
    far.count.sent(SIZE)
    far.unanswered.clear()
    assert far.passes(5) == 0
    far.answer_late(SIZE)
    assert far.passes(0) == SIZE


def test_what_could_not_leave_gives_its_place_back(far: Far) -> None:
    far.count.sent(3)
    far.count.sent(-1)
    assert far.count.free == SIZE - 2
    assert far.count.in_flight == 2


def test_a_count_that_lost_what_ended_begins_again(far: Far) -> None:
    far.count.sent(SIZE)
    assert far.passes(LONGEST_S - 1) == 0
    assert far.passes(2) == SIZE


def test_a_count_that_kamailio_has_forgotten_goes_on_with_what_is_in_flight(far: Far) -> None:
    """What has counted nothing for ten minutes leaves the table that processes share."""
    far.send(50, 47)
    far.ended.clear()
    far.passes(0.1)
    assert far.count.in_flight == 3

    far.answer_late(2)
    far.passes(0.1)
    assert far.count.in_flight == 1
    assert far.count.is_answering


def test_part_of_the_window_is_room_for_less(far: Far) -> None:
    far.count.sent(40)
    assert far.count.has_room(41)
    assert not far.count.has_room(40)


def test_a_clock_that_goes_back_loses_nothing(far: Far) -> None:
    for _ in range(50):
        far.send(20, 18, after_s=0.1)
    far.at_s -= 3_600
    far.unanswered.clear()
    for _ in range(50):
        assert 0 <= far.send(20, 18, after_s=0.1) <= 20
    assert far.count.in_flight >= 200
