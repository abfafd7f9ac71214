"""
What an operator sees of a running installation: alarms, event data records, metrics.

All of it by one stack, whose parts are ended and started again: each test waits until nothing is wrong.
"""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from omapush import clock
from omapush.cli.main import app
from omapush.push.alarms import CATALOGUE
from omapush.store import alarms, books
from tests.harness import exposition
from tests.harness.sip_peer import Says, SipPeer
from tests.harness.stack import PASSWORD, Settings, Stack
from tests.harness.wait import wait_until

SETTINGS: Settings = {
    "alarms": {"every_s": 0.2, "disk_percent": 0.0},
    "delivery": {"transaction_s": 9, "lease_ms": 1000},
    'application."mms.ua"': {
        "retry": {"attempts": 1, "first_s": 0.05, "longest_s": 0.1},
        "content_types": ["text/plain"],
    },
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("records")


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Iterator[Stack]:
    settings = {**SETTINGS, "records": {"folder": str(folder), "delay_s": 0.0, "rotate_mb": 1}}
    with Stack(tmp_path_factory.mktemp("watched"), settings) as running:
        wait_until(lambda: len(running.db.keys("records:*")) == 4, 40, "results are collected")
        yield running


# Alarms -------------------------------------------------------------------------------------------


def standing(stack: Stack) -> set[str]:
    return {one.name for one in alarms.standing(stack.store, clock.now_ms())}


def shown(stack: Stack) -> set[str]:
    """Names of the alarms that the metric shows as standing."""
    text = httpx.get(f"{stack.http}/metrics", trust_env=False, timeout=10).text
    lines = [line for line in text.splitlines() if line.startswith("omapush_alarm{")]
    assert len(lines) == len(CATALOGUE)
    return {line.partition('name="')[2].partition('"')[0] for line in lines if not line.endswith(" 0.0")}


def omapush(stack: Stack, *words: str) -> str:
    result = CliRunner().invoke(app, ["--config", str(stack.config_file), "alarms", *words])
    assert result.exit_code == 0, result.output
    return result.stdout


def history(stack: Stack) -> Counter[tuple[str, str]]:
    """How often each alarm was raised and cleared."""
    return Counter((one["change"], one["name"]) for one in json.loads(omapush(stack, "history", "--json")))


def away(stack: Stack) -> list[bool]:
    """What the history says of Redis, the latest first: True raised, False cleared."""
    return [one.is_raised for one in alarms.history(stack.store) if one.alarm.name == "store-away"]


def quiet(stack: Stack) -> None:
    wait_until(lambda: standing(stack) == set(), 20, lambda: f"no alarm stands: {standing(stack)}")


def test_a_kamailio_that_is_gone_and_its_shards_are_alarms_until_it_is_back(watched: Stack) -> None:
    quiet(watched)
    before = history(watched)  # the parts start beside each other: the notifier may have missed Kamailio then
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
    told = history(watched) - before
    assert told["raised", "sip-down"] == told["cleared", "sip-down"] == 1
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


# Event data records -------------------------------------------------------------------------------


def lines(folder: Path) -> list[dict[str, Any]]:
    found = []
    for file in sorted(folder.glob("results*.jsonl")):
        for line in file.read_text().splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                continue  # is being written
    return found


def test_a_delivered_push_has_its_record_with_the_charging_id_that_was_on_the_wire(
    watched: Stack, folder: Path
) -> None:
    with SipPeer(watched.core_port) as core:
        ref = watched.submit("sip:charged@home1.example", b"12345")
        watched.finished(ref)
        [message] = core.pushes("sip:charged@home1.example")
    wait_until(lambda: any(one["ref"] == ref for one in lines(folder)), 10, "the record is there")

    (one,) = [each for each in lines(folder) if each["ref"] == ref]
    assert one["call_id"] == message.header("Call-ID")
    assert f'icid-value="{one["icid"]}"' in message.header("P-Charging-Vector")
    assert f'orig-ioi="{one["orig_ioi"]}"' in message.header("P-Charging-Vector")
    assert one["node"].endswith(f"/127.0.0.1:{watched.sip[1]}")
    assert one["accepted"] <= one["sent"] <= one["answered"]
    assert (one["aor"], one["method"], one["size"]) == ("sip:charged@home1.example", "MESSAGE", 5)
    assert (one["state"], one["code"], one["sip_code"], one["attempts"]) == ("delivered", "1000", 200, 1)
    assert "12345" not in json.dumps(one)


def test_killing_the_notifier_loses_no_record_and_the_books_balance(watched: Stack, folder: Path) -> None:
    with SipPeer(watched.core_port):
        refs = []
        for turn in range(2):
            refs += [watched.submit(f"sip:u{turn}.{number}@home1.example") for number in range(40)]
            watched.kill("notifier")
            watched.start("notifier")
        for ref in refs:
            watched.finished(ref, 20)
        wait_until(
            lambda: {one["ref"] for one in lines(folder)} >= set(refs), 20, "each result has its record"
        )

    times = Counter(one["id"] for one in lines(folder))
    assert set(times.values()) == {1}  # one machine, one folder: it finds what it wrote
    found = books.balance(
        watched.store, from_ms=0, to_ms=2**52, forgotten_before_ms=lambda: 0, rest=lambda: None
    )
    assert (found.balance, found.waiting) == (True, 0)
    assert found.final >= len(refs)


# Metrics ------------------------------------------------------------------------------------------


def scraped(stack: Stack) -> str:
    return httpx.get(f"{stack.http}/metrics", trust_env=False, timeout=10).text


def value(stack: Stack, name: str, **labels: str) -> float:
    """The sum of the samples of that name with these labels."""
    found = exposition.samples(scraped(stack))
    return sum(one.value for one in found if one.name == name and labels.items() <= one.labels.items())


def submit(stack: Stack, application: str, to: str, content_type: str = "text/plain") -> int:
    body = {"to": [to], "application": application, "content_type": content_type, "content": "hello"}
    auth = ("trusted", PASSWORD)
    return httpx.post(
        f"{stack.http}/v1/pushes", json=body, auth=auth, trust_env=False, timeout=10
    ).status_code


def test_a_scrape_shows_what_is_declared_and_nothing_else(watched: Stack) -> None:
    declared = exposition.declared()
    submitted = "omapush_pushes_submitted_total"
    results = "omapush_deliveries_results_total"
    delivered = value(watched, "omapush_system_deliveries_total", state="delivered")
    with SipPeer(watched.core_port):
        assert submit(watched, "mms.ua", "sip:counted@home1.example") == 201
        assert submit(watched, "made.up.ua", "sip:counted@home1.example") == 201
        assert submit(watched, "mms.ua", "sip:counted@home1.example", "image/png") == 422
        wait_until(
            lambda: value(watched, results, application="other", code="1000") == 1, 20, "both are over"
        )

    assert value(watched, submitted, application="mms.ua", code="1001") == 1
    assert value(watched, submitted, application="other", code="1001") == 1
    assert value(watched, submitted, application="mms.ua") == 2
    assert value(watched, "omapush_deliveries_accepted_total") == 2
    assert value(watched, results, application="mms.ua", method="MESSAGE", code="1000") >= 1
    wait_until(
        lambda: value(watched, "omapush_system_deliveries_total", state="delivered") == delivered + 2,
        10,
        "they are delivered for all nodes",
    )
    wait_until(lambda: value(watched, "omapush_records_written_total") > 0, 20, "the notifier told")

    text = scraped(watched)
    types = exposition.types(text)
    assert set(declared) - set(types) <= set(exposition.of_kamailio())
    for name, kind in types.items():
        if not exposition.SHARED_MEMORY.fullmatch(name):
            assert declared[name].type == kind, name
    for sample in exposition.samples(text):
        if exposition.SHARED_MEMORY.fullmatch(sample.name):
            assert not sample.labels
            continue
        family = exposition.family_of(sample.name, declared)
        assert family is not None, sample
        assert set(sample.labels) == family[1].labels, sample
