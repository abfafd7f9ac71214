"""Alarms of a running installation: processes die and come back, and everybody who asks is told."""

import json
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest

from omapush import clock
from omapush.push.alarms import CATALOGUE
from omapush.store import alarms
from tests.harness.sip_peer import Says, SipPeer
from tests.harness.stack import Settings, Stack
from tests.harness.wait import wait_until

SETTINGS: Settings = {
    "alarms": {"every_s": 0.2, "disk_percent": 0.0},
    "delivery": {"transaction_s": 9, "lease_ms": 1000},
    'application."mms.ua"': {"retry": {"attempts": 1, "first_s": 0.05, "longest_s": 0.1}},
}


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("watched"), SETTINGS) as running:
        yield running


def standing(stack: Stack) -> set[str]:
    return {one.name for one in alarms.standing(stack.store, clock.now_ms())}


def shown(stack: Stack) -> set[str]:
    """Names of the alarms that the metric shows as standing."""
    text = httpx.get(f"{stack.http}/metrics", trust_env=False, timeout=10).text
    lines = [line for line in text.splitlines() if line.startswith("omapush_alarm{")]
    assert len(lines) == len(CATALOGUE)
    return {line.partition('name="')[2].partition('"')[0] for line in lines if not line.endswith(" 0.0")}


def omapush(stack: Stack, *words: str) -> str:
    command = [sys.executable, "-m", "omapush.cli.main", "--config", str(stack.config_file), "alarms", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def away(stack: Stack) -> list[bool]:
    """What the history says of Redis, the latest first: True raised, False cleared."""
    return [one.is_raised for one in alarms.history(stack.store) if one.alarm.name == "store-away"]


def quiet(stack: Stack) -> None:
    wait_until(lambda: standing(stack) == set(), 20, lambda: f"no alarm stands: {standing(stack)}")


def test_a_kamailio_that_is_gone_and_its_shards_are_alarms_until_it_is_back(watched: Stack) -> None:
    quiet(watched)
    watched.kill("sip")
    wait_until(lambda: standing(watched) == {"sip-down", "shard-without-owner"}, 20, "both are raised")

    assert shown(watched) == {"sip-down", "shard-without-owner"}
    listed = json.loads(omapush(watched, "list", "--json"))
    by_name = {one["name"]: one for one in listed}
    assert by_name["sip-down"]["action"] == CATALOGUE["sip-down"].action
    assert by_name["sip-down"]["subject"].endswith(f"/127.0.0.1:{watched.sip[1]}")
    assert "4 of 4" in by_name["shard-without-owner"]["found"]

    watched.start("sip")
    quiet(watched)
    told = [(one["change"], one["name"]) for one in json.loads(omapush(watched, "history", "--json"))]
    assert told.count(("raised", "sip-down")) == told.count(("cleared", "sip-down")) == 1
    assert "no alarm stands" in omapush(watched)
    assert "alarm_raised" in watched.parts["notifier"].log_tail(200)


def test_a_redis_that_is_away_is_said_by_who_asks_and_is_in_the_history_afterwards(watched: Stack) -> None:
    quiet(watched)
    watched.kill("redis")
    wait_until(lambda: "name=store-away" in watched.parts["notifier"].log_tail(400), 20, "it is noticed")
    assert shown(watched) == {"store-away"}

    watched.start("redis")
    wait_until(lambda: len(away(watched)) == 2, 20, lambda: f"raised and cleared: {away(watched)}")
    assert away(watched) == [False, True]
    quiet(watched)


def test_a_next_hop_that_says_503_to_several_users_is_an_alarm_about_it(watched: Stack) -> None:
    quiet(watched)
    with SipPeer(watched.core_port) as core:
        core.policy = lambda _: Says(503, "Overloaded", {"Retry-After": "2"})
        for number in range(2):
            watched.submit(f"sip:paused{number}@home1.example")
        wait_until(lambda: standing(watched) == {"next-hop-paused"}, 20, "the hop is paused")
        (one,) = alarms.standing(watched.store, clock.now_ms())
        assert (one.subject, one.severity) == (f"127.0.0.1:{watched.core_port}", "minor")
    quiet(watched)


def test_a_notifier_that_ends_is_missed_at_once_and_one_that_comes_takes_over(watched: Stack) -> None:
    quiet(watched)
    watched.stop("notifier")
    wait_until(lambda: standing(watched) == {"alarms-unwatched"}, 20, "nobody keeps the alarms")
    watched.start("notifier")
    quiet(watched)
