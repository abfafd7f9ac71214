"""Watches outlive the processes that keep them, and no user is watched by two nodes."""

from collections import Counter
from functools import partial
from pathlib import Path

import pytest

from omapush.store import outbox_views
from tests.conftest import MakeStack
from tests.harness.reg_event import Scscf, contact, reginfo, registration
from tests.harness.sip_peer import SipPeer
from tests.harness.stack import Settings, Stack
from tests.harness.wait import wait_until
from tests.wire.registered import registers
from tests.wire.requests import register, ue_register

pytestmark = pytest.mark.req("PSA-REG-2", "SIPPUSH-PSA-S-004")

ON: Settings = {"registration": {"watch": True}}
A, B = "sip:a@127.0.0.1:5229", "sip:b@127.0.0.1:5999"


@pytest.mark.timeout(90)
def test_kill_9_of_kamailio_loses_no_dialog(make_stack: MakeStack) -> None:
    """Each next NOTIFY is taken, and the refresh goes on in the same dialog with the next CSeq."""
    stack = make_stack(ON, parts=("redis", "sip"))
    users = [f"sip:user{i}@ims.lab" for i in range(10)]
    with SipPeer(stack.core_port) as core:
        scscf = Scscf(core, stack.sip)
        scscf.granted = "8"
        for aor in users:
            registers(stack, core, aor, A)
        firsts = {aor: scscf.subscribe(aor) for aor in users}
        for aor, first in firsts.items():
            document = reginfo(5, registration(aor, contact(A, expires="500")))
            assert scscf.notify(first, document, state="active;expires=8").status == 200
        stack.restart("sip")

        for aor, first in firsts.items():
            document = reginfo(6, registration(aor, contact(B, expires="500")))
            assert scscf.notify(first, document, state="active;expires=8").status == 200
            record = stack.registration(aor)
            assert record is not None
            assert [each.uri for each in record.contacts] == [B]
        for aor, first in firsts.items():
            # A refresh that was under way at the dead node is given up after its transaction, 40 s.
            again = scscf.subscribe(aor, 2, deadline_s=60)
            assert again.header("Call-ID") == first.header("Call-ID")
            assert int(again.header("CSeq").split()[0]) > int(first.header("CSeq").split()[0])


@pytest.mark.timeout(90)
def test_kill_9_of_redis_loses_no_dialog(make_stack: MakeStack) -> None:
    stack = make_stack(ON, parts=("redis", "sip"))
    aor = "sip:user@ims.lab"
    with SipPeer(stack.core_port) as core:
        scscf = Scscf(core, stack.sip)
        registers(stack, core, aor, A)
        first = scscf.subscribe(aor)
        assert scscf.notify(first, reginfo(1, registration(aor, contact(A, expires="500")))).status == 200
        wait_until(lambda: int(stack.db.info("persistence")["aof_pending_bio_fsync"]) == 0, 5, "written")
        stack.restart("redis")

        second = reginfo(2, registration(aor, contact(B, expires="500")))
        wait_until(lambda: scscf.notify(first, second).status == 200, 20, "a NOTIFY taken")
        record = stack.registration(aor)
        assert record is not None
        assert [each.uri for each in record.contacts] == [B]
        assert len(scscf.subscribes(aor)) == 1


@pytest.mark.timeout(90)
@pytest.mark.parametrize("register_first", [True, False])
def test_register_at_one_node_and_notify_at_another_come_to_one_record_in_either_order(
    make_stack: MakeStack, tmp_path: Path, register_first: bool
) -> None:
    """One change, told twice: a second device comes, and the first one leaves."""
    first = make_stack(ON, parts=("redis", "sip"))
    settings: Settings = {
        **ON,
        "redis": {"url": first.config.redis.url},
        "core": {"next_hop": first.config.core.next_hop},
    }
    aor = "sip:told-twice@ims.lab"
    tags = ';+g.oma.pusheventapp="mms.ua"'
    with SipPeer(first.core_port) as core, Stack(tmp_path / "second", settings, ("sip",)) as second:
        scscf = Scscf(core, second.sip)
        registers(first, core, aor, A)
        sent = scscf.subscribe(aor)
        alone = registration(aor, contact(A, expires="500"))
        both = registration(aor, contact(A, expires="500"), contact(B, expires="500"))
        gone = contact(A, state="terminated", event="unregistered")
        left = registration(aor, gone, contact(B, expires="500"))
        assert scscf.notify(sent, reginfo(1, alone), to=second.sip).status == 200

        def told(uri: str, expires: int) -> None:
            body = ue_register(aor, uri, expires=expires, tags=tags)
            headers = [("Content-Type", "message/sip")]
            raw = register(aor, core, expires=str(expires), headers=headers, body=body)
            assert core.ask(raw, first.sip).status == 200

        def notified(version: int, body: str) -> None:
            assert scscf.notify(sent, reginfo(version, body), to=second.sip).status == 200

        changes = (
            (partial(told, B, 500), partial(notified, 2, both)),
            (partial(told, A, 0), partial(notified, 3, left)),
        )
        for change in changes:
            for tell in change if register_first else reversed(change):
                tell()
        record = second.registration(aor)
        assert record is not None
        assert [(each.uri, each.applications) for each in record.contacts] == [(B, ("mms.ua",))]
        assert len({one.header("Call-ID") for one in scscf.subscribes(aor)}) == 1


@pytest.mark.timeout(150)
def test_two_nodes_never_watch_one_user_both(make_stack: MakeStack, tmp_path: Path) -> None:
    """REGISTER storms at both; either takes the NOTIFY, and when one dies the other refreshes."""
    first = make_stack(ON, parts=("redis", "sip"))
    settings: Settings = {
        **ON,
        "redis": {"url": first.config.redis.url},
        "core": {"next_hop": first.config.core.next_hop},
    }
    users = [f"sip:user{i}@ims.lab" for i in range(20)]
    with SipPeer(first.core_port) as core, Stack(tmp_path / "second", settings, ("sip",)) as second:
        nodes = (first, second)
        wait_until(lambda: len(_owning(first)) == 2, 15, "shards at both nodes")
        scscf = Scscf(core, second.sip)
        for aor in users * 3:
            for node in nodes:
                registers(node, core, aor, A)
        firsts = {aor: scscf.subscribe(aor) for aor in users}
        assert Counter(len(scscf.subscribes(aor)) for aor in users) == {1: len(users)}
        assert len({sent.header("Contact") for sent in firsts.values()}) == 2
        for aor, sent in firsts.items():
            document = reginfo(1, registration(aor, contact(B, expires="500")))
            assert scscf.notify(sent, document, state="active;expires=6", to=second.sip).status == 200
            record = first.registration(aor)
            assert record is not None
            assert [each.uri for each in record.contacts] == [B]

        first.kill("sip")
        for aor, sent in firsts.items():
            again = scscf.subscribe(aor, 2, deadline_s=75)
            assert again.header("Call-ID") == sent.header("Call-ID")
        assert Counter(len(scscf.subscribes(aor)) for aor in users)[1] == 0


def _owning(stack: Stack) -> set[str]:
    return {owner.get("node", "") for owner in outbox_views.owners(stack.store).values()}
