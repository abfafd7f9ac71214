"""What the api sees of deliveries that wait to be sent."""

import asyncio
from typing import Any
from unittest.mock import MagicMock

import pytest

from omapush.pap_http.admission import Admission
from omapush.pap_http.outflow_watch import OutflowWatch
from omapush.push.outflow import Seen
from omapush.store.totals import Totals


class Looks:
    """Looks, each at what a test says is there."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._gate, admission = MagicMock(), MagicMock(spec=Admission)
        self._read = MagicMock()
        self._now = 100.0
        monkeypatch.setattr("omapush.store.totals.read", self._read)
        monkeypatch.setattr("omapush.clock.monotonic", lambda: self._now)
        self._watch = OutflowWatch(MagicMock(), self._gate, admission)
        self._told: Any = admission.look_at_outbox

    def look(self, ready: int, accepted: int = 0, ended: dict[str, int] | None = None) -> None:
        self._gate.depth.ready = ready
        self._read.return_value = Totals(accepted, ended or {})
        self._now += 0.5
        asyncio.run(self._watch.look())

    @property
    def seen(self) -> list[Seen]:
        return [call.args[0] for call in self._told.call_args_list]

    @property
    def asked(self) -> int:
        return int(self._read.call_count)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Looks:
    return Looks(monkeypatch)


def test_while_nothing_waits_redis_is_not_asked(looks: Looks) -> None:
    looks.look(0)

    assert looks.asked == 0
    assert [one.ready for one in looks.seen] == [0]


def test_what_came_and_what_ended_is_counted_from_one_look_to_the_next(looks: Looks) -> None:
    looks.look(10, 1_000, {"delivered": 900})
    assert looks.seen == []

    looks.look(50, 1_300, {"delivered": 1_000, "expired": 60})
    assert looks.seen == [Seen(ready=50, accepted=300, ended=160, seconds=0.5)]


def test_after_a_time_without_anything_that_waited_it_begins_anew(looks: Looks) -> None:
    looks.look(10, 1_000, {"delivered": 900})
    looks.look(0)
    looks.look(20, 9_000, {"delivered": 8_000})
    looks.look(20, 9_100, {"delivered": 8_050})

    assert looks.seen[1:] == [Seen(ready=20, accepted=100, ended=50, seconds=0.5)]
