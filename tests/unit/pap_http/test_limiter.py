"""So often within a minute, for each name by itself."""

from omapush.pap_http import limiter
from omapush.pap_http.limiter import Limiter


class Clock:
    """Time that a test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_each_name_has_its_own_minute() -> None:
    clock = Clock()
    limit = Limiter(2, clock)

    assert [limit.takes("a") for _ in range(3)] == [True, True, False]
    assert limit.is_used_up("a")
    assert not limit.is_used_up("b")
    assert limit.takes("b")
    clock.now = 60.0
    assert not limit.is_used_up("a")
    assert limit.takes("a")


def test_names_are_forgotten_when_there_are_too_many() -> None:
    limit = Limiter(1, Clock())
    for number in range(limiter._MOST_NAMES + 1):
        assert limit.takes(str(number))

    assert limit.takes("0")
    assert not limit.takes("2")
