"""Registration records: merged, one winner, gone after their time."""

import threading
from typing import Any

import pytest

from omapush.errors import StoreUnavailable, TryLater
from omapush.protocol.third_party_register import EmbeddedContact
from omapush.push.registration import Contact, Registration, Report
from omapush.store import client, codec, keys, outbox, registrations
from omapush.store.client import Call, Command, Store, StoreRefused
from omapush.store.codec import BrokenRecord
from tests.harness.messagepack import named, unpacked
from tests.harness.stack import Stack
from tests.store.conftest import NOW_MS

AOR = "sip:a@home1.example"


def contact(uri: str, expires: int | None = 600) -> EmbeddedContact:
    return EmbeddedContact(
        uri=uri,
        expires=expires,
        q=None,
        applications=("mms.ua",),
        feature_params=(),
        instance=None,
        pub_gruu=None,
    )


def report(*uris: str, aor: str = AOR, at_ms: int = NOW_MS, associated: tuple[str, ...] = ()) -> Report:
    return Report(
        aor=aor,
        expires_s=600,
        s_cscf="sip:s-cscf.example",
        path="",
        contacts=tuple(contact(uri) for uri in uris),
        all_contacts=False,
        source="register",
        associated=associated,
        charging="",
        service_info="",
        at_ms=at_ms,
        problems=(),
    )


def uris(store: Store, aor: str = AOR) -> set[str]:
    record = registrations.read(store, aor)
    return set() if record is None else {each.uri for each in record.contacts}


def test_reports_about_one_user_are_merged_in_their_order(store: Store) -> None:
    registrations.capture(
        store, [report("sip:a@1"), report("sip:b@2"), report("sip:c@3", aor="sip:c@x.example")]
    )
    registrations.capture(store, [report("sip:d@4")])

    assert uris(store) == {"sip:a@1", "sip:b@2", "sip:d@4"}
    assert uris(store, "sip:c@x.example") == {"sip:c@3"}
    assert registrations.read(store, "sip:nobody@x.example") is None
    assert sorted(registrations.known_aors(store)) == [AOR, "sip:c@x.example"]


def test_two_writers_at_once_lose_no_contact(store: Store, other_store: Store) -> None:
    """Read, merge, replace: whoever is beaten reads again."""
    start = threading.Barrier(2)

    def write(through: Store, name: str) -> None:
        start.wait()
        for i in range(10):
            registrations.capture(through, [report(f"sip:{name}{i}@1")])

    writers = [threading.Thread(target=write, args=item) for item in ((store, "a"), (other_store, "b"))]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    assert uris(store) == {f"sip:{name}{i}@1" for name in "ab" for i in range(10)}


def test_a_record_that_others_change_all_the_time_is_given_up_with_try_later(
    store: Store, other_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_ms = iter(range(NOW_MS, NOW_MS + 1_000))
    plain = client.ask_all

    def read_then_lose(through: Store, doing: str, commands: list[Command]) -> list[Any]:
        found = plain(through, doing, commands)
        name = keys.registration(through.layout.user_shard(AOR), AOR)
        other_store.db.set(name, codec.encode(registration(next(at_ms))))
        return found

    monkeypatch.setattr(registrations, "ask_all", read_then_lose)
    with pytest.raises(TryLater):
        registrations.capture(store, [report("sip:a@1")])


def registration(at_ms: int) -> Registration:
    return Registration(1, AOR, "", "", at_ms, (), (), "", "", 0, at_ms)


def test_a_record_outlives_its_registration_by_a_day_and_no_more(store: Store) -> None:
    registrations.capture(store, [report("sip:a@1")])
    left = store.db.pttl(keys.registration(store.layout.user_shard(AOR), AOR))

    assert isinstance(left, int)
    assert 0 <= 600_000 + registrations.KEPT_AFTER_END_MS - left < 10_000


def test_a_tel_identity_is_reached_by_the_sip_identity_of_its_set(store: Store) -> None:
    """A core may answer 480 to a tel Request-URI though its user is there."""
    registrations.capture(store, [report("sip:a@1", associated=(AOR, "tel:+1555"))])

    assert registrations.sip_identities(store, ["tel:+1555", "tel:+1666", AOR]) == [AOR, "tel:+1666", AOR]


def test_a_record_is_plain_messagepack(store: Store) -> None:
    registrations.capture(store, [report("sip:a@1")])
    data = store.db.get(keys.registration(store.layout.user_shard(AOR), AOR))

    record = named(Registration, unpacked(data))
    assert (record["version"], record["aor"], record["s_cscf"]) == (1, AOR, "sip:s-cscf.example")
    assert named(Contact, record["contacts"][0])["uri"] == "sip:a@1"


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x93\x01\x02\x03", b"\x81\xa1a\x01"])
def test_bytes_that_are_no_record_are_a_typed_error(store: Store, data: bytes) -> None:
    store.db.set(keys.registration(store.layout.user_shard(AOR), AOR), data)

    with pytest.raises(BrokenRecord, match="Registration"):
        registrations.read(store, AOR)


def test_a_redis_that_is_not_there_is_a_typed_error(redis_only: Stack) -> None:
    absent = client.connect(
        type(redis_only.config.redis)(url="unix:///nonexistent/redis.sock", timeout_ms=100)
    )
    for ask in (
        lambda: registrations.read(absent, AOR),
        lambda: registrations.capture(absent, [report("sip:a@1")]),
        lambda: outbox.depth(absent),
        lambda: client.load_functions(absent),
    ):
        with pytest.raises(StoreUnavailable):
            ask()


def test_functions_that_redis_lost_are_loaded_again(store: Store) -> None:
    store.db.function_flush()
    registrations.capture(store, [report("sip:a@1")])

    assert uris(store) == {"sip:a@1"}


def test_a_function_that_nobody_wrote_is_a_typed_error(store: Store) -> None:
    with pytest.raises(StoreRefused, match="omapush_nothing"):
        client.call(store, Call("omapush_nothing", ["k"], []))
