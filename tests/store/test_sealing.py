"""Contents encrypted in Redis: nobody reads them there, and who has the key gets them back as they came."""

from __future__ import annotations

import hashlib
import secrets
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omapush.errors import PushError
from omapush.push.values import Recipient, ticket
from omapush.store import codec, contents, fanouts, keys, outbox, pushes
from omapush.store.client import Store
from omapush.store.contents import PIECE
from omapush.store.outbox import Owner, Unreadable
from omapush.store.sealing import NO_KEYS, KeyRing, NotOpened, read_ring
from tests.store.conftest import NOW_MS, Make
from tests.store.test_pushes import finish

OLD, NEW = secrets.token_bytes(32), secrets.token_bytes(32)
RING = KeyRing((NEW, OLD))
SECRET = b"what nobody but the device should read"


def sealed(store: Store, ring: KeyRing = RING) -> Store:
    """The same Redis, with keys."""
    return Store(store.db, store.layout, ring)


def everything_in(store: Store) -> bytes:
    """All values of a Redis, whatever their type."""
    return b"".join(store.db.dump(name) or b"" for name in store.db.keys("*"))


@given(st.binary(max_size=300), st.text(max_size=30))
def test_what_is_sealed_opens_again_and_never_looks_the_same(content: bytes, subject: str) -> None:
    once, again = RING.seal(subject, content), RING.seal(subject, content)

    assert RING.open(subject, once) == RING.open(subject, again) == content
    assert once != again
    assert len(content) < 9 or content not in once


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_one_changed_byte_does_not_open(place: int, change: int) -> None:
    data = bytearray(RING.seal("push", SECRET))
    place = 8 + place % (len(data) - 8)  # the mark itself tells sealed from other bytes
    data[place] ^= change

    with pytest.raises(NotOpened):
        RING.open("push", bytes(data))


def test_keys_are_changed_one_after_the_other() -> None:
    before = KeyRing((OLD,)).seal("push", SECRET)

    assert RING.open("push", before) == SECRET
    with pytest.raises(NotOpened, match=r"not in redis\.content_keys"):
        KeyRing((NEW,)).open("push", before)
    with pytest.raises(NotOpened, match="another push"):
        RING.open("another", before)
    with pytest.raises(NotOpened):
        NO_KEYS.open("push", before)


def test_what_was_stored_before_there_were_keys_is_read_as_it_is() -> None:
    assert RING.open("push", SECRET) == NO_KEYS.open("push", SECRET) == NO_KEYS.seal("push", SECRET) == SECRET


def test_keys_are_read_in_both_forms_and_others_are_refused(tmp_path: Path) -> None:
    raw, text, short = tmp_path / "raw", tmp_path / "text", tmp_path / "short"
    raw.write_bytes(NEW)
    text.write_text(OLD.hex() + "\n")
    short.write_bytes(b"too short")

    assert read_ring([str(raw), str(text)]) == RING
    assert repr(NEW) not in repr(RING)
    for file, problem in ((short, "neither 32 bytes"), (tmp_path / "none", "cannot be read")):
        with pytest.raises(PushError, match=problem):
            read_ring([str(file)])


def test_a_push_is_nowhere_in_redis_and_reaches_its_sender_whole(store: Store, make: Make) -> None:
    one, db = make.submission()._replace(content=SECRET), sealed(store)
    one = one._replace(push=one.push._replace(size=len(SECRET)))
    assert pushes.accept_all(db, [one]) == [True]
    outbox.hand_over(db, pushes.open_deliveries(db, one.push.ref))
    fanouts.register(db, [(pushes.fan_out_of(one.push, SECRET), "running")])

    assert SECRET not in everything_in(store)
    (taken,) = take(db, one.recipients[0])
    assert not isinstance(taken, Unreadable)
    assert (taken.delivery.content, taken.delivery.length) == (SECRET, len(SECRET))
    assert contents.read(db, one.push.ref, 5, 6) == SECRET[5:11]
    job = fanouts.jobs(db, [0])[0]
    again = fanouts.read(db, job)
    assert again is not None
    assert again.template.content == SECRET


def take(store: Store, recipient: Recipient) -> list[outbox.Taken | Unreadable]:
    owner, number = Owner("node", "run", 0), store.layout.user_shard(recipient.aor)
    outbox.claim(store, [number], owner, lease_ms=10_000, transaction_ms=40_000)
    return outbox.take(store, [number], owner, transaction_ms=40_000, most=10)[number] or []


def test_pieces_of_large_content_are_sealed_each_in_its_place(store: Store, make: Make) -> None:
    db, content = sealed(store), SECRET + bytes(PIECE) + SECRET
    one = make.submission()
    upload = contents.upload(db, one.push.ref, content)
    push = one.push._replace(size=len(content), sha1=upload.sha1, sha256=upload.sha256)
    pushes.accept_all(db, [one._replace(push=push, content=b"", upload=upload.name)])

    assert SECRET not in everything_in(store)
    ref = one.push.ref
    assert contents.read(db, ref, 0, len(content)) == content
    assert contents.read(db, ref, PIECE - 1, 50) == content[PIECE - 1 : PIECE + 49]
    key = keys.content(store.layout.push_shard(ref), ref)
    store.db.hset(key, "1", store.db.hget(key, "0") or b"")
    with pytest.raises(NotOpened):
        contents.read(db, ref, PIECE, 10)


def test_small_content_with_links_is_sealed_and_read_after_its_push_is_final(
    store: Store, make: Make
) -> None:
    one, db = make.submission()._replace(content=SECRET), sealed(store)
    one = one._replace(push=one.push._replace(size=len(SECRET)))
    pushes.accept_all(db, [one])
    assert contents.link(db, one.push.ref, NOW_MS + 500_000) is not None
    finish(db, one.push.ref)

    assert SECRET not in everything_in(store)
    assert contents.read(db, one.push.ref, 0, len(SECRET)) == SECRET
    described = contents.describe(db, one.push.ref)
    assert described is not None
    assert described.sha1 == hashlib.sha1(SECRET).digest()


def test_without_its_key_a_delivery_waits_and_is_not_lost(store: Store, make: Make) -> None:
    one = make.submission()
    pushes.accept_all(sealed(store), [one])
    outbox.hand_over(sealed(store), pushes.open_deliveries(sealed(store), one.push.ref))
    recipient = one.recipients[0]

    (unread,) = take(store, recipient)

    assert isinstance(unread, Unreadable)
    assert unread.is_sealed
    outbox.put_off(store, [(unread.ticket, 0)])
    outbox.wake(store)
    (taken,) = take(sealed(store), recipient)
    assert taken.ticket == unread.ticket == ticket(pushes.delivery_of(one.push, 0, recipient, b""))


def test_a_record_that_is_broken_is_not_taken_for_a_sealed_one(store: Store, make: Make) -> None:
    one = make.delivery()
    outbox.hand_over(sealed(store), [one])
    number = store.layout.user_shard(one.aor)
    store.db.hset(keys.outbox(number, "delivery"), ticket(one), codec.encode(one)[:-3])

    (unread,) = take(sealed(store), Recipient("", one.aor))

    assert isinstance(unread, Unreadable)
    assert not unread.is_sealed
