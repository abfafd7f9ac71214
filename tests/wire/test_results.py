"""What a SIP answer makes of a push: Appendix Q on the wire, retries, order, one pending MESSAGE a target."""

import threading

import pytest

from omapush import clock
from omapush.store import keys, outbox
from tests.fakes.sip_text import SipText
from tests.harness.sip_peer import OK, Says, SipPeer
from tests.harness.stack import Stack
from tests.harness.wait import wait_until
from tests.wire.requests import register, ue_register

THRICE = 3
"Attempts of the application thrice.ua, 50 ms apart."


@pytest.mark.req("PSA-MSG-1")
@pytest.mark.parametrize(
    ("sip_code", "state", "code", "attempts"),
    [
        (200, "delivered", "1000", 1),
        (400, "aborted", "5026", 2),
        (403, "aborted", "5027", 1),
        (404, "undeliverable", "2003", 1),
        (408, "timeout", "5028", THRICE),
        (415, "aborted", "5030", 1),
        (480, "undeliverable", "5028", THRICE),
        (486, "undeliverable", "5028", THRICE),
        (500, "aborted", "5026", THRICE),
        (503, "undeliverable", "4001", THRICE),
        (603, "aborted", "5026", 2),
        (604, "aborted", "5027", 1),
        (401, "undeliverable", "3000", 1),
        (407, "undeliverable", "3000", 1),
        (405, "undeliverable", "3007", 1),
        (481, "undeliverable", "5027", 1),
        (513, "undeliverable", "5029", 1),
        (605, "aborted", "5000", 1),
    ],
)
def test_each_answer_becomes_its_result_after_the_tries_it_allows(
    stack: Stack, core: SipPeer, sip_code: int, state: str, code: str, attempts: int
) -> None:
    core.policy = lambda _: Says(sip_code)
    aor = f"sip:answer{sip_code}@home1.example"
    result = stack.result(stack.submit(aor, app="thrice.ua"))

    assert (result.state, result.code, result.sip_code) == (state, code, sip_code)
    assert result.attempts == attempts
    messages = core.pushes(aor)
    assert len(messages) == attempts
    assert len({message.header("Call-ID") for message in messages}) == attempts


def test_a_relays_202_stays_open_and_is_unknown_at_deliver_before(stack: Stack, core: SipPeer) -> None:
    core.policy = lambda _: Says(202)
    aor = "sip:relayed@home1.example"
    ref = stack.submit(aor, delivery_method="confirmed", lifetime_ms=2_000)
    core.wait_for_push(aor)

    result = stack.result(ref)
    assert (result.state, result.code, result.sip_code, result.attempts) == ("unknown", "4000", 202, 1)
    assert len(core.pushes(aor)) == 1


@pytest.mark.parametrize("method", ["unconfirmed", "preferconfirmed"])
def test_a_relays_202_is_enough_where_no_confirmation_is_needed(
    stack: Stack, core: SipPeer, method: str
) -> None:
    core.policy = lambda _: Says(202)
    ref = stack.submit(f"sip:{method}@home1.example", delivery_method=method)

    assert stack.result(ref)[:2] == ("delivered", "1000")


def test_a_push_that_fails_first_is_delivered_by_its_next_try(stack: Stack, core: SipPeer) -> None:
    answers = iter([Says(480), Says(503), OK])
    core.policy = lambda _: next(answers)
    known = stack.finished(stack.submit("sip:later@home1.example", app="thrice.ua"))

    assert (known.results[0].state, known.results[0].attempts) == ("delivered", 3)
    assert [event.name for event in known.events] == [
        "accepted",
        *("sent", "retry", "sent", "retry", "sent", "final"),
    ]


def test_retry_after_puts_the_next_try_off(stack: Stack, core: SipPeer) -> None:
    core.policy = lambda _: Says(503, "Busy", {"Retry-After": "60 (maintenance);duration=5"})
    before = clock.now_ms()
    aor = "sip:afterwards@home1.example"
    stack.submit(aor, app="thrice.ua")

    wait_until(lambda: outbox.depth(stack.store).later == 1, 5, "a delivery put off")
    later = keys.outbox(stack.store.layout.user_shard(aor), "later")
    (ticket,) = stack.db.zrangebyscore(later, before + 60_000, "+inf")
    assert isinstance(ticket, bytes)
    outbox.complete(stack.store, [outbox.Finished(ticket.decode(), 0)])


def test_a_short_of_resources_500_is_told_apart_by_its_retry_after(stack: Stack, core: SipPeer) -> None:
    core.policy = lambda _: Says(500, "Memory", {"Retry-After": "1"})

    assert stack.result(stack.submit("sip:short@home1.example", app="once.ua")).code == "5029"


def test_the_peers_words_reach_the_result_on_one_line(stack: Stack, core: SipPeer) -> None:
    core.policy = lambda _: Says(415, "No\tWay | 1|2 ä", {"Warning": '399 x "text/x only"'})

    result = stack.result(stack.submit("sip:words@home1.example"))
    assert "No Way | 1|2 ä" in result.desc
    assert "text/x only" in result.desc


def test_a_phrase_that_is_not_utf_8_does_not_lose_the_result(stack: Stack) -> None:
    """The worker that reads it must not fall over: the push would stay pending until it counts as lost."""
    with SipPeer(stack.core_port, policy=lambda _: None) as core:
        ref = stack.submit("sip:latin@home1.example", app="once.ua")
        (message,) = core.wait_for_push("sip:latin@home1.example")
        head = [b"SIP/2.0 603 Gr\xfc\xdfe", *(f"Via: {via}".encode() for via in message.all("Via"))]
        head += [f"{name}: {message.header(name)}".encode() for name in ("From", "Call-ID", "CSeq")]
        head += [f"To: {message.header('To')};tag=l".encode(), b'Warning: 399 x "\xfc"', b"Content-Length: 0"]
        core.send(b"\r\n".join([*head, b"", b""]), stack.sip)

        assert stack.result(ref)[:2] == ("aborted", "5026")


def test_one_message_is_pending_for_a_target_and_others_are_not_blocked(stack: Stack, core: SipPeer) -> None:
    """RFC 3428 section 8: the next one waits for the final answer; order is that of acceptance."""
    released = threading.Event()

    def policy(request: SipText) -> Says | None:
        return OK if released.is_set() or "sip:slow@" not in request.start_line else None

    core.policy = policy
    slow = [stack.submit("sip:slow@home1.example", str(i).encode()) for i in range(5)]
    core.wait_for_push("sip:slow@home1.example")
    quick = [stack.submit(f"sip:quick{i}@home1.example") for i in range(20)]

    assert {stack.result(ref).state for ref in quick} == {"delivered"}
    assert [message.body for message in core.pushes("sip:slow@home1.example")] == [b"0"]

    def depth() -> outbox.Depth:
        return outbox.depth(stack.store)._replace(ready=0, later=0)

    left = outbox.Depth(5, 0, 4, 1, 0)
    wait_until(lambda: depth() == left, 10, lambda: f"the slow ones alone: {depth()}")
    released.set()  # the first is answered when Kamailio repeats it
    assert {stack.result(ref).state for ref in slow} == {"delivered"}
    bodies = [message.body for message in core.pushes("sip:slow@home1.example")]
    assert bodies == [b"0", b"1", b"2", b"3", b"4"]


def test_a_push_to_many_recipients_has_a_result_for_each(stack: Stack, core: SipPeer) -> None:
    core.policy = lambda request: Says(404) if "sip:many1@" in request.start_line else OK
    known = stack.finished(stack.submit([f"sip:many{i}@home1.example" for i in range(3)]))

    assert [result.state for result in known.results] == ["delivered", "undeliverable", "delivered"]


@pytest.mark.req("PSA-MSG-6")
def test_a_registered_user_is_reached_by_the_s_cscf_that_registered_it(stack: Stack, core: SipPeer) -> None:
    """Not by the configured next hop, and never straight at the contact."""
    aor = "sip:roaming@home1.example"
    with SipPeer() as other_s_cscf, SipPeer() as handset:
        body = ue_register(aor, f"sip:roaming@127.0.0.1:{handset.port}")
        raw = register(aor, other_s_cscf, headers=[("Content-Type", "message/sip")], body=body)
        assert other_s_cscf.ask(raw, stack.sip).status == 200
        ref = stack.submit(aor)

        (message,) = other_s_cscf.wait_for_push(aor)
        assert message.header("Route") == f"<sip:127.0.0.1:{other_s_cscf.port};lr>"
        assert stack.result(ref).state == "delivered"
        assert handset.requests == []
    assert core.pushes(aor) == []


def test_an_application_for_registered_users_only_does_not_bother_the_core(
    stack: Stack, core: SipPeer
) -> None:
    result = stack.result(stack.submit("sip:unknown@home1.example", app="known.ua"))

    assert (result.state, result.code, result.sip_code) == ("undeliverable", "2003", 0)
    assert core.pushes("sip:unknown@home1.example") == []


def test_a_push_whose_time_has_passed_is_not_sent(stack: Stack, core: SipPeer) -> None:
    result = stack.result(stack.submit("sip:past@home1.example", lifetime_ms=-1))

    assert (result.state, result.sip_code) == ("expired", 0)
    assert core.pushes("sip:past@home1.example") == []


def test_a_next_hop_that_cannot_be_resolved_is_retried_like_an_overloaded_one(
    stack: Stack, core: SipPeer
) -> None:
    aor = "sip:nowhere@home1.example"
    raw = register(aor, core).replace(
        f"Contact: <sip:127.0.0.1:{core.port}>".encode(), b"Contact: <sip:no-such-host.invalid>"
    )
    assert core.ask(raw, stack.sip).status == 200
    result = stack.result(stack.submit(aor, app="once.ua"))

    assert (result.state, result.code) == ("undeliverable", "4001")
