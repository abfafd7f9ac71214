"""Event data records: each final result waits for its record, until it is in a file."""

import json
from pathlib import Path
from typing import Any

import pytest

from omapush import config
from omapush.notifier.metrics import NotifierMetrics
from omapush.notifier.recorder import Recorder
from omapush.push.event_record import Carried
from omapush.push.values import Event, Recipient, Result
from omapush.store import health, keys, pushes, records
from omapush.store.client import Store
from omapush.store.records import Waiting
from tests.harness.stack import Stack
from tests.harness.wait import wait_until
from tests.store.conftest import NOW_MS, Make

DELIVERED = Result("delivered", "1000", "OK", "MESSAGE", 200, 1, NOW_MS + 9)


def borrow(store: Store, who: str = "a", *, most: int = 100, age_ms: int = 0) -> list[Waiting]:
    return records.borrow(store, who, lease_ms=60_000, age_ms=age_ms, most=most)


def end(store: Store, ref: str, index: int = 0, *, final: bool = True, event: Any = None) -> None:
    told = event or Event(NOW_MS, index, "final", "")
    carried = str(Carried(NOW_MS + 5, "host/192.0.2.1:5070", ""))
    stored = pushes.Stored(ref, index, DELIVERED, final, told, carried)
    pushes.store_results(store, [stored], now_ms=NOW_MS, retention_s=60)


def recorder(stack: Stack, folder: Path) -> Recorder:
    section = {"folder": str(folder), "delay_s": 0.0}
    tables: dict[str, Any] = {"records": section, "redis": {"url": stack.config.redis.url}}
    tables["redis"] |= {"user_shards": 4, "push_shards": 4}
    return Recorder(config.parse(tables, "test.toml"), stack.store, NotifierMetrics())


def lines(folder: Path) -> list[dict[str, Any]]:
    text = "".join(file.read_text() for file in sorted(folder.glob("results*.jsonl")))
    return [json.loads(line) for line in text.splitlines()]


def test_without_a_recorder_nothing_is_collected(store: Store, make: Make) -> None:
    submission = make.submission()
    pushes.accept_all(store, [submission])
    end(store, submission.push.ref)

    assert store.db.keys("records:*") == []
    assert records.oldest_ms(store) == 0


def test_every_final_result_waits_once_and_no_other(store: Store, make: Make) -> None:
    borrow(store)
    refused = Result("undeliverable", "2003", "nobody", "", 0, 0, NOW_MS)
    submission = make.submission("sip:a@home1.example", "sip:b@home1.example", notify_url="")
    submission = submission._replace(
        recipients=(*submission.recipients, Recipient("nobody", "")), results=(*submission.results, refused)
    )
    pushes.accept_all(store, [submission])
    ref = submission.push.ref
    for _ in range(2):
        end(store, ref, 0)
        end(store, ref, 1, final=False)

    found = borrow(store)
    assert [(one.recipient, bool(one.result)) for one in found] == [(2, False), (0, True)]
    assert found[1].carried == Carried(NOW_MS + 5, "host/192.0.2.1:5070", "")
    assert not store.db.exists(keys.notify(store.layout.push_shard(ref)))


def test_one_records_a_shard_and_what_is_not_settled_comes_again(store: Store, make: Make) -> None:
    borrow(store)
    submission = make.submission()
    pushes.accept_all(store, [submission])
    end(store, submission.push.ref)

    assert borrow(store, "b") == []
    first = borrow(store)
    assert len(first) == 1
    assert borrow(store) == first
    records.settle(store, first)
    records.settle(store, first)
    assert borrow(store) == []


def test_a_result_waits_for_its_age(store: Store, make: Make) -> None:
    borrow(store)
    submission = make.submission()
    pushes.accept_all(store, [submission])
    end(store, submission.push.ref)

    assert borrow(store, age_ms=60_000) == []
    assert records.oldest_ms(store) > 0
    assert health.look(store, NOW_MS).oldest_record_ms == records.oldest_ms(store)


def test_a_result_of_a_push_to_subscribers_is_recorded(store: Store, make: Make) -> None:
    borrow(store)
    submission = make.submission()
    fan = submission._replace(push=submission.push._replace(subscribers=("*",)), recipients=(), results=())
    pushes.accept_all(store, [fan])
    for _ in range(2):
        end(store, fan.push.ref, 7)

    (one,) = borrow(store)
    (known,) = records.read(store, [one])
    assert known is not None
    assert (one.recipient, known.result) == (7, DELIVERED)


def test_the_recorder_writes_each_result_and_takes_it_out(
    redis_only: Stack, store: Store, make: Make, tmp_path: Path
) -> None:
    writer = recorder(redis_only, tmp_path)
    assert writer.write_due() == 0
    submission = make.submission("sip:a@home1.example", "sip:b@home1.example")
    pushes.accept_all(store, [submission])
    ref = submission.push.ref
    end(store, ref, 1)
    wait_until(lambda: writer.write_due() == 1, 5, "it is written")
    end(store, ref, 0)
    wait_until(lambda: writer.write_due() == 1, 5, "the other is written")

    assert writer.write_due() == 0
    assert [(one["id"], one["state"], one["accepted"]) for one in lines(tmp_path)] == [
        (f"{ref}.1", "delivered", "2027-01-15T08:00:00.000Z"),
        (f"{ref}.0", "delivered", "2027-01-15T08:00:00.000Z"),
    ]
    assert lines(tmp_path)[0]["notified"] is None


def test_a_recorder_that_died_before_noting_it_writes_nothing_twice(
    redis_only: Stack, store: Store, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = recorder(redis_only, tmp_path)
    writer.write_due()
    submission = make.submission()
    pushes.accept_all(store, [submission])
    end(store, submission.push.ref)

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(records, "settle", die)
        wait_until(lambda: _dies(writer), 5, "it died after writing")
    writer._files.close()
    with (tmp_path / "results.jsonl").open("ab") as opened:
        opened.write(b'{"version":1,"id":"torn')
    store.db.delete(*(keys.recorder(number) for number in range(4)))
    again = recorder(redis_only, tmp_path)
    wait_until(lambda: again.write_due() == 1, 5, "it is taken up again")

    assert [one["id"] for one in lines(tmp_path)] == [f"{submission.push.ref}.0"]
    assert again.write_due() == 0


def _dies(writer: Recorder) -> bool:
    try:
        writer.write_due()
    except KeyboardInterrupt:
        return True
    return False


def test_a_result_whose_push_is_forgotten_is_recorded_with_what_is_known(
    redis_only: Stack, store: Store, make: Make, tmp_path: Path
) -> None:
    writer = recorder(redis_only, tmp_path)
    writer.write_due()
    submission = make.submission()
    pushes.accept_all(store, [submission])
    end(store, submission.push.ref)
    store.db.delete(keys.push(store.layout.push_shard(submission.push.ref), submission.push.ref))
    wait_until(lambda: writer.write_due() == 1, 5, "it is written")

    (one,) = lines(tmp_path)
    assert (one["state"], one["application"], one["accepted"]) == ("delivered", "", None)
