"""What answers do to a next hop, and which of its addresses is taken."""

import importlib
import socket
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

import pytest

OURS = ("window", "hop_state", "hop_watch", "metrics", "hops", "tcp_probe")
FIRST, SECOND, THIRD = "sip:192.0.2.1:6060;lr", "sip:192.0.2.2:6060;lr", "sip:192.0.2.3:6060;lr"
NOW = 1_800_000_000_000


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Kamailio's shared table, and modules that see it."""
    table: dict[str, Any] = {}
    fake = MagicMock(name="KSR")
    fake.htable.sht_get.side_effect = lambda _, key: table.get(key)
    fake.htable.sht_sets.side_effect = lambda _, key, value: table.__setitem__(key, value)
    fake.htable.sht_seti.side_effect = lambda _, key, value: table.__setitem__(key, value)
    monkeypatch.setitem(sys.modules, "KSR", fake)
    for name in OURS:
        monkeypatch.delitem(sys.modules, name, raising=False)
    return table


@pytest.fixture
def modules(shared: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, ModuleType]]:
    _ = shared
    made = {name: importlib.import_module(name) for name in OURS}
    monkeypatch.setattr(made["hops"].clock, "now_ms", lambda: NOW)
    yield made
    for name in OURS:
        sys.modules.pop(name, None)


@pytest.fixture
def watch(modules: dict[str, ModuleType]) -> Any:
    return modules["hop_watch"].HopWatch(60.0)


def answers(
    watch: Any, *codes: int, hop: str = "aaaa", retry_after_s: int | None = None, at_ms: int = NOW
) -> None:
    """Answers for a user each, one millisecond apart."""
    for n, code in enumerate(codes):
        local = code == 0
        watch.answered(hop, f"user{n}", code or 408, at_ms + n, local=local, retry_after_s=retry_after_s)


def state(modules: dict[str, ModuleType], hop: str = "aaaa") -> Any:
    return modules["hop_state"].read(hop)


def test_two_users_503_in_a_row_pause_the_hop_for_retry_after(modules: Any, watch: Any) -> None:
    answers(watch, 503, 503, retry_after_s=7)

    assert state(modules).paused_until_ms == NOW + 1 + 7_000
    assert state(modules, "bbbb").paused_until_ms == 0


def test_one_users_503_alone_pauses_nobody_however_often(modules: Any, watch: Any) -> None:
    for n in range(20):
        watch.answered("aaaa", "one", 503, NOW + n, local=False, retry_after_s=86_400)

    assert state(modules) == modules["hop_state"].HopState()


def test_a_pause_is_no_longer_than_the_operator_lets_it_be(modules: Any, watch: Any) -> None:
    answers(watch, 503, 503, retry_after_s=86_400)

    assert state(modules).paused_until_ms == NOW + 1 + 60_000


def test_503s_among_other_answers_slow_the_hop_only_when_they_are_many(modules: Any, watch: Any) -> None:
    answers(watch, *[200] * 30, 503, 200, 503, 200)
    assert state(modules).slowed == 0

    answers(watch, 200, 503, 200, 503, 200, hop="bbbb")
    assert state(modules, "bbbb").slowed == 1
    assert state(modules, "bbbb").paused_until_ms == 0


def test_a_hop_that_is_silent_three_times_in_a_row_is_down_until_it_says_something(
    modules: Any, watch: Any
) -> None:
    answers(watch, 0, 0, 200)
    later_ms = NOW + 2_002
    answers(watch, 0, 0, at_ms=later_ms)
    assert state(modules).down_until_ms == 0
    answers(watch, 0, at_ms=later_ms)
    assert state(modules).down_until_ms == later_ms + 30_000
    answers(watch, 404, at_ms=later_ms)
    assert state(modules).down_until_ms == 0


def test_silent_devices_behind_a_hop_that_answers_do_not_make_it_count_as_down(
    modules: Any, watch: Any
) -> None:
    """Timeouts come in bunches: what was sent in the same moment ends in the same moment."""
    for n in range(10):
        answers(watch, 200, *[0] * 50, at_ms=NOW + n * 1_000)
        assert state(modules).down_until_ms == 0


def test_where_many_are_answered_a_few_503_in_a_row_do_not_pause_the_hop(modules: Any, watch: Any) -> None:
    answers(watch, *[200] * 200)
    answers(watch, 503, 503, 503, *[200] * 197, retry_after_s=7, at_ms=NOW + 1_000)
    assert state(modules).paused_until_ms == 0

    answers(watch, *[503] * 19, retry_after_s=7, at_ms=NOW + 2_000)
    assert state(modules).paused_until_ms == 0
    answers(watch, *[503] * 20, retry_after_s=7, at_ms=NOW + 2_000)
    assert state(modules).paused_until_ms == NOW + 2_019 + 7_000


def hops(modules: Any, **keys: Any) -> Any:
    alternatives = {"192.0.2.1:6060": (SECOND, THIRD)}
    return modules["hops"].Hops(keys.get("rate", 0.0), keys.get("burst", 1), alternatives)


def test_each_try_that_found_nobody_is_followed_by_the_next_address(modules: Any) -> None:
    found = [hops(modules).address(FIRST, failures, by_tcp=False) for failures in range(5)]

    assert found == [FIRST, SECOND, THIRD, FIRST, SECOND]


@pytest.mark.parametrize("key", ["down", "pause"])
def test_an_address_that_is_down_or_paused_is_passed_over_unless_all_are(
    modules: Any, shared: dict[str, Any], key: str
) -> None:
    hop_of = modules["window"].hop_of
    shared[f"{key}:{hop_of(FIRST)}"] = str(NOW + 1_000)
    assert hops(modules).address(FIRST, 0, by_tcp=False) == SECOND
    for uri in (SECOND, THIRD):
        shared[f"{key}:{hop_of(uri)}"] = str(NOW + 1_000)
    assert hops(modules).address(FIRST, 0, by_tcp=False) == FIRST
    assert hops(modules).address("sip:192.0.2.9", 3, by_tcp=False) == "sip:192.0.2.9"


def test_a_hop_gets_less_of_the_window_after_each_503_and_more_as_time_goes_by(
    modules: Any, shared: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = hops(modules)
    now = [100.0]
    monkeypatch.setattr(modules["hops"].clock, "monotonic", lambda: now[0])
    assert one.window("aaaa", 800) == 800
    for expected in (400, 200, 100):
        modules["hop_state"].slow("aaaa")
        one.look(1.0)
        assert one.window("aaaa", 800) == expected
    now[0] += 2
    assert one.window("aaaa", 800) == 100 + 160
    now[0] += 60
    assert one.window("aaaa", 800) == 800
    for _ in range(40):
        modules["hop_state"].slow("aaaa")
        one.look(1.0)
    assert one.window("aaaa", 10) == 1
    assert shared["changes"] == 43


def test_a_paused_hop_is_left_alone_and_others_are_not(modules: Any) -> None:
    one = hops(modules)
    one.pause_ms("aaaa")
    modules["hop_state"].pause("aaaa", NOW + 5_000)
    one.look(1.0)

    assert 5_000 <= one.pause_ms("aaaa") < 6_000
    assert one.pause_ms("bbbb") == 0


def test_a_process_that_sends_for_half_of_the_users_has_half_of_the_rate(modules: Any) -> None:
    one = hops(modules, rate=10, burst=4)
    one.look(0.5)
    waits = [one.turn_ms("aaaa", str(n)) for n in range(4)]

    assert waits[:2] == [0, 0]
    assert 150 < waits[2] <= 200
    assert one.turn_ms("bbbb", "x") == 0


def test_an_address_that_refuses_tcp_is_passed_over(modules: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        works = f"sip:127.0.0.1:{listening.getsockname()[1]};transport=tcp"
        with socket.create_server(("127.0.0.1", 0)) as closed:
            refuses = f"sip:127.0.0.1:{closed.getsockname()[1]};transport=TCP"
        host = refuses.partition(":")[2].partition(";")[0]
        one = modules["hops"].Hops(0.0, 1, {host: (works,)})

        assert one.address(refuses, 0, by_tcp=False) == works
        assert one.address(works, 0, by_tcp=True) == works
        assert one.address(f"sip:{host}", 0, by_tcp=False) == f"sip:{host}"
        assert modules["hops"].Hops(0.0, 1, {}).address(refuses, 0, by_tcp=False) == ""


@pytest.mark.parametrize(
    ("uri", "address"),
    [
        ("sip:192.0.2.1:6060;lr", ("192.0.2.1", 6060)),
        ("sip:orig@192.0.2.1", ("192.0.2.1", 5060)),
        ("sip:[2001:db8::1]:5070;transport=tcp", ("2001:db8::1", 5070)),
        ("sip:scscf1.home1.example:6060", None),
        ("sip:1.2.3:6060", None),
        ("tel:+1555", None),
    ],
)
def test_only_addresses_are_probed(modules: Any, uri: str, address: object) -> None:
    assert modules["tcp_probe"].address_of(uri) == address
