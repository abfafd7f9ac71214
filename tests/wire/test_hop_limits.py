"""What a next hop asks for, or an operator sets for it, holds for all requests that we begin."""

from collections.abc import Sequence

from omapush import clock
from omapush.push.referral import referral_id
from omapush.store import outbox_views, pushes, referrals, sessions
from tests.conftest import MakeStack
from tests.fakes.sip_text import SipText
from tests.harness.session_device import SESSIONS, employ
from tests.harness.sip_peer import OK, Says, SipPeer
from tests.harness.stack import Settings, Stack
from tests.harness.subscriber import Subscriber, wants
from tests.harness.wait import wait_until
from tests.wire.requests import register

PARTS = ("redis", "sip", "notifier")
RETRY_AFTER_S = 4
BURST = 3
AGAIN = {"first_s": 0.05, "longest_s": 0.1}
ONE_SENDER: Settings = {
    **SESSIONS,
    "sip": {**SESSIONS["sip"], "senders": 1},
    "registration": {"watch": True, "first_retry_s": 0.2, "longest_retry_s": 1.0},
    'application."mms.ua"': {"retry": {"attempts": 5, **AGAIN}},
    'application."asking.ua"': {"methods": ["REFER", "NOTIFY"]},
}
KINDS = {"NOTIFY", "INVITE", "SUBSCRIBE", "REFER"}


def registers_at(stack: Stack, s_cscf: SipPeer, *aors: str) -> None:
    for aor in aors:
        assert s_cscf.ask(register(aor, s_cscf), stack.sip).status == 200


def subscribe_behind(stack: Stack, core: SipPeer, s_cscf: SipPeer, number: int) -> list[Subscriber]:
    """Devices that subscribe by way of an S-CSCF, to which their NOTIFYs go."""
    devices = [Subscriber(stack, core) for _ in range(number)]
    for device in devices:
        device.begin(**wants("mms.ua"), **{"Record-Route": f"<sip:127.0.0.1:{s_cscf.port};lr>"})
    return devices


def is_put_off(device: Subscriber) -> bool:
    """Whether a NOTIFY is owed to it, but not now."""
    due_ms = device.stack.db.zscore(device.place("owed"), device.to_tag)
    return due_ms is not None and float(str(due_ms)) > clock.now_ms()


def where(stack: Stack, ref: str) -> str:
    known = stack.known(ref)
    return outbox_views.whereabouts(stack.store, pushes.delivery_of(known.push, 0, known.recipients[0], b""))


def begins(stack: Stack, aor: str) -> str:
    """The session that waits for its INVITE."""
    found: list[str] = []

    def is_there() -> bool:
        found[:] = [name for name in [sessions.live_of(stack.store, aor, "large.ua")] if name]
        return bool(found)

    wait_until(is_there, 10, "a session")
    return found[0]


def notifies(s_cscf: SipPeer, devices: Sequence[Subscriber]) -> list[list[SipText]]:
    """The NOTIFYs of each dialog."""
    return [[one for one in s_cscf.requests if one.header("Call-ID") == device.call_id] for device in devices]


def test_nothing_that_we_begin_goes_to_a_hop_before_its_retry_after_is_over(make_stack: MakeStack) -> None:
    """And nothing of it is lost: who subscribed and left meanwhile is told that it is over."""
    stack = make_stack(ONE_SENDER, PARTS)
    employ(stack)
    came: list[tuple[int, str]] = []

    def refuses(request: SipText) -> Says:
        if request.method != "MESSAGE":
            return OK
        came.append((clock.now_ms(), "refused"))
        return Says(503, "Overloaded", {"Retry-After": str(RETRY_AFTER_S)})

    def takes(request: SipText) -> Says:
        came.append((clock.now_ms(), request.method))
        return OK

    with SipPeer(stack.core_port) as core, SipPeer(policy=refuses) as busy:
        aors = [f"sip:paused{n}@home1.example" for n in range(2)]
        registers_at(stack, busy, *aors)
        for aor in aors:
            stack.submit(aor)
        stack.parts["sip"].wait_for_line("next_hop_paused")
        until_ms = max(at_ms for at_ms, _ in came) + RETRY_AFTER_S * 1000
        came.clear()
        busy.policy = takes

        stays, leaves = subscribe_behind(stack, core, busy, 2)
        registers_at(stack, busy, "sip:late@home1.example")
        session = stack.submit("sip:paused0@home1.example", b"x" * 3_000, app="large.ua")
        asked = stack.submit("sip:paused1@home1.example", app="asking.ua")
        assert leaves.ask(**wants("mms.ua"), expires="0").status == 200
        passes = Subscriber(stack, core)
        passes.begin(**wants("mms.ua"))
        passes.notifies(1)

        wait_until(lambda: {method for _, method in list(came)} >= KINDS, 20, lambda: f"all kinds: {came}")
        early = [(method, at_ms - until_ms) for at_ms, method in came if at_ms < until_ms]
        assert not early, (early, session, asked)
        wait_until(lambda: all(notifies(busy, [stays, leaves])), 10, "both are told")
        last = [some[-1].header("Subscription-State") for some in notifies(busy, [stays, leaves])]
        assert [state.partition(";")[0] for state in last] == ["active", "terminated"]
        assert {some[0].header("CSeq") for some in notifies(busy, [stays, leaves])} == {"1 NOTIFY"}
        wait_until(lambda: leaves.stored is None, 5, "what has ended is forgotten")


def test_a_rate_holds_for_all_requests_that_we_begin_together(make_stack: MakeStack) -> None:
    """So few a second that the burst is all that leaves."""
    stack = make_stack(
        {**ONE_SENDER, "registration": {}, "core": {"hop_rate": 0.001, "hop_burst": BURST}}, PARTS
    )
    employ(stack)
    with SipPeer(stack.core_port) as core, SipPeer() as spared:
        aors = [f"sip:spared{n}@home1.example" for n in range(2)]
        registers_at(stack, spared, *aors)
        devices = subscribe_behind(stack, core, spared, BURST + 2)
        wait_until(lambda: sum(map(is_put_off, devices)) == 2, 10, "those beyond the burst are put off")
        stack.submit(aors[0], b"x" * 3_000, app="large.ua")
        waits = begins(stack, aors[0])
        refers = stack.submit(aors[1], app="asking.ua")
        passes = Subscriber(stack, core)
        passes.begin(**wants("mms.ua"))
        passes.notifies(1)

        def is_later() -> bool:
            [session] = sessions.read_all(stack.store, [waits])
            return session is not None and session.due_ms > clock.now_ms() + 60_000

        wait_until(is_later, 10, "the session is put off")
        assert [one.method for one in spared.requests] == ["NOTIFY"] * BURST
        assert referrals.read_all(stack.store, [referral_id(aors[1], "asking.ua")]) == [None], refers


def test_what_kamailio_cannot_send_is_tried_again(make_stack: MakeStack) -> None:
    """Here for want of a socket: this Kamailio has none for IPv6. Short memory makes it say the same."""
    stack = make_stack(ONE_SENDER, ("redis", "sip"))
    with SipPeer(stack.core_port) as core:
        device = Subscriber(stack, core)
        device.begin(**wants("mms.ua"), **{"Record-Route": "<sip:[::1]:5999;lr>"})

        def is_given_back() -> bool:
            return is_put_off(device) and stack.db.hget(device.place("cseq"), device.to_tag) == b"0"

        wait_until(is_given_back, 10, "it is owed on, under the same number")
        assert device.stored is not None

        aor = "sip:far@home1.example"
        at_core = f"Contact: <sip:127.0.0.1:{core.port}>".encode()
        far = register(aor, core).replace(at_core, b"Contact: <sip:[::1]:5999>")
        assert core.ask(far, stack.sip).status == 200
        ref = stack.submit(aor, app="asking.ua")
        name = referral_id(aor, "asking.ua")

        def is_to_be_sent_again() -> bool:
            [found] = referrals.read_all(stack.store, [name])
            return found is not None and found.state == "asked" and "sent again" in found.why

        wait_until(is_to_be_sent_again, 10, "a REFER that is due again")
        wait_until(lambda: where(stack, ref) == "held", 5, "its push waits for that")


def test_a_notify_that_is_answered_503_with_retry_after_is_sent_again_after_it(make_stack: MakeStack) -> None:
    """Who subscribes waits for it (RFC 6665 4.1.2.4), and who left has to be told."""
    stack = make_stack({"sip": {"senders": 1}}, ("redis", "sip"))
    busy = Says(503, "Busy", {"Retry-After": "1"})
    with SipPeer(stack.core_port, policy=lambda _: busy) as core:
        device = Subscriber(stack, core)
        device.begin(**wants("mms.ua"))
        device.notifies(1)
        core.policy = lambda _: OK
        again = device.notifies(2)[1]
        assert again.header("CSeq") == "2 NOTIFY"
        device.settle()

        core.policy = lambda _: busy
        device.ask(**wants("mms.ua"), expires="0")
        device.notifies(3)
        core.policy = lambda _: OK
        last = device.notifies(4)[3]
        assert last.header("Subscription-State").startswith("terminated")
        wait_until(lambda: device.stored is None, 5, "it is forgotten")
