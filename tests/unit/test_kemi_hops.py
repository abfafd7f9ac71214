"""What answers do to a next hop, and which of its addresses is taken."""

import importlib
import socket
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

import pytest

OURS = (
    "ksr_reader", "ksr_writer", "window", "hop_state", "hop_probe", "hop_watch", "metrics", "named_hops",
    "hops", "tcp_probe",
)  # fmt: skip
FIRST, SECOND, THIRD = "sip:192.0.2.1:6060;lr", "sip:192.0.2.2:6060;lr", "sip:192.0.2.3:6060;lr"
NOW = 1_800_000_000_000


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Kamailio's shared table, and modules that see it."""
    table: dict[str, Any] = {}
    fake = MagicMock(name="KSR")
    fake.htable.sht_get.side_effect = lambda _, key: table.get(key)
    fake.htable.sht_sets.side_effect = lambda _, key, value: table.__setitem__(key, value)
    fake.htable.sht_rm.side_effect = lambda _, key: table.pop(key, None)
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
    assert state(modules).down_until_ms == later_ms + 40_000
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


def way(of: Any, uri: str, failures: int = 0, *, by_tcp: bool = False, silent: tuple[str, ...] = ()) -> Any:
    return of.way(uri, failures, by_tcp=by_tcp, is_silent=silent.__contains__)


def address(of: Any, uri: str, failures: int = 0, *, by_tcp: bool = False) -> str:
    return str(way(of, uri, failures, by_tcp=by_tcp).address)


def test_each_try_that_found_nobody_is_followed_by_the_next_address(modules: Any) -> None:
    found = [address(hops(modules), FIRST, failures) for failures in range(5)]

    assert found == [FIRST, SECOND, THIRD, FIRST, SECOND]


@pytest.mark.parametrize("key", ["down", "pause"])
def test_an_address_that_is_down_or_paused_is_passed_over_unless_all_are(
    modules: Any, shared: dict[str, Any], key: str
) -> None:
    hop_of = modules["window"].hop_of
    shared[f"{key}:{hop_of(FIRST)}"] = str(NOW + 1_000)
    assert address(hops(modules), FIRST) == SECOND
    for uri in (SECOND, THIRD):
        shared[f"{key}:{hop_of(uri)}"] = str(NOW + 1_000)
    assert address(hops(modules), FIRST) == FIRST
    assert address(hops(modules), "sip:192.0.2.9", 3) == "sip:192.0.2.9"


def test_an_address_that_has_answered_nothing_for_seconds_is_passed_over(modules: Any) -> None:
    silent = modules["window"].hop_of(FIRST)

    assert way(hops(modules), FIRST, silent=(silent,)).address == SECOND


def test_a_name_stands_for_its_servers_and_keeps_standing_for_trust(
    modules: Any, shared: dict[str, Any]
) -> None:
    shared["sip:scscf.home1.example:6060"] = "udp|192.0.2.7|6060 udp|2001:db8::1|6060"
    of = modules["hops"].Hops(0.0, 1, {})
    named = "sip:scscf.home1.example:6060;lr"

    assert [way(of, named, n)[:2] for n in range(3)] == [
        (named, "sip:192.0.2.7:6060;lr"),
        (named, "sip:[2001:db8::1]:6060;lr"),
        (named, "sip:192.0.2.7:6060;lr"),
    ]


def test_a_name_that_nobody_has_looked_up_is_waited_for_and_one_that_is_not_there_is_not(
    modules: Any, shared: dict[str, Any]
) -> None:
    of = modules["hops"].Hops(0.0, 1, {})
    named, key = "sip:scscf.home1.example;lr", "sip:scscf.home1.example"
    assert (way(of, named).address, way(of, named).wait_ms) == ("", 100)
    assert shared[key] == f"?{NOW}"

    shared[key] = f"?{NOW - 2_000}"
    assert way(of, named).wait_ms >= 4_999  # DNS is silent
    shared[key] = "-"
    assert way(of, named) == (named, "", 0, "DNS does not know it")


def test_another_address_is_not_taken_for_a_name_that_is_being_looked_up_but_for_one_that_dns_is_silent_about(
    modules: Any, shared: dict[str, Any]
) -> None:
    of = modules["hops"].Hops(0.0, 1, {"scscf.home1.example": (SECOND,)})
    assert way(of, "sip:scscf.home1.example;lr")[1:3] == ("", 100)

    shared["sip:scscf.home1.example"] = f"?{NOW - 2_000}"
    assert way(of, "sip:scscf.home1.example;lr").address == SECOND


def test_a_silent_hop_that_has_another_beside_it_is_asked_until_it_says_something(
    modules: Any, shared: dict[str, Any], watch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Any] = []

    def ask(request: Any, reference: str) -> bool:
        sent.append((request, reference))
        return True

    monkeypatch.setattr(modules["ksr_writer"], "send", ask)
    hop = modules["window"].hop_of(FIRST)
    way(hops(modules), FIRST)
    assert shared[f"uri:{hop}"] == FIRST
    answers(watch, 0, hop=hop)
    answers(watch, 0, hop="aaaa")

    watch.ask_silent("sip:psa@home1.example", NOW)
    watch.ask_silent("sip:psa@home1.example", NOW)
    ((request, reference),) = sent
    assert (request.method, request.request_uri, request.goes_to) == ("OPTIONS", "sip:192.0.2.1:6060", FIRST)
    assert reference == f"o|{hop}"
    assert state(modules, hop).down_until_ms == 0

    watch.asked(hop, NOW + 32_000, local=True)
    assert state(modules, hop).down_until_ms == NOW + 72_000
    watch.ask_silent("sip:psa@home1.example", NOW + 36_999)
    assert len(sent) == 1
    watch.ask_silent("sip:psa@home1.example", NOW + 37_000)
    assert len(sent) == 2
    watch.asked(hop, NOW + 38_000, local=False)
    assert state(modules, hop).down_until_ms == 0
    watch.asked(hop, NOW + 69_000, local=True)  # of one that was sent before
    watch.ask_silent("sip:psa@home1.example", NOW + 99_000)
    assert len(sent) == 2


def test_a_hop_that_is_away_for_an_hour_is_asked_no_more(modules: Any, watch: Any) -> None:
    hop = modules["window"].hop_of(FIRST)
    way(hops(modules), FIRST)
    answers(watch, 0, hop=hop)
    watch.asked(hop, NOW + 3_600_000, local=True)

    watch.ask_silent("sip:psa@home1.example", NOW + 9_000_000)
    assert state(modules, hop).down_until_ms == NOW + 3_640_000


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


def test_only_hops_that_have_changed_are_read_again(modules: Any, shared: dict[str, Any]) -> None:
    """There may be as many as devices."""
    one, state = hops(modules), modules["hop_state"]
    for n in range(1_000):
        one.pause_ms(f"hop{n}")
    read: list[str] = []
    get = state.KSR.htable.sht_get.side_effect

    def noted(table: str, key: str) -> object:
        read.append(key)
        return get(table, key)

    state.KSR.htable.sht_get.side_effect = noted
    state.pause("hop7", NOW + 5_000)
    state.down("hop8", NOW + 5_000)
    read.clear()
    one.look(1.0)

    assert {key for key in read if ":hop" in key} == {
        f"{what}:hop{n}" for what in ("pause", "slow", "down") for n in (7, 8)
    }
    assert one.pause_ms("hop7") >= 5_000
    state.down("hop8", 0)
    assert "down:hop8" not in shared


def test_who_has_missed_many_changes_reads_all_hops(modules: Any) -> None:
    one, state = hops(modules), modules["hop_state"]
    one.pause_ms("aaaa")
    state.pause("aaaa", NOW + 5_000)
    for n in range(500):
        state.slow(f"hop{n}")
    one.look(1.0)

    assert one.pause_ms("aaaa") >= 5_000


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

        assert address(one, refuses) == works
        assert address(one, works, by_tcp=True) == works
        assert address(one, f"sip:{host}") == f"sip:{host}"
        assert way(modules["hops"].Hops(0.0, 1, {}), refuses) == (
            refuses,
            "",
            0,
            "it refuses TCP connections",
        )


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
