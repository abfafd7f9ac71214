"""Event data records of a running installation, its notifier killed in between."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from omapush.store import books
from tests.harness.sip_peer import SipPeer
from tests.harness.stack import Stack
from tests.harness.wait import wait_until


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("records")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Iterator[Stack]:
    settings = {"records": {"folder": str(folder), "delay_s": 0.0, "rotate_mb": 1}}
    with Stack(tmp_path_factory.mktemp("recorded"), settings, ("redis", "sip", "notifier")) as running:
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
