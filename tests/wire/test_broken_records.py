"""Bytes in Redis that are none of our records: they cost their own user something, and nobody else."""

import threading

from omapush.push.values import ticket_delivery
from omapush.store import keys
from tests.fakes.sip_text import SipText
from tests.harness.sip_peer import OK, Says, SipPeer
from tests.harness.stack import Stack
from tests.wire.requests import register, ue_register


def break_registration(stack: Stack, aor: str) -> None:
    stack.db.set(keys.registration(stack.store.layout.user_shard(aor), aor), b"\xc1 no record")


def test_a_push_to_a_user_whose_record_is_broken_goes_to_the_core_like_to_one_unknown(
    stack: Stack, core: SipPeer
) -> None:
    break_registration(stack, "sip:broken@home1.example")
    aors = [f"sip:whole{i}@home1.example" for i in range(20)]
    ref = stack.submit([*aors[:10], "sip:broken@home1.example", *aors[10:]])

    assert {result.state for result in stack.finished(ref).results} == {"delivered"}
    assert len(core.pushes("sip:broken@home1.example")) == 1


def test_a_register_replaces_a_broken_record(stack: Stack, core: SipPeer) -> None:
    aor = "sip:mended@home1.example"
    break_registration(stack, aor)
    body = ue_register(aor, "sip:mended@127.0.0.1:1")
    raw = register(aor, core, headers=[("Content-Type", "message/sip")], body=body)

    assert core.ask(raw, stack.sip).status == 200
    record = stack.registration(aor)
    assert record is not None
    assert [contact.uri for contact in record.contacts] == ["sip:mended@127.0.0.1:1"]


def test_a_push_that_cannot_be_composed_ends_and_its_neighbours_are_sent(stack: Stack, core: SipPeer) -> None:
    aors = [f"sip:near{i}@home1.example" for i in range(10)]
    far = stack.submit("sip:odd@home1.example", app='no "token"')
    near = stack.submit(aors)

    assert {result.state for result in stack.finished(near).results} == {"delivered"}
    result = stack.result(far)
    assert (result.state, result.sip_code) == ("undeliverable", 0)
    assert "Accept-Contact" in result.desc
    assert core.pushes("sip:odd@home1.example") == []


def test_a_delivery_that_cannot_be_read_ends_and_the_next_of_its_queue_is_sent(
    stack: Stack, core: SipPeer
) -> None:
    aor = "sip:behind@home1.example"
    first_may_end = threading.Event()

    def policy(_: SipText) -> Says | None:
        return OK if first_may_end.is_set() else None

    core.policy = policy
    refs = [stack.submit(aor) for _ in range(3)]
    core.wait_for_push(aor)
    deliveries = keys.outbox(stack.store.layout.user_shard(aor), "delivery")
    second = next(
        place
        for place in stack.db.hkeys(deliveries)
        if isinstance(place, bytes) and ticket_delivery(place.decode())[0] == refs[1]
    )
    stack.db.hset(deliveries, second, b"\xc1 no record")
    first_may_end.set()

    assert [stack.result(ref).state for ref in refs] == ["delivered", "undeliverable", "delivered"]
    assert stack.result(refs[1]).code == "3000"
    said = (stack.folder / "sip.log").read_text()
    assert [
        line for line in said.splitlines() if "delivery_records_broken" in line and f"ref={refs[1]}" in line
    ]
    assert len(core.pushes(aor)) == 2
