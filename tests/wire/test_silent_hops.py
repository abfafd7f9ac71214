"""An S-CSCF that answers nothing: what is due to its users waits for it alone, and is lost to nobody."""

from collections.abc import Sequence

from omapush import clock
from tests.conftest import MakeStack
from tests.fakes.sip_text import SipText
from tests.harness.session_device import SESSIONS, Device, employ
from tests.harness.sip_peer import OK, Says, SipPeer
from tests.harness.stack import Settings, Stack
from tests.harness.subscriber import Subscriber, wants
from tests.harness.wait import wait_until
from tests.wire.requests import register

WINDOW = 10
SHARE = WINDOW * 3 // 4
"What one next hop gets."
MANY = 30
"Three windows: without turns of their own they would hold all of it for a minute and a half."
OTHERS = 5
PARTS = ("redis", "sip")
AT_ONCE_S = 20
"Well below the 32 s after which a request without an answer ends."
ONE_SENDER: Settings = {
    "sip": {"senders": 1, "window": WINDOW, "window_per_hop": SHARE},
    "subscriptions": {"window": WINDOW},
}


def nothing(_: SipText) -> Says | None:
    return None


def subscribe_behind(stack: Stack, core: SipPeer, s_cscf: SipPeer, number: int = MANY) -> list[Subscriber]:
    """Devices that subscribe by way of an S-CSCF, to which their NOTIFYs go."""
    route = f"<sip:127.0.0.1:{s_cscf.port};lr>"
    devices = [Subscriber(stack, core) for _ in range(number)]
    for device in devices:
        device.begin(**wants("mms.ua"), **{"Record-Route": route})
    return devices


def notifies_at(s_cscf: SipPeer) -> dict[str, SipText]:
    """The last NOTIFY that came to an S-CSCF in each dialog."""
    return {one.header("Call-ID"): one for one in s_cscf.requests}


def is_put_off(device: Subscriber) -> bool:
    """Whether a NOTIFY is owed to it, but not now."""
    due_ms = device.stack.db.zscore(device.place("owed"), device.to_tag)
    return due_ms is not None and float(str(due_ms)) > clock.now_ms()


def those_put_off(stack: Stack, core: SipPeer, silent: SipPeer) -> list[Subscriber]:
    """Subscribers behind an S-CSCF that answers nothing, after its share of the window was sent there."""
    behind = subscribe_behind(stack, core, silent)
    wait_until(lambda: sum(map(is_put_off, behind)) == MANY - SHARE, 10, "all others are put off")
    assert len(notifies_at(silent)) == SHARE
    return [device for device in behind if device.call_id not in notifies_at(silent)]


def are_told(s_cscf: SipPeer, devices: Sequence[Subscriber], state: str) -> None:
    """Wait until the last NOTIFY of each says so."""
    asked = {device.call_id for device in devices}

    def told() -> set[str]:
        return {
            call_id
            for call_id, one in notifies_at(s_cscf).items()
            if one.header("Subscription-State").startswith(state)
        }

    wait_until(lambda: asked <= told(), AT_ONCE_S, lambda: f"{len(asked)} {state}, not {len(asked & told())}")


def test_subscribers_of_others_are_told_while_one_s_cscf_is_silent(make_stack: MakeStack) -> None:
    stack = make_stack(ONE_SENDER, PARTS)
    with SipPeer(stack.core_port) as core, SipPeer(policy=nothing) as silent:
        subscribe_behind(stack, core, silent)
        for _ in range(OTHERS):
            device = Subscriber(stack, core)
            device.begin(**wants("mms.ua"))
            device.notifies(1, AT_ONCE_S)
            device.ask(**wants("mms.ua"), expires="0")
            assert device.notifies(2, AT_ONCE_S)[1].header("Subscription-State").startswith("terminated")

        assert len(silent.requests) == SHARE


def test_several_silent_s_cscfs_leave_room_for_those_that_answer(make_stack: MakeStack) -> None:
    """One alone has to leave a part of the window; several filled it together."""
    stack = make_stack(ONE_SENDER, PARTS)
    with SipPeer(stack.core_port) as core, SipPeer(policy=nothing) as one, SipPeer(policy=nothing) as two:
        for silent in (one, two):
            subscribe_behind(stack, core, silent)
            for number in range(MANY):
                aor = f"sip:behind{silent.port}-{number}@home1.example"
                assert silent.ask(register(aor, silent), stack.sip).status == 200
                stack.submit(aor)
        wait_until(lambda: {one.method for one in two.requests} == {"MESSAGE", "NOTIFY"}, 10, "both kinds")
        for number in range(OTHERS):
            device = Subscriber(stack, core)
            device.begin(**wants("mms.ua"))
            device.notifies(1, AT_ONCE_S)
            ref = stack.submit(f"sip:elsewhere{number}@home1.example")
            assert stack.result(ref, deadline_s=AT_ONCE_S).state == "delivered"

        assert max(len(one.requests), len(two.requests)) <= 2 * SHARE


def test_who_was_put_off_is_told_when_the_s_cscf_answers_again_and_also_that_it_is_over(
    make_stack: MakeStack,
) -> None:
    stack = make_stack(ONE_SENDER, PARTS)
    with SipPeer(stack.core_port) as core, SipPeer(policy=nothing) as silent:
        late = those_put_off(stack, core, silent)
        ends, goes_on = late[::2], late[1::2]
        for device in ends:
            assert device.ask(**wants("mms.ua"), expires="0").status == 200
        silent.policy = lambda _: OK

        are_told(silent, goes_on, "active")
        are_told(silent, ends, "terminated")
        assert {notifies_at(silent)[one.call_id].header("CSeq") for one in late} == {"1 NOTIFY"}
        wait_until(lambda: not any(one.stored for one in ends), 5, "what has ended is forgotten")
        for device in goes_on:
            device.settle()
        assert len(notifies_at(silent)) == MANY


def test_nobody_who_was_put_off_is_forgotten_when_the_sender_dies(make_stack: MakeStack) -> None:
    stack = make_stack(ONE_SENDER, PARTS)
    with SipPeer(stack.core_port) as core, SipPeer(policy=nothing) as silent:
        late = those_put_off(stack, core, silent)
        stack.kill("sip")
        silent.policy = lambda _: OK
        stack.start("sip")

        are_told(silent, late, "active")


def test_pushes_in_subscriptions_of_others_leave_while_one_s_cscf_is_silent(make_stack: MakeStack) -> None:
    stack = make_stack(ONE_SENDER, PARTS)
    with SipPeer(stack.core_port) as core, SipPeer() as silent:
        behind = subscribe_behind(stack, core, silent)
        for device in behind:
            device.settle()
        silent.policy = nothing
        silent.forget()
        refs = [stack.submit(device.aor) for device in behind]
        wait_until(lambda: len(silent.requests) >= SHARE, 10, "NOTIFYs to the silent one")
        for _ in range(OTHERS):
            device = Subscriber(stack, core)
            device.begin(**wants("mms.ua"))
            device.notifies(1, AT_ONCE_S)
            device.settle()
            result = stack.result(stack.submit(device.aor), deadline_s=AT_ONCE_S)
            assert (result.state, result.method) == ("delivered", "NOTIFY")

        assert {one.method for one in silent.requests} == {"NOTIFY"}
        assert len(silent.requests) == SHARE
        silent.policy = lambda _: OK
        results = [stack.result(ref, deadline_s=AT_ONCE_S) for ref in refs]
        assert {(one.state, one.method, one.attempts) for one in results} == {("delivered", "NOTIFY", 1)}


def test_sessions_with_others_begin_while_one_s_cscf_answers_no_invite(make_stack: MakeStack) -> None:
    settings: Settings = {
        **SESSIONS,
        "sip": {**SESSIONS["sip"], "senders": 1},
        "sessions": {**SESSIONS["sessions"], "window": WINDOW},
    }
    stack = make_stack(settings, ("redis", "sip", "notifier"))
    employ(stack)
    with SipPeer(stack.core_port) as core, SipPeer(policy=nothing) as silent:
        behind = [f"sip:behind{number}@home1.example" for number in range(MANY)]
        for aor in behind:
            assert silent.ask(register(aor, silent), stack.sip).status == 200
            stack.submit(aor, b"x" * 3_000, app="large-once.ua")
        wait_until(lambda: len(silent.requests) >= SHARE, 10, "INVITEs to the silent one")
        for _ in range(OTHERS):
            device = Device(stack, core)
            ref = stack.submit(device.aor, b"x" * 3_000, app="large-once.ua")
            device.wait("INVITE", deadline_s=AT_ONCE_S)
            device.until("open")
            device.transferred()
            assert stack.result(ref, deadline_s=AT_ONCE_S).state == "delivered"

        assert len(silent.requests) == SHARE
