"""The reg event watcher on the wire, against a peer that plays the S-CSCF."""

from collections.abc import Iterator

import pytest

from omapush.push.watch import REG, Subject
from omapush.store import keys, watches
from tests.fakes.sip_text import write
from tests.harness.reg_event import Scscf, contact, param, reginfo, registration
from tests.harness.sip_peer import Says, SipPeer
from tests.harness.stack import Stack
from tests.wire.registered import answer_is_stored, record_of, registers, state_becomes, watch_of

pytestmark = pytest.mark.req("PSA-REG-2", "SIPPUSH-PSA-S-004")

WATCHING = {"registration": {"watch": True, "first_retry_s": 0.2, "longest_retry_s": 1.0}}
A, B = "sip:a@127.0.0.1:5229", "sip:b@127.0.0.1:5999"
PUSH = param("+g.oma.pusheventapp", '"mms.ua"')


@pytest.fixture(scope="module")
def watching(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack whose watcher is on; each test has users of its own."""
    with Stack(tmp_path_factory.mktemp("watching"), WATCHING, ("redis", "sip")) as running:
        yield running


@pytest.fixture
def core(watching: Stack) -> Iterator[SipPeer]:
    with SipPeer(watching.core_port) as peer:
        yield peer


@pytest.fixture
def scscf(watching: Stack, core: SipPeer) -> Scscf:
    return Scscf(core, watching.sip)


def test_the_first_register_of_a_user_makes_us_subscribe_through_his_s_cscf(
    watching: Stack, core: SipPeer, scscf: Scscf
) -> None:
    """The headers that TS 24.229 asks for."""
    aor = "sip:first@ims.lab"
    registers(watching, core, aor, A)
    sent = scscf.subscribe(aor)

    assert sent.start_line == f"SUBSCRIBE {aor} SIP/2.0"
    assert sent.header("Route") == f"<sip:127.0.0.1:{core.port};lr>"
    assert sent.header("From").startswith("<sip:psa@home1.example>;tag=")
    assert sent.header("To") == f"<{aor}>"
    assert sent.header("Contact") == f"<sip:127.0.0.1:{watching.sip[1]}>"
    assert (sent.header("Event"), sent.header("Accept")) == ("reg", "application/reginfo+xml")
    assert sent.header("Expires") == "600000"
    assert sent.header("P-Asserted-Identity") == "<sip:psa@home1.example>"
    assert 'orig-ioi="Type 3home1.example"' in sent.header("P-Charging-Vector")
    for name in ("From", "To", "CSeq", "Call-ID", "Via"):
        assert len(sent.all(name)) == 1, sent.raw

    assert scscf.notify(sent, reginfo(2, registration(aor, contact(A, expires="500")))).status == 200
    assert watch_of(watching, aor).state == "active"
    registers(watching, core, aor, A)
    assert len(scscf.subscribes(aor)) == 1


def test_a_refresh_goes_in_the_dialog_that_the_notify_made(
    watching: Stack, core: SipPeer, scscf: Scscf
) -> None:
    """Tags, a higher CSeq, the Contact of the NOTIFY as Request-URI, its Record-Route as Route."""
    aor = "sip:refresh@ims.lab"
    scscf.granted = "2"
    registers(watching, core, aor, A)
    first = scscf.subscribe(aor)
    routes = f"<sip:127.0.0.1:{core.port};lr;n=1>, <sip:edge.ims.lab;lr>"
    target = f"<sip:reg@127.0.0.1:{core.port}>"
    # Its 200 has a Contact, too: the later of the two is the target.
    answer_is_stored(watching, aor)
    headers = {"Record-Route": routes, "Contact": target}
    document = reginfo(7, registration(aor, contact(A, expires="500")))
    assert scscf.notify(first, document, state="active;expires=2", tag="n1", headers=headers).status == 200

    again = scscf.subscribe(aor, 2)
    assert again.start_line == f"SUBSCRIBE sip:reg@127.0.0.1:{core.port} SIP/2.0"
    assert again.all("Route") == [f"<sip:127.0.0.1:{core.port};lr;n=1>", "<sip:edge.ims.lab;lr>"]
    assert again.header("From") == first.header("From")
    assert again.header("To") == f"<{aor}>;tag=n1"
    assert again.header("Call-ID") == first.header("Call-ID")
    assert int(again.header("CSeq").split()[0]) == int(first.header("CSeq").split()[0]) + 1
    # None is sent on a refresh: quiet is normal, and it is refreshed again.
    assert scscf.subscribe(aor, 3).header("Call-ID") == first.header("Call-ID")


def test_a_notify_that_overtakes_the_200_is_taken(watching: Stack, core: SipPeer, scscf: Scscf) -> None:
    aor = "sip:early@ims.lab"
    core.policy = lambda request: None if request.method == "SUBSCRIBE" else Says(200, "OK")
    registers(watching, core, aor, A)
    sent = scscf.subscribe(aor)

    assert scscf.notify(sent, reginfo(0, registration(aor, contact(A, expires="500")))).status == 200
    assert watch_of(watching, aor).state == "active"
    assert record_of(watching, aor).reginfo_version == 0


def test_a_notify_of_another_fork_is_refused_with_481(watching: Stack, core: SipPeer, scscf: Scscf) -> None:
    """The reg event has one dialog only (RFC 3680 4.9)."""
    aor = "sip:fork@ims.lab"
    registers(watching, core, aor, A)
    sent = scscf.subscribe(aor)

    assert scscf.notify(sent, tag="one").status == 200
    assert scscf.notify(sent, tag="two").status == 481
    assert scscf.notify(sent, tag="one").status == 200


@pytest.mark.parametrize(
    ("user", "headers", "status"),
    [
        ("no-state", {"Subscription-State": ""}, 400),
        ("state-expires-soon", {"Subscription-State": "active;expires=soon"}, 400),
        ("state-without-words", {"Subscription-State": ";;"}, 400),
        ("other-package", {"Event": "presence"}, 489),
        ("no-event", {"Event": ""}, 489),
        ("event-with-capital", {"Event": "Reg"}, 489),
        ("two-events", {"Event": "reg, reg"}, 400),
        ("event-with-open-quote", {"Event": 'reg;id="'}, 400),
        ("call-of-nobody", {"Call-ID": "nobody@127.0.0.1"}, 481),
        ("call-like-ours", {"Call-ID": "0123456789abcdef-0123456789abcdef@127.0.0.1"}, 481),
        ("other-to-tag", {"To": "<sip:psa@home1.example>;tag=other"}, 481),
        ("old-cseq", {"CSeq": "1 NOTIFY"}, 500),
        ("broken-contact", {"Contact": "<<"}, 400),
    ],
)
def test_a_notify_that_breaks_a_rule_gets_its_code_and_changes_nothing(
    watching: Stack, core: SipPeer, scscf: Scscf, user: str, headers: dict[str, str], status: int
) -> None:
    aor = f"sip:{user}@ims.lab"
    registers(watching, core, aor, A)
    sent = scscf.subscribe(aor)
    answer_is_stored(watching, aor)
    assert scscf.notify(sent, reginfo(2, registration(aor, contact(A, expires="500")))).status == 200
    before = watch_of(watching, aor)
    record = record_of(watching, aor)

    assert scscf.notify(sent, reginfo(99), headers=headers).status == status
    assert watch_of(watching, aor) == before
    assert record_of(watching, aor) == record


def test_a_stranger_cannot_notify(watching: Stack, core: SipPeer, scscf: Scscf) -> None:
    aor = "sip:stranger@ims.lab"
    registers(watching, core, aor, A)
    sent = scscf.subscribe(aor)
    with SipPeer(host="127.0.0.2") as stranger:
        lines = [
            ("Via", f"SIP/2.0/UDP 127.0.0.2:{stranger.port};branch=z9hG4bKstranger"),
            ("To", sent.header("From")),
            ("From", f"<{aor}>;tag=peer"),
            ("Call-ID", sent.header("Call-ID")),
            ("CSeq", "1 NOTIFY"),
            ("Event", "reg"),
            ("Subscription-State", "active;expires=60"),
            ("Max-Forwards", "70"),
        ]
        raw = write(f"NOTIFY {sent.header('Contact').strip('<>')} SIP/2.0", lines, reginfo(1))
        assert stranger.ask(raw, watching.sip).status == 403

    assert watch_of(watching, aor).state == "asking"


@pytest.mark.parametrize("code", [400, 404, 405, 410, 416, 420, 480, 482, 485, 489, 501, 603, 604])
def test_after_a_refusal_for_good_nothing_is_asked_before_the_next_register(
    watching: Stack, core: SipPeer, scscf: Scscf, code: int
) -> None:
    aor = f"sip:refused{code}@ims.lab"
    scscf.answers = lambda _: Says(code)
    registers(watching, core, aor, A)
    scscf.subscribe(aor)
    state_becomes(watching, aor, "waiting")
    assert str(code) in watch_of(watching, aor).why
    assert watches.due(watching.store, range(4), 2**50, most=100).count(Subject(aor, REG)) == 0

    scscf.answers = lambda _: Says(200)
    registers(watching, core, aor, A)
    second = scscf.subscribe(aor, 2)
    assert second.header("Call-ID") != scscf.subscribes(aor)[0].header("Call-ID")


@pytest.mark.parametrize("code", [408, 481, 500, 503, 504])
def test_after_a_passing_trouble_it_is_tried_again(
    watching: Stack, core: SipPeer, scscf: Scscf, code: int
) -> None:
    aor = f"sip:trouble{code}@ims.lab"
    scscf.answers = lambda _: Says(code) if len(scscf.subscribes(aor)) < 3 else Says(200)
    registers(watching, core, aor, A)
    third = scscf.subscribe(aor, 3)

    assert scscf.notify(third, reginfo(1, registration(aor, contact(A, expires="9")))).status == 200
    assert watch_of(watching, aor).attempts == 0


def test_retry_after_is_obeyed(watching: Stack, core: SipPeer, scscf: Scscf) -> None:
    aor = "sip:later@ims.lab"
    scscf.answers = lambda _: Says(503, "Busy", {"Retry-After": "3000 (later);duration=5"})
    registers(watching, core, aor, A)
    scscf.subscribe(aor)
    state_becomes(watching, aor, "resting")

    watch = watch_of(watching, aor)
    assert watch.due_ms - watch.at_ms == 3_000_000


def test_423_is_answered_by_a_longer_expires(watching: Stack, core: SipPeer, scscf: Scscf) -> None:
    aor = "sip:brief@ims.lab"
    scscf.answers = lambda request: (
        Says(423, "Interval Too Brief", {"Min-Expires": "604799"})
        if request.header("Expires") == "600000"
        else Says(200)
    )
    registers(watching, core, aor, A)

    assert scscf.subscribe(aor, 2).header("Expires") == "604799"


def test_403_makes_us_assert_the_user_and_the_core_is_remembered(
    watching: Stack, core: SipPeer, scscf: Scscf
) -> None:
    first, second = "sip:policy1@ims.lab", "sip:policy2@ims.lab"
    scscf.answers = lambda request: (
        Says(403, "Forbidden") if "psa@" in request.header("P-Asserted-Identity") else Says(200)
    )
    try:
        registers(watching, core, first, A)
        sent = scscf.subscribe(first, 2)
        assert sent.header("P-Asserted-Identity") == f"<{first}>"
        assert sent.header("From").startswith("<sip:psa@home1.example>")
        assert scscf.notify(sent, reginfo(1, registration(first, contact(A, expires="9")))).status == 200

        registers(watching, core, second, A)
        assert scscf.subscribe(second).header("P-Asserted-Identity") == f"<{second}>"
    finally:
        watching.db.delete(keys.core(f"sip:127.0.0.1:{core.port}"))


def test_a_refresh_that_finds_no_dialog_begins_a_new_one(
    watching: Stack, core: SipPeer, scscf: Scscf
) -> None:
    aor = "sip:gone481@ims.lab"
    scscf.granted = "2"
    scscf.answers = lambda request: Says(481) if ";tag=" in request.header("To") else Says(200)
    registers(watching, core, aor, A)
    first = scscf.subscribe(aor)
    document = reginfo(1, registration(aor, contact(A, expires="500")))
    assert scscf.notify(first, document, state="active;expires=2").status == 200

    third = scscf.subscribe(aor, 3)
    assert ";tag=" not in third.header("To")
    assert third.header("Call-ID") != first.header("Call-ID")
    assert scscf.notify(third, reginfo(0, registration(aor, contact(B, expires="500")))).status == 200
    assert [each.uri for each in record_of(watching, aor).contacts] == [B]


@pytest.mark.parametrize("reason", ["deactivated", "timeout", "", "unheard-of"])
def test_after_these_reasons_we_subscribe_again_at_once(
    watching: Stack, core: SipPeer, scscf: Scscf, reason: str
) -> None:
    aor = f"sip:again-{reason}@ims.lab"
    registers(watching, core, aor, A)
    first = scscf.subscribe(aor)
    assert scscf.notify(first, reginfo(1, registration(aor, contact(A, expires="500")))).status == 200
    state = f"terminated;reason={reason}" if reason else "terminated"
    assert scscf.notify(first, state=state).status == 200

    assert scscf.subscribe(aor, 2).header("Call-ID") != first.header("Call-ID")


@pytest.mark.parametrize("reason", ["probation", "giveup", "unheard-of"])
def test_after_these_reasons_retry_after_is_obeyed(
    watching: Stack, core: SipPeer, scscf: Scscf, reason: str
) -> None:
    aor = f"sip:later-{reason}@ims.lab"
    registers(watching, core, aor, A)
    first = scscf.subscribe(aor)
    assert scscf.notify(first, reginfo(1, registration(aor, contact(A, expires="500")))).status == 200
    assert scscf.notify(first, state=f"terminated;reason={reason};retry-after=77").status == 200

    watch = watch_of(watching, aor)
    assert (watch.state, watch.due_ms - watch.at_ms) == ("resting", 77_000)


@pytest.mark.parametrize("reason", ["rejected", "noresource", "invariant"])
def test_after_these_reasons_we_wait_for_the_next_register(
    watching: Stack, core: SipPeer, scscf: Scscf, reason: str
) -> None:
    aor = f"sip:end-{reason}@ims.lab"
    registers(watching, core, aor, A)
    first = scscf.subscribe(aor)
    assert scscf.notify(first, reginfo(1, registration(aor, contact(A, expires="500")))).status == 200
    assert scscf.notify(first, state=f"terminated;reason={reason}").status == 200
    assert (watch_of(watching, aor).state, watch_of(watching, aor).due_ms) == ("waiting", 0)

    registers(watching, core, aor, A)
    assert scscf.subscribe(aor, 2)


def test_another_s_cscf_gets_a_new_dialog(watching: Stack, core: SipPeer, scscf: Scscf) -> None:
    aor = "sip:moves@ims.lab"
    registers(watching, core, aor, A)
    first = scscf.subscribe(aor)
    assert scscf.notify(first, reginfo(8, registration(aor, contact(A, expires="500")))).status == 200
    with SipPeer() as other:
        elsewhere = Scscf(other, watching.sip)
        registers(watching, other, aor, A)
        second = elsewhere.subscribe(aor)
        assert second.header("Route") == f"<sip:127.0.0.1:{other.port};lr>"
        assert elsewhere.notify(second, reginfo(2, registration(aor, contact(B, expires="9")))).status == 200

    assert scscf.notify(first, reginfo(9, registration(aor))).status == 481
    assert [each.uri for each in record_of(watching, aor).contacts] == [B]


def test_a_push_that_finds_nobody_makes_us_ask_the_reg_event_now(
    watching: Stack, core: SipPeer, scscf: Scscf
) -> None:
    aor = "sip:notthere@ims.lab"
    registers(watching, core, aor, A)
    first = scscf.subscribe(aor)
    assert scscf.notify(first, reginfo(1, registration(aor, contact(A, expires="500")))).status == 200
    policy = core.policy
    core.policy = lambda request: Says(480) if request.method == "MESSAGE" else policy(request)
    watching.submit(aor, app="once.ua")

    second = scscf.subscribe(aor, 2)
    assert second.header("Call-ID") == first.header("Call-ID")
    (doubt,) = record_of(watching, aor).doubts
    assert (doubt.source, doubt.text) == ("delivery", "a MESSAGE was answered 480")
    gone = reginfo(2, registration(aor, state="terminated"))
    assert scscf.notify(first, gone).status == 200
    record = record_of(watching, aor)
    assert (record.contacts, record.doubts, record.state_source) == ((), (), "reginfo")
    assert "registration_contradicted" in watching.parts["sip"].log_text()
