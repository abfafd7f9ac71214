"""Large content: in pieces beside its push, the push's own once it is accepted, gone when nobody needs it."""

import hashlib
import os

import pytest

from omapush.store import contents, keys, pushes
from omapush.store.client import Store
from omapush.store.contents import PIECE
from omapush.store.pushes import Submission
from tests.store.conftest import NOW_MS, Make
from tests.store.test_pushes import KEEP_S, finish, push_key

SIZES = (0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE + 7)


def large(store: Store, make: Make, content: bytes, *aors: str) -> Submission:
    """A push whose content is uploaded and which is not accepted yet."""
    one = make.submission(*aors)
    upload = contents.upload(store, one.push.ref, content)
    push = one.push._replace(size=len(content), sha1=upload.sha1, sha256=upload.sha256)
    return one._replace(push=push, content=b"", upload=upload.name)


def content_key(store: Store, ref: str) -> str:
    return keys.content(store.layout.push_shard(ref), ref)


def upload_key(store: Store, one: Submission) -> str:
    return keys.upload(store.layout.push_shard(one.push.ref), one.upload)


@pytest.mark.parametrize("size", SIZES[1:])
def test_content_is_read_back_from_anywhere(store: Store, make: Make, size: int) -> None:
    content = os.urandom(size)
    one = large(store, make, content)
    assert pushes.accept_all(store, [one]) == [True]

    ref = one.push.ref
    for start in {0, 1, PIECE - 1, PIECE, size - 1, size, size + 1, size + 5 * PIECE}:
        for length in (0, 1, 1_000, PIECE, size + 1):
            assert contents.read(store, ref, start, length) == content[start : start + length]
    described = contents.describe(store, ref)
    assert described == (one.push, hashlib.sha1(content).digest(), hashlib.sha256(content).digest())
    assert set(store.db.hgetall(content_key(store, ref))) == {
        str(number).encode() for number in range(-(-size // PIECE))
    }


def test_small_content_is_read_from_its_push(store: Store, make: Make) -> None:
    one = make.submission()
    pushes.accept_all(store, [one])

    assert contents.read(store, one.push.ref, 1, 100) == b"bc"
    described = contents.describe(store, one.push.ref)
    assert described is not None
    assert described.sha1 == hashlib.sha1(b"abc").digest()
    assert contents.read(store, "0" * 20, 0, 1) is None
    assert contents.describe(store, "0" * 20) is None


def test_what_was_never_accepted_runs_out_and_what_was_stays(store: Store, make: Make) -> None:
    one = large(store, make, b"x" * 10)
    waits_s = store.db.ttl(upload_key(store, one))
    assert 0 < int(str(waits_s)) <= 600
    pushes.accept_all(store, [one])

    assert not store.db.exists(upload_key(store, one))
    assert store.db.ttl(content_key(store, one.push.ref)) == -1


def test_a_push_whose_upload_has_run_out_is_not_accepted(store: Store, make: Make) -> None:
    one = large(store, make, b"x" * 10)
    contents.discard(store, one.push.ref, one.upload)

    assert pushes.accept_all(store, [one]) == [None]
    assert pushes.read(store, one.push.ref) is None


def test_a_push_id_that_was_used_keeps_the_content_of_the_first(store: Store, make: Make) -> None:
    first, again = make.submission(push_id="same"), make.submission(push_id="same")
    for one, content, expected in ((first, b"first", True), (again, b"again", False)):
        upload = contents.upload(store, one.push.ref, content)
        push = one.push._replace(size=5, sha1=upload.sha1)
        accepted = pushes.accept_all(store, [one._replace(push=push, content=b"", upload=upload.name)])
        assert accepted == [expected]

    assert contents.read(store, first.push.ref, 0, 9) == b"first"


def test_content_is_erased_when_the_last_recipient_is_final(store: Store, make: Make) -> None:
    one = large(store, make, b"x" * PIECE, "sip:a@home1.example", "sip:b@home1.example")
    pushes.accept_all(store, [one])
    finish(store, one.push.ref, 0)
    assert contents.read(store, one.push.ref, 0, 1) == b"x"
    finish(store, one.push.ref, 1)

    assert not store.db.exists(content_key(store, one.push.ref))
    assert contents.read(store, one.push.ref, 0, 1) is None


@pytest.mark.parametrize("is_large", [True, False])
def test_content_with_links_stays_until_the_last_has_run_out(
    store: Store, make: Make, is_large: bool
) -> None:
    one = large(store, make, b"abc") if is_large else make.submission()
    pushes.accept_all(store, [one])
    ref, until_ms = one.push.ref, NOW_MS + 5 * KEEP_S * 1000
    secret = contents.link(store, ref, until_ms)
    assert secret is not None
    assert len(secret) == 16
    assert contents.link(store, ref, until_ms - 1_000) == secret
    finish(store, ref)

    assert contents.read(store, ref, 0, 9) == b"abc"
    content_s, push_s = store.db.ttl(content_key(store, ref)), store.db.ttl(push_key(store, ref))
    assert KEEP_S < int(str(content_s)) <= 5 * KEEP_S
    assert int(str(push_s)) >= int(str(content_s))
    assert contents.describe(store, ref) is not None


def test_there_is_no_link_to_what_is_not_there(store: Store, make: Make) -> None:
    one = make.submission()
    pushes.accept_all(store, [one])
    finish(store, one.push.ref)

    assert contents.link(store, one.push.ref, NOW_MS + 1) is None
    assert contents.link(store, "0" * 20, NOW_MS + 1) is None


def test_content_of_a_former_release_can_be_linked_and_read_in_pieces(store: Store, make: Make) -> None:
    content = os.urandom(2 * PIECE + 3)
    one = make.submission()
    one = one._replace(push=one.push._replace(size=len(content)), content=content)
    pushes.accept_all(store, [one])
    contents.link(store, one.push.ref, NOW_MS + 500_000)
    finish(store, one.push.ref)

    assert contents.read(store, one.push.ref, PIECE - 1, PIECE + 2) == content[PIECE - 1 : 2 * PIECE + 1]
