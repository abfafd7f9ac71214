"""What operators want traced, and what is kept of it, in Redis."""

from dataclasses import replace

import pytest

from omapush.errors import PushRefused
from omapush.protocol.packet import Endpoint
from omapush.protocol.redaction import Redacted
from omapush.push.tracing import MOST_SWITCHES, Captured, Kept, Switches, captured, in_order
from omapush.push.values import push_ref
from omapush.store import traces
from omapush.store.client import Store
from omapush.store.sealing import KeyRing

NOW_MS = 1_800_000_000_000
REF, OTHER = push_ref("pi", "1"), push_ref("pi", "2")
ALICE = "sip:alice@home1.example"


def message(at_us: int, shown: bytes = b"MESSAGE") -> Captured:
    return captured(Redacted(shown, 3), at_us, "udp", Endpoint("192.0.2.1", 1), Endpoint("2001:db8::2", 2))


def switch_on(store: Store, name: str, value: str = "", *, for_ms: int = 1_000, now_ms: int = NOW_MS) -> None:
    traces.switch_on(store, name, until_ms=now_ms + for_ms, now_ms=now_ms, value=value)


def test_what_is_switched_on_is_wanted_until_its_time_is_over(store: Store) -> None:
    switch_on(store, traces.push_switch(REF))
    switch_on(store, traces.user_switch(ALICE), for_ms=2_000)
    switch_on(store, traces.SHARE, "12.5")

    assert traces.wanted(store, NOW_MS, share=1) == Switches(12.5, frozenset({REF}), frozenset({ALICE}))
    assert traces.wanted(store, NOW_MS + 999, share=1).pushes == {REF}
    assert traces.wanted(store, NOW_MS + 1_000, share=1) == Switches(1, frozenset(), frozenset({ALICE}))
    assert store.db.hlen("tracing") == 1


def test_what_is_switched_off_is_not_wanted_any_more(store: Store) -> None:
    switch_on(store, traces.user_switch(ALICE))

    assert traces.switch_off(store, [traces.user_switch(ALICE), traces.push_switch(REF)]) == 1
    assert not traces.wanted(store, NOW_MS, share=0).is_on


def test_there_is_an_end_to_what_can_be_wanted(store: Store) -> None:
    pipe = store.db.pipeline()
    for number in range(MOST_SWITCHES):
        pipe.hset("tracing", f"push:{number}", f"{NOW_MS + 1_000}")
    pipe.execute()

    with pytest.raises(PushRefused, match="traced already"):
        switch_on(store, traces.user_switch(ALICE))
    switch_on(store, "push:7", for_ms=5_000)
    switch_on(store, traces.user_switch(ALICE), now_ms=NOW_MS + 1_000)


def test_messages_of_a_push_are_kept_in_order_and_the_newest_of_them(store: Store) -> None:
    rows = [(REF, Kept(0, message(at))) for at in (3, 1, 2)] + [(OTHER, Kept(1, message(9)))]
    traces.keep(store, rows, most=3, keep_s=60)
    assert [one.message.at_us for one in traces.read(store, REF)] == [1, 2, 3]
    assert traces.read(store, OTHER) == [Kept(1, message(9))]

    traces.keep(store, [(REF, Kept(0, message(4)))], most=3, keep_s=60)
    assert [one.message.at_us for one in traces.read(store, REF)] == [1, 2, 4]
    (key,) = store.db.keys(f"trace:*:{REF}")
    assert 0 < store.db.ttl(key) <= 60


def test_one_recipient_is_forgotten_and_the_others_stay(store: Store) -> None:
    traces.keep(store, [(REF, Kept(index, message(index))) for index in (0, 1, 0)], most=9, keep_s=60)

    assert traces.forget(store, REF, 0) == 2
    assert [one.recipient for one in traces.read(store, REF)] == [1]
    assert traces.forget(store, OTHER, 0) == 0


def test_messages_are_sealed_as_contents_are(store: Store) -> None:
    sealing = replace(store, ring=KeyRing((b"k" * 32,)))
    traces.keep(sealing, [(REF, Kept(0, message(1, b"MESSAGE for somebody")))], most=9, keep_s=60)

    (key,) = store.db.keys(f"trace:*:{REF}")
    assert b"somebody" not in (store.db.dump(key) or b"somebody")
    assert traces.read(sealing, REF)[0].message.shown == b"MESSAGE for somebody"


def test_no_answer_comes_before_its_request_however_late_that_was_seen() -> None:
    def seen(at_us: int, line: bytes, branch: bytes) -> Kept:
        return Kept(
            0, message(at_us, line + b"\r\nVia: SIP/2.0/UDP h;rport;branch=" + branch + b";x=1\r\n\r\n")
        )

    ask, answer = b"MESSAGE sip:a SIP/2.0", b"SIP/2.0 200 OK"
    rows = [
        seen(1, answer, b"z9hG4bKb"),
        seen(2, answer, b"z9hG4bKa"),
        seen(3, ask, b"z9hG4bKa"),
        seen(4, ask, b"z9hG4bKb"),
        seen(5, ask, b"z9hG4bKa"),
        seen(6, ask, b"z9hG4bKc"),
        seen(7, answer, b"z9hG4bKc"),
        seen(8, answer, b"z9hG4bKd"),
    ]

    found = [(one.message.at_us, one.message.shown[:7]) for one in in_order(reversed(rows))]
    assert found == [
        (1, b"MESSAGE"),
        (1, b"SIP/2.0"),
        (2, b"MESSAGE"),
        (2, b"SIP/2.0"),
        (5, b"MESSAGE"),
        (6, b"MESSAGE"),
        (7, b"SIP/2.0"),
        (8, b"SIP/2.0"),
    ]


def test_a_share_is_about_that_part_of_all_pushes_and_the_same_everywhere() -> None:
    refs = [push_ref("pi", f"{number}") for number in range(4_000)]
    chosen = [ref for ref in refs if Switches(10).samples(ref)]

    assert 280 < len(chosen) < 520
    assert {int(ref[:8], 16) % 16 for ref in chosen} == set(range(16))
    assert set(chosen) <= {ref for ref in refs if Switches(20).samples(ref)}
    assert not any(Switches(0).samples(ref) for ref in refs)
    assert all(Switches(100).samples(ref) for ref in refs)
