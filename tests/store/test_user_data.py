"""All data of one user: found in every slot, erased without touching anybody else's, again and again."""

from __future__ import annotations

from typing import Any

import pytest

from omapush import clock
from omapush.protocol.packet import Endpoint
from omapush.protocol.redaction import Redacted
from omapush.push.hosted import HostedPush
from omapush.push.registration import Registration
from omapush.push.tracing import Kept, captured
from omapush.push.values import Event, Recipient, Result, target, ticket
from omapush.store import (
    codec,
    erasing,
    handing_over,
    keys,
    lists,
    outbox,
    owed,
    push_pages,
    pushes,
    traces,
    user_data,
)
from omapush.store.client import Store
from omapush.store.outbox import Finished, Owner
from omapush.store.pushes import Stored, Submission
from tests.store.conftest import Make

ALICE, BOB, TEL = "sip:alice@home1.example", "sip:bob@home1.example", "tel:+358401234567"
OWNER = Owner("node", "run", 0)
KEEP_S = 1_000


def submission(make: Make, *aors: str, notify_url: str = "") -> Submission:
    now_ms = clock.now_ms()
    one = make.submission(*aors, notify_url=notify_url)
    push = one.push._replace(accepted_ms=now_ms, deliver_before_ms=now_ms + 600_000, replace_key="k")
    recipients = tuple(Recipient(f"{aor} as written", aor) for aor in aors)
    return one._replace(push=push, recipients=recipients)


def accepted(store: Store, make: Make, *aors: str, notify_url: str = "") -> Submission:
    one = submission(make, *aors, notify_url=notify_url)
    assert pushes.accept_all(store, [one]) == [True]
    handing_over.fresh(store, [one], now_ms=clock.now_ms(), retention_s=KEEP_S)
    return one


def ended(store: Store, one: Submission, index: int) -> None:
    now_ms = clock.now_ms()
    result = Result(
        "delivered", "1000", f"delivered to {one.recipients[index].aor}", "MESSAGE", 200, 1, now_ms
    )
    event = Event(now_ms, index, "final", f"at {one.recipients[index].aor}")
    pushes.store_results(
        store, [Stored(one.push.ref, index, result, True, event)], now_ms=now_ms, retention_s=KEEP_S
    )
    place = ticket(pushes.delivery_of(one.push, index, one.recipients[index], b""))
    outbox.complete(store, [Finished(place, 0)])


def erase(store: Store, aor: str) -> dict[str, tuple[int, int]]:
    done = erasing.erase(store, user_data.known_as(store, aor), now_ms=clock.now_ms(), retention_s=KEEP_S)
    return {one.what: (one.erased, one.left) for one in done if one.erased or one.left}


def everything_in(store: Store) -> str:
    """All names and values in Redis as text."""
    found: list[Any] = []
    for name in store.db.scan_iter():
        kind = store.db.type(name)
        found.append(name)
        if kind == b"string":
            found.append(store.db.get(name))
        elif kind == b"hash":
            found.append(store.db.hgetall(name))
        elif kind == b"zset":
            found.append(store.db.zrange(name, 0, -1))
        elif kind == b"set":
            found.append(store.db.smembers(name))
        elif kind == b"list":
            found.append(store.db.lrange(name, 0, -1))
        elif kind == b"stream":
            found.append(store.db.xrange(name))
    return repr(found)


def hosted_push(recipient: str, sender: str) -> HostedPush:
    return HostedPush(
        version=1,
        id=target(recipient) + target(sender),
        application="mms.ua",
        sender=sender,
        recipient=recipient,
        content_type="text/plain",
        content=b"x",
        fields=(),
        push_id="",
        initiator_uri="",
        content_uri="",
        valid_until_ms=0,
        wrapped=False,
        method="MESSAGE",
        call_id="a call",
        received_ms=clock.now_ms(),
    )


def fill(store: Store, make: Make, aor: str) -> None:
    """Something of every kind that a name can be read from."""
    number = store.layout.user_shard(aor)
    now_ms = clock.now_ms()
    registration = Registration(1, aor, "sip:scscf", "", now_ms + 60_000, (), (), "", "", 0, now_ms)
    store.db.set(keys.registration(number, aor), codec.encode(registration))
    for name in ("cap", "watch", "turns", "refer", "hosted-seen"):
        more = {"watch": ":reg", "turns": ":mms.ua", "refer": "12345678", "hosted-seen": "0" * 16}.get(
            name, ""
        )
        store.db.set(f"{name}:{{u{number}}}:{target(aor)}{more}", aor, ex=600)
    store.db.zadd(keys.watches_due(number), {aor: 1, f"presence {aor}": 1})
    lists.create(store, "pi", "friends", most=10)
    lists.change(store, "pi", "friends", remove=[], add=[aor], most=10)
    hosted = hosted_push(aor, "sip:carol@home1.example")
    store.db.hset(keys.hosted(number, "push", "mms.ua"), hosted.id, codec.encode(hosted))
    store.db.zadd(keys.hosted(number, "due", "mms.ua"), {hosted.id: 1})
    store.db.xadd(
        keys.hosted(number, "stream", "mms.ua"),
        {"recipient": aor, "sender": "sip:carol@home1.example", "id": "1"},
    )


def test_after_an_erasure_the_name_is_nowhere_and_the_others_are_as_before(store: Store, make: Make) -> None:
    finished, waiting = accepted(store, make, ALICE, BOB), accepted(store, make, BOB, ALICE)
    ended(store, finished, 0)
    for aor in (ALICE, BOB):
        fill(store, make, aor)
    from_alice = hosted_push("sip:carol@home1.example", ALICE)
    number = store.layout.user_shard(from_alice.recipient)
    store.db.hset(keys.hosted(number, "push", "mms.ua"), from_alice.id, codec.encode(from_alice))
    assert ALICE in everything_in(store)
    bob_before = user_data.known_as(store, BOB)
    kept = erasing.everything(store, bob_before)

    done = erase(store, ALICE)

    assert ALICE not in everything_in(store)
    assert done["results of pushes"] == (2, 0)
    assert done["waiting pushes"] == (1, 0)
    assert done["pushes for hosted applications"] == (3, 0)
    assert done["distribution lists"] == (1, 0)
    after = erasing.everything(store, bob_before)
    assert {name: after[name] for name in after if name != "pushes"} == {
        name: kept[name] for name in kept if name != "pushes"
    }
    assert [one["result"] for one in after["pushes"]] == [one["result"] for one in kept["pushes"]]
    known = pushes.read(store, waiting.push.ref)
    assert known is not None
    assert [(one.aor, result.state) for one, result in zip(known.recipients, known.results, strict=True)] == [
        (BOB, "pending"),
        ("", "cancelled"),
    ]
    assert [delivery.aor for delivery in pushes.open_deliveries(store, waiting.push.ref)] == [BOB]


def test_a_second_run_finds_nothing(store: Store, make: Make) -> None:
    ended(store, accepted(store, make, ALICE), 0)
    fill(store, make, ALICE)
    erase(store, ALICE)

    assert erase(store, ALICE) == {}


@pytest.mark.parametrize("steps", range(10))
def test_a_run_that_was_cut_off_is_finished_by_the_next(store: Store, make: Make, steps: int) -> None:
    ended(store, accepted(store, make, ALICE, BOB), 0)
    accepted(store, make, ALICE)
    fill(store, make, ALICE)
    run = erasing.erase(store, user_data.known_as(store, ALICE), now_ms=clock.now_ms(), retention_s=KEEP_S)
    for _ in range(steps):
        next(run)

    erase(store, ALICE)

    assert ALICE not in everything_in(store)


def test_what_is_at_a_sender_or_owed_to_its_initiator_is_left_for_the_next_run(
    store: Store, make: Make
) -> None:
    told, sent = accepted(store, make, ALICE, notify_url="http://pi.example/"), submission(make, ALICE)
    ended(store, told, 0)
    sent = sent._replace(push=sent.push._replace(replace_key=""))
    assert pushes.accept_all(store, [sent]) == [True]
    handing_over.fresh(store, [sent], now_ms=clock.now_ms(), retention_s=KEEP_S)
    shards = list(range(store.layout.user_shards))
    outbox.claim(store, shards, OWNER, lease_ms=10_000, transaction_ms=10_000)
    outbox.take(store, shards, OWNER, transaction_ms=10_000, most=10)

    done = erase(store, ALICE)

    assert done["waiting pushes"] == (0, 1)
    assert done["results of pushes"] == (0, 2)
    ended(store, sent, 0)
    ((member, _),) = owed.borrow_due(store, now_ms=clock.now_ms(), lease_ms=1, most=10)
    owed.settle_all(store, [owed.Settlement(member, 0, Event(clock.now_ms(), 0, "notified", ""))])
    assert erase(store, ALICE)["results of pushes"] == (2, 0)
    assert ALICE not in everything_in(store)


def test_an_address_that_was_refused_is_erased_with_the_user_whom_it_means(store: Store, make: Make) -> None:
    """The second of two addresses of one user gets no push of its own, and so no address of record."""
    one = submission(make, ALICE, BOB)
    other = "WAPPUSH=" + ALICE.removeprefix("sip:").replace("@", "%40") + "/TYPE=USER@ppg.home1.example"
    refused = Result("undeliverable", "2002", f"the same recipient as {ALICE}", "", 0, 0, clock.now_ms())
    one = one._replace(
        recipients=(*one.recipients, Recipient(other, ""), Recipient("nonsense", "")),
        results=(*one.results, refused, refused._replace(desc="no address")),
    )
    assert pushes.accept_all(store, [one]) == [True]
    ended(store, one, 0)

    assert [
        part["index"] for part in erasing.everything(store, user_data.known_as(store, ALICE))["pushes"]
    ] == [0, 2]
    erase(store, ALICE)

    known = pushes.read(store, one.push.ref)
    assert known is not None
    assert [recipient.address for recipient in known.recipients[2:]] == ["erased", "nonsense"]
    assert ALICE.removeprefix("sip:").partition("@")[0] + "%40" not in everything_in(store)


def test_a_tel_identity_and_its_sip_identity_are_one_user(store: Store, make: Make) -> None:
    store.db.set(keys.alias(store.layout.user_shard(TEL), TEL), ALICE)
    store.db.set(keys.alias(store.layout.user_shard("tel:+1"), "tel:+1"), BOB)
    ended(store, accepted(store, make, ALICE), 0)

    for name in (ALICE, TEL):
        assert set(user_data.known_as(store, name).identities) == {ALICE, TEL}
    erase(store, TEL)

    assert ALICE not in everything_in(store)
    assert TEL not in everything_in(store)
    assert user_data.known_as(store, BOB).aliases == ("tel:+1",)


def test_one_recipient_of_many_is_erased_and_the_others_stay(store: Store, make: Make) -> None:
    aors = [f"sip:{number}@home1.example" for number in range(push_pages.LARGE + 50)]
    one = submission(make, *aors)
    one = one._replace(push=one.push._replace(replace_key=""))
    assert pushes.accept_large(store, one)
    ended(store, one, push_pages.LARGE + 7)
    handing_over.left(store, one.push.ref, now_ms=clock.now_ms(), retention_s=KEEP_S)

    erase(store, aors[push_pages.LARGE + 7])

    known = pushes.read(store, one.push.ref)
    assert known is not None
    assert [recipient.aor for recipient in known.recipients] == [
        "" if index == push_pages.LARGE + 7 else aor for index, aor in enumerate(aors)
    ]


def test_a_push_that_runs_out_meanwhile_does_not_come_back(store: Store, make: Make) -> None:
    one = accepted(store, make, ALICE)
    ended(store, one, 0)
    (part,) = user_data.parts(store, user_data.known_as(store, ALICE))
    key = keys.push(store.layout.push_shard(one.push.ref), one.push.ref)
    store.db.delete(key)

    assert not user_data.erase_part(store, part)
    assert store.db.exists(key) == 0


def test_traces_of_a_user_go_and_those_of_others_stay(store: Store, make: Make) -> None:
    one = accepted(store, make, ALICE, BOB)
    ended(store, one, 0)
    ended(store, one, 1)
    here, there = Endpoint("192.0.2.1", 1), Endpoint("192.0.2.2", 2)
    message = captured(Redacted(b"MESSAGE sip:somebody"), 1, "udp", here, there)
    kept = [(one.push.ref, Kept(index, message)) for index in (0, 1)]
    traces.keep(store, kept, most=9, keep_s=60)
    now_ms = clock.now_ms()
    for aor in (ALICE, BOB):
        traces.switch_on(store, traces.user_switch(aor), until_ms=now_ms + 60_000, now_ms=now_ms)
    alice = user_data.known_as(store, ALICE)
    assert [found["ref"] for found in erasing.everything(store, alice)["traces"]] == [one.push.ref]

    list(erasing.erase(store, alice, now_ms=now_ms, retention_s=KEEP_S))

    assert [left.recipient for left in traces.read(store, one.push.ref)] == [1]
    assert traces.wanted(store, now_ms, share=0).users == {BOB}
