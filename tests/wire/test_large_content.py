"""Content that no MESSAGE can carry: a clear result, and one copy of it however many the recipients."""

import pytest

from omapush.store import contents, keys
from tests.harness.sip_peer import SipPeer
from tests.harness.stack import Stack

LARGE = b"x" * 900_000


@pytest.mark.req("MSG-SIZE")
def test_large_content_is_kept_once_and_needs_another_method(stack: Stack, core: SipPeer) -> None:
    aors = [f"sip:large{i}@home1.example" for i in range(50)]
    before = stack.db.info("memory")["used_memory"]
    ref = stack.submit(aors, LARGE)
    used = stack.db.info("memory")["used_memory"] - before

    results = stack.finished(ref).results
    assert {(result.state, result.code) for result in results} == {("undeliverable", "2006")}
    assert "needs another method" in results[0].desc
    assert used < 5 * len(LARGE)
    assert not any(core.pushes(aor) for aor in aors)


def test_content_leaves_redis_when_all_results_are_final(stack: Stack, core: SipPeer) -> None:
    ref = stack.submit("sip:erased@home1.example", b"only for a while")
    stack.finished(ref)

    number = stack.store.layout.push_shard(ref)
    assert not stack.db.hget(keys.push(number, ref), "body")
    assert contents.read(stack.store, ref, 0, 99) is None
