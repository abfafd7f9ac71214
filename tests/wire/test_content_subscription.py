"""Devices that subscribe to an application's pushes: grant, refuse, pend, and the life of the dialog."""

from __future__ import annotations

import re
from contextlib import suppress

import pytest
from typer.testing import CliRunner

from omapush.cli.main import app
from omapush.store import keys, subscriptions
from tests.conftest import MakeStack
from tests.harness.sip_peer import OK, Says, SipPeer
from tests.harness.stack import Settings, Stack
from tests.harness.subscriber import CONTENT_EVENT, PSA, Subscriber, wants
from tests.harness.wait import wait_until

APP = "mms.ua"
COMPACT = {
    "Via": "v", "From": "f", "To": "t", "Call-ID": "i", "Contact": "m", "Event": "o", "Accept-Contact": "a",
    "Content-Length": "l",
}  # fmt: skip
SHORT: Settings = {"subscriptions": {"least_s": 1}, "delivery": {"transaction_s": 5, "lease_ms": 500}}


@pytest.fixture
def device(stack: Stack, core: SipPeer) -> Subscriber:
    return Subscriber(stack, core)


@pytest.mark.req("SUB-1", "PSA-SUB-1", "PROP-X-1", "PROP-X-2", "SIPPUSH-PSA-S-010", "SIPPUSH-PSA-S-012")
def test_a_subscriber_gets_200_with_a_tag_of_ours_and_at_once_an_empty_notify(device: Subscriber) -> None:
    answer = device.begin(**wants(APP))

    assert answer.header("Expires") == "600"
    assert answer.header("Contact") == f"<sip:127.0.0.1:{device.stack.sip[1]}>"
    [notify] = device.notifies(1)
    assert (notify.body, notify.header("Event")) == (b"", "ua-profile")
    assert re.fullmatch(r"active;expires=(600|599)", notify.header("Subscription-State"))
    assert notify.header("From") == f"<{PSA}>;tag={device.to_tag}"
    assert notify.header("To") == f"<{device.aor}>;tag={device.tag}"
    stored = device.stored
    assert stored is not None
    assert (stored.profile, stored.application, stored.aor) == ("oma-app", APP, device.aor)


@pytest.mark.req("PSA-SUB-2", "APP-1")
def test_an_application_that_takes_no_subscribers_answers_403(device: Subscriber) -> None:
    assert device.ask(**wants("closed.ua")).status == 403
    assert not subscriptions.of_user(device.stack.store, device.aor)


@pytest.mark.req("PSA-SUB-2")
def test_a_subscriber_that_waits_is_pending_and_gets_no_push_in_it(device: Subscriber) -> None:
    device.begin(**wants("pending.ua"))
    [notify] = device.notifies(1)
    assert notify.header("Subscription-State").startswith("pending;expires=")

    assert device.stack.result(device.stack.submit(device.aor, app="pending.ua")).method == "MESSAGE"
    assert len(device.notifies(1)) == 1


def test_a_subscriber_that_is_approved_is_told_and_gets_what_comes(device: Subscriber) -> None:
    device.begin(**wants("pending.ua"))
    device.notifies(1)
    device.settle()

    command = ["--config", str(device.stack.config_file), "subscription", "approve", device.to_tag]
    assert CliRunner().invoke(app, command).exit_code == 0

    assert device.notifies(2)[1].header("Subscription-State").startswith("active;expires=")
    device.settle()
    assert device.stack.result(device.stack.submit(device.aor, app="pending.ua")).method == "NOTIFY"


def test_a_subscription_that_an_operator_ends_is_told_why_and_is_gone(device: Subscriber) -> None:
    device.begin(**wants(APP))
    device.notifies(1)
    device.settle()

    command = ["--config", str(device.stack.config_file), "subscription", "end", device.to_tag]
    assert CliRunner().invoke(app, command).exit_code == 0

    assert device.notifies(2)[1].header("Subscription-State") == "terminated;reason=rejected"
    wait_until(lambda: device.stored is None, 5, "the record gone")
    assert device.stack.result(device.stack.submit(device.aor)).method == "MESSAGE"


@pytest.mark.req("PROP-X-3")
def test_accept_without_a_type_of_the_application_gets_406_with_what_there_is(device: Subscriber) -> None:
    answer = device.ask(**wants("typed.ua"), accept="text/plain")

    assert answer.status == 406
    assert answer.header("Accept") == "image/*"
    device.begin(**wants("typed.ua"), accept="image/png")


@pytest.mark.req("PROP-X-2")
@pytest.mark.parametrize(
    "event",
    [
        f"{CONTENT_EVENT};appids=x;new",
        'ua-profile;profile-type="oma-app"',
        "ua-profile; profile-type = oma-app",
    ],
)
def test_unknown_parameters_and_quotes_do_not_matter(device: Subscriber, event: str) -> None:
    device.begin(**(wants(APP) | {"event": event}))

    stored = device.stored
    assert stored is not None
    assert stored.application == APP


@pytest.mark.req("SUB-1")
def test_bounds_of_expires(device: Subscriber) -> None:
    brief = device.ask(**wants(APP), expires="5")
    assert (brief.status, brief.header("Min-Expires")) == (423, "60")
    assert device.ask(**wants(APP), expires="x").status == 400

    assert device.begin(**wants(APP), expires="999999999").header("Expires") == "86400"


def test_refresh_shorten_and_unsubscribe_are_each_followed_by_a_notify(device: Subscriber) -> None:
    device.begin(**wants(APP))
    device.notifies(1)
    device.settle()
    for count, (asked, state) in enumerate([("900", "active"), ("60", "active"), ("0", "terminated")], 2):
        answer = device.ask(event=CONTENT_EVENT, expires=asked)
        assert (answer.status, answer.header("Expires")) == (200, asked)
        last = device.notifies(count)[-1]
        assert last.header("Subscription-State").startswith(state)
        assert last.header("CSeq") == f"{count} NOTIFY"
    wait_until(lambda: device.stored is None, 5, "the record gone")
    assert not subscriptions.of_user(device.stack.store, device.aor)


def test_a_refresh_without_accept_contact_keeps_the_application(device: Subscriber) -> None:
    device.begin(**wants(APP))

    assert device.ask(event="ua-profile", expires="900").status == 200

    stored = device.stored
    assert stored is not None
    assert (stored.application, stored.expires_ms - stored.at_ms) == (APP, 900_000)


def test_a_new_contact_is_where_the_next_push_goes(device: Subscriber, core: SipPeer) -> None:
    device.begin(**wants(APP))
    device.notifies(1)
    device.settle()
    with SipPeer() as moved:
        raw = device.subscribe(event=CONTENT_EVENT, expires="600", accept="")
        elsewhere = raw.replace(
            f"@127.0.0.1:{core.port}>;+sip".encode(), f"@127.0.0.1:{moved.port}>;+sip".encode()
        )
        assert core.ask(elsewhere, device.stack.sip).status == 200

        assert device.stack.result(device.stack.submit(device.aor, b"moved")).method == "NOTIFY"
        wait_until(lambda: any(one.body == b"moved" for one in moved.requests), 5, "the push there")


def test_the_route_set_of_the_subscribe_is_that_of_every_push(device: Subscriber) -> None:
    routes = f"<sip:127.0.0.1:{device.core.port};lr;a=1>, <sip:scscf.home1.example;lr>"
    device.begin(**wants(APP), Record_Route=routes)
    device.notifies(1)
    device.settle()

    device.stack.result(device.stack.submit(device.aor))

    assert ", ".join(device.notifies(2)[1].all("Route")) == routes


def test_compact_header_names_are_read_like_the_others(device: Subscriber) -> None:
    """RFC 3261 7.3.3; a device behind a narrow link writes `a`, `o`, `m`, `v`, `f`, `t`, `i`, `l`."""
    long = device.subscribe(**wants("once.ua"), expires="600", accept="text/plain")
    short = long
    for name, compact in COMPACT.items():
        short = short.replace(f"\r\n{name}: ".encode(), f"\r\n{compact}: ".encode())
    assert len(long) - len(short) == sum(len(name) - 1 for name in COMPACT)

    answer = device.core.ask(short, device.stack.sip)

    device.to_tag = answer.header("To").rpartition(";tag=")[2]
    stored = device.stored
    assert answer.status == 200
    assert stored is not None
    assert (stored.application, stored.accept) == ("once.ua", ("text/plain",))
    device.notifies(1)
    device.settle()
    assert device.stack.result(device.stack.submit(device.aor, app="once.ua")).method == "NOTIFY"


def test_headers_of_a_contact_are_in_no_request_to_it(device: Subscriber) -> None:
    """RFC 3261 19.1.1; Kamailio itself would send them as they are."""
    raw = device.subscribe(**wants(APP), expires="600", accept="")
    place = f"127.0.0.1:{device.core.port}>;+sip".encode()
    assert place in raw
    told = raw.replace(place, place.replace(b">", b";method=REFER?Subject=x&Route=%3Csip:evil%3E>"))

    answer = device.core.ask(told, device.stack.sip)

    device.to_tag = answer.header("To").rpartition(";tag=")[2]
    [notify] = device.notifies(1)
    user = device.aor.partition(":")[2].partition("@")[0]
    assert notify.start_line == f"NOTIFY sip:{user}@127.0.0.1:{device.core.port} SIP/2.0"
    device.settle()
    assert device.stack.result(device.stack.submit(device.aor)).method == "NOTIFY"


def test_a_contact_with_maddr_is_reached_there(device: Subscriber) -> None:
    raw = device.subscribe(**wants(APP), expires="600", accept="")
    place = f"127.0.0.1:{device.core.port}>;+sip".encode()
    answer = device.core.ask(
        raw.replace(place, b"device.invalid:%d;maddr=127.0.0.1>;+sip" % device.core.port), device.stack.sip
    )

    device.to_tag = answer.header("To").rpartition(";tag=")[2]
    [notify] = device.notifies(1)
    assert notify.start_line.endswith(f"@device.invalid:{device.core.port};maddr=127.0.0.1 SIP/2.0")
    device.settle()


def long_routes(device: Subscriber, number: int, length: int) -> list[str]:
    place = f"sip:127.0.0.1:{device.core.port};transport=udp;lr"
    return [f"<{place};n={n}{'x' * length}>" for n in range(number)]


def test_a_route_set_that_no_request_could_carry_gets_400_and_nothing_is_kept(device: Subscriber) -> None:
    routes = ", ".join(long_routes(device, 12, 700))

    assert device.ask(**wants(APP), Record_Route=routes).status == 400
    assert not subscriptions.of_user(device.stack.store, device.aor)


def test_a_long_route_set_is_in_each_notify(device: Subscriber) -> None:
    """Kamailio takes 2,048 bytes of headers from us; these are twice as many."""
    routes = long_routes(device, 20, 150)
    device.begin(**wants(APP), Record_Route=", ".join(routes))
    device.notifies(1)
    device.settle()

    assert device.stack.result(device.stack.submit(device.aor)).method == "NOTIFY"
    for notify in device.notifies(2):
        assert ", ".join(notify.all("Route")) == ", ".join(routes)


def test_a_strict_router_in_the_route_set_gets_the_request_uri(device: Subscriber) -> None:
    """RFC 3261 12.2.1.1, with proxies on both sides of it."""
    core = f"127.0.0.1:{device.core.port}"
    device.begin(**wants(APP), Record_Route=f"<sip:strict@{core}>, <sip:loose@{core};lr>, <sip:far@{core}>")
    [notify] = device.notifies(1)

    assert notify.start_line == f"NOTIFY sip:strict@{core} SIP/2.0"
    target = f"sip:{device.aor.partition(':')[2].partition('@')[0]}@{core}"
    assert notify.all("Route") == [f"<sip:loose@{core};lr>", f"<sip:far@{core}>", f"<{target}>"]
    device.settle()
    assert device.stack.result(device.stack.submit(device.aor)).method == "NOTIFY"


@pytest.mark.req("PSA-NOT-5", "PSA-GEN-2")
def test_the_charging_vector_of_the_subscribe_is_answered_and_goes_on_in_notifies(device: Subscriber) -> None:
    vector = 'icid-value="ab12";orig-ioi="Type 3scscf.example"'

    answer = device.begin(**wants(APP), P_Charging_Vector=vector)

    assert answer.header("P-Charging-Vector") == f'{vector};term-ioi="Type 3home1.example"'
    assert (
        device.notifies(1)[0].header("P-Charging-Vector")
        == 'icid-value="ab12";orig-ioi="Type 3home1.example"'
    )


def test_an_old_subscriber_gets_its_event_id_back_in_pushes(device: Subscriber) -> None:
    device.begin(**(wants(APP) | {"event": f"{CONTENT_EVENT};id=17"}))
    device.notifies(1)
    device.settle()

    device.stack.result(device.stack.submit(device.aor))

    assert device.notifies(2)[1].header("Event") == "ua-profile;effective-by=0;id=17"


def test_a_lost_200_makes_the_device_repeat_and_there_is_one_dialog(device: Subscriber) -> None:
    """The same SUBSCRIBE in a new transaction, after the first one's answer never came."""
    first = device.begin(**wants(APP))
    device.to_tag = ""
    again = device.ask(**wants(APP), cseq=1)

    assert again.header("To") == first.header("To")
    assert len(subscriptions.of_user(device.stack.store, device.aor)) == 1


def test_two_forks_of_one_subscribe_are_two_dialogs_of_ours_only_when_their_tags_differ(
    device: Subscriber,
) -> None:
    device.begin(**wants(APP))
    other = Subscriber(device.stack, device.core, device.aor, call_id=device.call_id)
    other.begin(**wants(APP))

    assert device.to_tag != other.to_tag
    assert len(subscriptions.of_user(device.stack.store, device.aor)) == 2


def test_a_subscription_that_runs_out_is_told_so_and_leaves_nothing(make_stack: MakeStack) -> None:
    stack = make_stack(SHORT, ("redis", "sip"))
    with SipPeer(stack.core_port) as core:
        device = Subscriber(stack, core)
        device.begin(**wants(APP), expires="1")

        assert device.notifies(2)[1].header("Subscription-State") == "terminated;reason=timeout"
        wait_until(lambda: not stack.db.keys("sub*"), 5, lambda: f"nothing left: {stack.db.keys('sub*')}")


def test_a_device_that_is_silent_loses_its_subscription(make_stack: MakeStack) -> None:
    stack = make_stack(SHORT, ("redis", "sip"))
    with SipPeer(stack.core_port, policy=lambda one: None) as core:
        device = Subscriber(stack, core)
        device.begin(**wants(APP))
        device.notifies(1)

        wait_until(lambda: device.stored is None, 10, "dropped after the local time-out")


@pytest.mark.parametrize("code", [403, 500, 503])
def test_other_failures_of_the_first_notify_leave_the_subscription(device: Subscriber, code: int) -> None:
    device.core.policy = lambda one: Says(code) if one.method == "NOTIFY" else OK
    device.begin(**wants(APP))
    device.notifies(1)
    device.settle()

    assert device.stored is not None


DIALOGS = 2_000


def _subscribe_all(devices: list[Subscriber]) -> None:
    """Each repeats its SUBSCRIBE until it is answered, as a device does: a burst of datagrams loses some."""
    core, stack = devices[0].core, devices[0].stack
    silent = {
        one.call_id: one.subscribe(**(wants(APP) | {"expires": "600", "accept": ""})) for one in devices
    }
    for _ in range(10):
        for raw in silent.values():
            core.send(raw, stack.sip)
        with suppress(TimeoutError):
            wait_until(lambda: silent.keys() <= _answered(core), 4, "answers", poll_s=0.1)
        for call_id in _answered(core):
            silent.pop(call_id, None)
        if not silent:
            return
    raise AssertionError(f"no 200 to {len(silent)} of {len(devices)} SUBSCRIBEs")


def _answered(core: SipPeer) -> set[str]:
    """Call-IDs of the SUBSCRIBEs that got 200."""
    return {
        one.header("Call-ID")
        for one in core.responses
        if one.status == 200 and one.header("CSeq").endswith("SUBSCRIBE")
    }


def test_kill_9_with_2000_dialogs_each_takes_its_next_notify_with_the_right_number(
    make_stack: MakeStack,
) -> None:
    settings: Settings = {
        "delivery": {"lease_ms": 1000},
        "sip": {"window": 200},
        "subscriptions": {"window": 200},
        # However slow the machine is, no SUBSCRIBE is told 503: this is not about overload.
        "overload": {"queue_ms": 0},
    }
    stack = make_stack(settings, ("redis", "sip", "notifier"))
    with SipPeer(stack.core_port) as core:
        devices = [Subscriber(stack, core) for _ in range(DIALOGS)]
        for batch in range(0, DIALOGS, 250):
            _subscribe_all(devices[batch : batch + 250])
        assert subscriptions.count(stack.store, APP) == DIALOGS
        busy = [keys.subscription_part(number, part) for number in range(4) for part in ("flight", "owed")]
        wait_until(lambda: not stack.db.exists(*busy), 30, "all told")
        stack.kill("sip")
        stack.start("sip")
        refs = [stack.submit(device.aor, device.aor.encode()) for device in devices]

        for ref in refs:
            assert stack.result(ref, 60).method == "NOTIFY"
        notifies: dict[str, list[tuple[str, bytes]]] = {}
        for one in core.requests:
            if one.method == "NOTIFY":
                notifies.setdefault(one.header("Call-ID"), []).append((one.header("CSeq"), one.body))
        for device in devices:
            assert notifies[device.call_id] == [("1 NOTIFY", b""), ("2 NOTIFY", device.aor.encode())]
