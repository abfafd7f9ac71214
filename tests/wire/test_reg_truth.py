"""One record from all sources, on the wire: what a real S-CSCF was seen to send, and what could go wrong."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from omapush.push.registration import applications, is_registered
from omapush.store import keys
from tests.harness.reg_event import Scscf, contact, param, reginfo, registration
from tests.harness.sip_peer import SipPeer
from tests.harness.stack import Stack
from tests.harness.wait import wait_until
from tests.wire.registered import record_of, registers
from tests.wire.requests import register, ue_register

pytestmark = pytest.mark.req("PSA-REG-2", "SIPPUSH-PSA-S-004")

CORPUS = Path(__file__).parent.parent / "corpora" / "valid" / "reginfo"
MESSAGE_SIP = ("Content-Type", "message/sip")
A, B = "sip:a@127.0.50.1:5229", "sip:b@127.0.50.1:5999"


@pytest.fixture(scope="module")
def watching(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    settings = {"registration": {"watch": True}}
    with Stack(tmp_path_factory.mktemp("truth"), settings, ("redis", "sip")) as running:
        yield running


@pytest.fixture
def core(watching: Stack) -> Iterator[SipPeer]:
    with SipPeer(watching.core_port) as peer:
        yield peer
    watching.db.delete(keys.core(f"sip:127.0.0.1:{watching.core_port}"))


@pytest.fixture
def scscf(watching: Stack, core: SipPeer) -> Scscf:
    return Scscf(core, watching.sip)


def uris(stack: Stack, aor: str) -> list[str]:
    return sorted(each.uri for each in record_of(stack, aor).contacts)


def user() -> str:
    return f"sip:u{secrets.token_hex(4)}@ims.lab"


def recorded(name: str, aor: str, was: str = "sip:alice@ims.lab") -> bytes:
    """A recorded document about a user of the test's own."""
    return (CORPUS / f"recorded-{name}.xml").read_bytes().replace(f'"{was}"'.encode(), f'"{aor}"'.encode())


def test_reginfo_that_never_carries_the_push_tag_leaves_the_tags_of_the_register(
    watching: Stack, core: SipPeer, scscf: Scscf
) -> None:
    """Recorded: version 2 is the first, q="0.000" is no q."""
    aor, device = user(), "sip:alice@127.0.50.1:5229"
    registers(watching, core, aor, device)
    assert scscf.notify(scscf.subscribe(aor), recorded("one-contact", aor)).status == 200

    record = record_of(watching, aor)
    assert applications(record, record.reginfo_ms) == ("mms.ua", "ulp.ua")
    assert (record.contacts[0].source, record.contacts[0].tags_source) == ("reginfo", "register")
    assert (record.reginfo_version, record.contacts[0].q) == (2, None)


@pytest.mark.req("PRA-REG-6")
def test_a_core_that_was_seen_with_push_tags_is_believed_when_one_is_missing(
    watching: Stack, core: SipPeer, scscf: Scscf
) -> None:
    """What one user's document showed holds for all users of that core."""
    aor, other, device = user(), user(), "sip:alice@127.0.50.1:5229"
    for each in (aor, other):
        registers(watching, core, each, device)
    assert scscf.notify(scscf.subscribe(aor), recorded("with-push-tag", aor)).status == 200
    assert scscf.notify(scscf.subscribe(other), recorded("one-contact", other)).status == 200

    record = record_of(watching, other)
    assert (applications(record, record.reginfo_ms), uris(watching, other)) == ((), [device])


@pytest.mark.parametrize("name", ["deregistered-by-the-ue", "silent-expiry", "nobody-left"])
def test_each_way_to_leave_that_was_recorded_takes_the_user_away(
    watching: Stack, core: SipPeer, scscf: Scscf, name: str
) -> None:
    """The subscription stays active after it, and the user's next REGISTER brings no NOTIFY."""
    aor, device = user(), "sip:alice@127.0.50.1:5229"
    registers(watching, core, aor, device)
    first = scscf.subscribe(aor)
    assert scscf.notify(first, recorded("one-contact", aor)).status == 200
    gone = recorded(name, aor, "sip:dave@ims.lab" if name == "nobody-left" else "sip:alice@ims.lab")
    assert scscf.notify(first, gone.replace(b'version="2"', b'version="3"')).status == 200
    record = record_of(watching, aor)
    assert not is_registered(record, record.reginfo_ms)

    registers(watching, core, aor, device)
    record = record_of(watching, aor)
    assert (applications(record, record.at_ms), len(scscf.subscribes(aor))) == (("mms.ua", "ulp.ua"), 1)


@pytest.mark.parametrize("values", [["<{aor}, {tel}>"], ["<{aor}>, <{tel}>"], ["<{aor}>", "<{tel}>"]])
def test_an_implicit_set_is_told_by_one_dialog(
    watching: Stack, core: SipPeer, scscf: Scscf, values: list[str]
) -> None:
    """Whether its members stand in one line or in several, or as Kamailio's S-CSCF writes them: malformed."""
    aor, tel = user(), f"tel:+1555{secrets.randbelow(10**7):07}"
    body = ue_register(aor, A)
    associated = [("P-Associated-URI", value.format(aor=aor, tel=tel)) for value in values]
    for each in (aor, tel):
        raw = register(each, core, headers=[MESSAGE_SIP, *associated], body=body)
        assert core.ask(raw, watching.sip).status == 200
    assert set(record_of(watching, aor).associated) == {aor, tel}
    first = scscf.subscribe(aor)
    devices = contact(A, expires="300"), contact(B, expires="300")
    both = [registration(each, *devices) for each in (aor, tel)]
    assert scscf.notify(first, reginfo(2, *both)).status == 200

    assert uris(watching, aor) == uris(watching, tel) == [A, B]
    assert scscf.subscribes(tel) == []


def test_one_of_two_contacts_leaves_though_the_register_says_expires_0(
    watching: Stack, core: SipPeer, scscf: Scscf
) -> None:
    aor = user()
    registers(watching, core, aor, A)
    registers(watching, core, aor, B)
    registers(watching, core, aor, A, expires=0)
    assert uris(watching, aor) == [B]
    first = scscf.subscribe(aor)
    left = contact(A, state="terminated", event="expired", expires="0")
    assert scscf.notify(first, reginfo(2, registration(aor, left, contact(B, expires="9")))).status == 200

    assert uris(watching, aor) == [B]


def test_an_ampersand_that_is_not_escaped_is_mended_and_shown(
    watching: Stack, core: SipPeer, scscf: Scscf
) -> None:
    aor = user()
    registers(watching, core, aor, A)
    document = reginfo(2, registration(aor, contact("sip:a@127.0.50.1:1;x=1&y=2", expires="60")))
    assert scscf.notify(scscf.subscribe(aor), document).status == 200

    assert uris(watching, aor) == ["sip:a@127.0.50.1:1;x=1&y=2"]
    assert "was not escaped" in record_of(watching, aor).problems[0]


@pytest.mark.parametrize(
    "broken",
    [
        b"<reginfo",
        b"\0\xff\xfe",
        b'<!DOCTYPE x [<!ENTITY e "e">]><reginfo xmlns="urn:ietf:params:xml:ns:reginfo"/>',
        b'<reginfo xmlns="urn:ietf:params:xml:ns:reginfo" version="4294967296" state="full"/>',
        b'<reginfo version="3" state="full"/>',
    ],
)
def test_a_broken_document_loses_nothing_is_shown_and_full_state_is_asked_for(
    watching: Stack, core: SipPeer, scscf: Scscf, broken: bytes
) -> None:
    aor = user()
    registers(watching, core, aor, A)
    first = scscf.subscribe(aor)
    assert scscf.notify(first, reginfo(2, registration(aor, contact(A, expires="300")))).status == 200
    assert scscf.notify(first, broken).status == 200

    record = record_of(watching, aor)
    assert (uris(watching, aor), applications(record, record.at_ms)) == ([A], ("mms.ua", "ulp.ua"))
    assert record.problems[0].startswith("reg event: ")
    assert scscf.subscribe(aor, 2).header("Call-ID") == first.header("Call-ID")
    assert scscf.notify(first, reginfo(3, registration(aor, contact(A, expires="300")))).status == 200
    assert record_of(watching, aor).problems == ()


def test_a_gap_in_the_versions_is_used_and_answered_by_a_refresh(
    watching: Stack, core: SipPeer, scscf: Scscf
) -> None:
    aor = user()
    registers(watching, core, aor, A)
    first = scscf.subscribe(aor)
    assert scscf.notify(first, reginfo(70, registration(aor, contact(A, expires="300")))).status == 200
    partial = reginfo(72, registration(aor, contact(B, expires="300")), state="partial")
    assert scscf.notify(first, partial).status == 200
    assert uris(watching, aor) == [A, B]
    assert scscf.subscribe(aor, 2).header("Call-ID") == first.header("Call-ID")

    for old in (72, 71, 3):
        assert scscf.notify(first, reginfo(old, registration(aor, state="terminated"))).status == 200
    assert uris(watching, aor) == [A, B]


def test_a_notifier_that_counts_anew_in_its_old_dialog_gets_a_new_one(
    watching: Stack, core: SipPeer, scscf: Scscf
) -> None:
    """An S-CSCF that was restarted and has kept its dialogs: its documents would be too old for long."""
    aor = user()
    registers(watching, core, aor, A)
    first = scscf.subscribe(aor)
    assert scscf.notify(first, reginfo(70, registration(aor, contact(A, expires="300")))).status == 200
    anew = reginfo(0, registration(aor, contact(B, expires="300")), state="partial")
    assert scscf.notify(first, anew).status == 200

    second = scscf.subscribe(aor, 2)
    assert second.header("Call-ID") != first.header("Call-ID")
    assert ";tag=" not in second.header("To")
    assert uris(watching, aor) == [A]
    whole = reginfo(1, registration(aor, contact(A, expires="300"), contact(B, expires="300")))
    assert scscf.notify(second, whole).status == 200
    assert uris(watching, aor) == [A, B]


def test_a_device_that_moves_is_reached_though_its_old_contact_ends_afterwards(
    watching: Stack, core: SipPeer, scscf: Scscf
) -> None:
    aor = user()
    inside = param("+sip.instance", '"&lt;urn:uuid:1&gt;"') + param("+g.oma.pusheventapp", '"mms.ua"')
    registers(watching, core, aor, A)
    first = scscf.subscribe(aor)
    both = contact(B, expires="300", inside=inside)
    old = contact(A, expires="300", inside=inside)
    assert scscf.notify(first, reginfo(1, registration(aor, old))).status == 200
    assert scscf.notify(first, reginfo(2, registration(aor, both), state="partial")).status == 200
    ended = contact(A, state="terminated", event="expired", inside=inside)
    assert scscf.notify(first, reginfo(3, registration(aor, ended), state="partial")).status == 200

    assert uris(watching, aor) == [B]
    assert record_of(watching, aor).contacts[0].applications == ("mms.ua",)


def test_the_s_cscf_that_lost_the_user_has_no_say_any_more(
    watching: Stack, core: SipPeer, scscf: Scscf
) -> None:
    """Its REGISTER with Expires 0 comes after that of the new one."""
    aor = user()
    registers(watching, core, aor, A)
    first = scscf.subscribe(aor)
    assert scscf.notify(first, reginfo(1, registration(aor, contact(A, expires="300")))).status == 200
    with SipPeer() as other:
        new = Scscf(other, watching.sip)
        registers(watching, other, aor, B)
        second = new.subscribe(aor)
        assert new.notify(second, reginfo(5, registration(aor, contact(B, expires="300")))).status == 200

        assert core.ask(register(aor, core, expires="0"), watching.sip).status == 200
        record = record_of(watching, aor)
        assert (record.s_cscf, uris(watching, aor)) == (f"sip:127.0.0.1:{other.port}", [B])
        assert "says Expires 0" in record.doubts[0].text
        again = new.subscribe(aor, 2)  # the doubt is asked about where the user is
        assert new.notify(again, reginfo(6, registration(aor, contact(B, expires="300")))).status == 200
        assert record_of(watching, aor).doubts == ()
        watching.submit(aor, b"there")
        wait_until(lambda: any(one.body == b"there" for one in other.pushes(aor)), 5, "the push there")


def test_a_register_without_a_body_makes_the_reg_event_say_who_it_was(
    watching: Stack, core: SipPeer, scscf: Scscf
) -> None:
    aor = user()
    registers(watching, core, aor, A)
    first = scscf.subscribe(aor)
    assert scscf.notify(first, reginfo(1, registration(aor, contact(A, expires="300")))).status == 200
    for expires in ("600", "0"):
        assert core.ask(register(aor, core, expires=expires), watching.sip).status == 200
    assert scscf.subscribe(aor, 2).header("Call-ID") == first.header("Call-ID")
    assert uris(watching, aor) == [A]

    gone = reginfo(2, registration(aor, state="terminated"))
    assert scscf.notify(first, gone).status == 200
    assert record_of(watching, aor).doubts == ()


def test_a_storm_of_registers_of_one_user_is_one_subscription(
    watching: Stack, core: SipPeer, scscf: Scscf
) -> None:
    aor = user()
    body = ue_register(aor, A)
    storm = [register(aor, core, headers=[MESSAGE_SIP], body=body) for _ in range(300)]
    for raw in storm:
        core.send(raw, watching.sip)
    assert core.ask(register(aor, core, headers=[MESSAGE_SIP], body=body), watching.sip).status == 200
    first = scscf.subscribe(aor)
    assert scscf.notify(first, reginfo(1, registration(aor, contact(A, expires="300")))).status == 200

    assert uris(watching, aor) == [A]
    assert len(scscf.subscribes(aor)) == 1


def test_a_flag_and_quoted_values_are_read_as_the_core_writes_them(
    watching: Stack, core: SipPeer, scscf: Scscf
) -> None:
    aor = user()
    inside = param("+g.oma.pusheventapp", '"mms.ua,ulp.ua"') + param("video") + "<x:y xmlns:x='urn:x'/>"
    registers(watching, core, aor, B)
    document = reginfo(1, registration(aor, contact(A, expires="60", inside=inside)))
    assert scscf.notify(scscf.subscribe(aor), document).status == 200

    (one,) = record_of(watching, aor).contacts
    assert one.applications == ("mms.ua", "ulp.ua")
    assert ("video", None) in one.features
