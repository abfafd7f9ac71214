"""Event data records and metrics of a running installation, its notifier killed in between."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from omapush.store import books
from tests.harness import exposition
from tests.harness.sip_peer import SipPeer
from tests.harness.stack import PASSWORD, Settings, Stack
from tests.harness.wait import wait_until


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("records")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Iterator[Stack]:
    settings: Settings = {
        "records": {"folder": str(folder), "delay_s": 0.0, "rotate_mb": 1},
        'application."mms.ua"': {"content_types": ["text/plain"]},
    }
    with Stack(tmp_path_factory.mktemp("recorded"), settings) as running:
        wait_until(lambda: len(running.db.keys("records:*")) == 4, 40, "results are collected")
        yield running


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
    recorded: Stack, folder: Path
) -> None:
    with SipPeer(recorded.core_port) as core:
        ref = recorded.submit("sip:charged@home1.example", b"12345")
        recorded.finished(ref)
        [message] = core.pushes("sip:charged@home1.example")
    wait_until(lambda: any(one["ref"] == ref for one in lines(folder)), 10, "the record is there")

    (one,) = [each for each in lines(folder) if each["ref"] == ref]
    assert one["call_id"] == message.header("Call-ID")
    assert f'icid-value="{one["icid"]}"' in message.header("P-Charging-Vector")
    assert f'orig-ioi="{one["orig_ioi"]}"' in message.header("P-Charging-Vector")
    assert one["node"].endswith(f"/127.0.0.1:{recorded.sip[1]}")
    assert one["accepted"] <= one["sent"] <= one["answered"]
    assert (one["aor"], one["method"], one["size"]) == ("sip:charged@home1.example", "MESSAGE", 5)
    assert (one["state"], one["code"], one["sip_code"], one["attempts"]) == ("delivered", "1000", 200, 1)
    assert "12345" not in json.dumps(one)


def test_killing_the_notifier_loses_no_record_and_the_books_balance(recorded: Stack, folder: Path) -> None:
    with SipPeer(recorded.core_port):
        refs = []
        for turn in range(3):
            refs += [recorded.submit(f"sip:u{turn}.{number}@home1.example") for number in range(40)]
            recorded.kill("notifier")
            recorded.db.delete(*(f"recorder:{{p{number}}}" for number in range(4)))  # its lease is over
            recorded.start("notifier")
        for ref in refs:
            recorded.finished(ref, 20)
        wait_until(
            lambda: {one["ref"] for one in lines(folder)} >= set(refs), 20, "each result has its record"
        )

    times = Counter(one["id"] for one in lines(folder))
    assert set(times.values()) == {1}  # one machine, one folder: it finds what it wrote
    found = books.balance(recorded.store, from_ms=0, to_ms=2**52, forgotten_before_ms=0, rest=lambda: None)
    assert (found.balance, found.waiting) == (True, 0)
    assert found.final >= len(refs)


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


def test_a_scrape_shows_what_is_declared_and_nothing_else(recorded: Stack) -> None:
    declared = exposition.declared()
    submitted = "omapush_pushes_submitted_total"
    results = "omapush_deliveries_results_total"
    delivered = value(recorded, "omapush_system_deliveries_total", state="delivered")
    with SipPeer(recorded.core_port):
        assert submit(recorded, "mms.ua", "sip:counted@home1.example") == 201
        assert submit(recorded, "made.up.ua", "sip:counted@home1.example") == 201
        assert submit(recorded, "mms.ua", "sip:counted@home1.example", "image/png") == 422
        wait_until(
            lambda: value(recorded, results, application="other", code="1000") == 1, 20, "both are over"
        )

    assert value(recorded, submitted, application="mms.ua", code="1001") == 1
    assert value(recorded, submitted, application="other", code="1001") == 1
    assert value(recorded, submitted, application="mms.ua") == 2
    assert value(recorded, "omapush_deliveries_accepted_total") == 2
    assert value(recorded, results, application="mms.ua", method="MESSAGE", code="1000") >= 1
    wait_until(
        lambda: value(recorded, "omapush_system_deliveries_total", state="delivered") == delivered + 2,
        10,
        "they are delivered for all nodes",
    )
    wait_until(lambda: value(recorded, "omapush_records_written_total") > 0, 20, "the notifier told")

    text = scraped(recorded)
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
