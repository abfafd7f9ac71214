"""How reg event documents, REGISTERs and time together say who is there."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from omapush.protocol import reginfo
from omapush.protocol.third_party_register import EmbeddedContact
from omapush.push.reginfo_merge import (
    SETTLED_MS,
    Told,
    identities,
    merge_reginfo,
    nobody_left,
    reports_tags,
    unreadable,
)
from omapush.push.registration import (
    MOST_CONTACTS,
    Doubt,
    Registration,
    Report,
    applications,
    contradiction,
    doubted,
    is_registered,
    merge,
)
from tests.harness import reg_event
from tests.harness.reg_event import contact, param

pytestmark = pytest.mark.req("PSA-REG-2", "SIPPUSH-PSA-S-004")

NOW = 1_800_000_000_000
LATER = NOW + 2 * SETTLED_MS
ALICE, BOB, TEL = "sip:alice@ims.lab", "sip:bob@ims.lab", "tel:+15550102"
DEVICE = "sip:alice@127.0.50.1:5229"
INSTANCE = "urn:uuid:00000000-0000-1000-8000-000000000001"
CORPUS = Path(__file__).parents[2] / "corpora" / "valid" / "reginfo"
PUSH = param("+g.oma.pusheventapp", '"mms.ua"')


def register(
    *uris: str, at_ms: int = NOW, expires: int = 600, aor: str = ALICE, apps: tuple[str, ...] = ("mms.ua",),
    instance: str | None = None, expires_s: int | None = None,
) -> Report:  # fmt: skip
    tags = (("+g.oma.pusheventapp", ",".join(apps)), ("+g.3gpp.smsip", None)) if apps else ()
    return Report(
        aor=aor,
        expires_s=expires if expires_s is None else expires_s,
        s_cscf="sip:s.ims.lab",
        path="",
        contacts=tuple(EmbeddedContact(uri, expires, instance, apps, tags, None, None) for uri in uris),
        all_contacts=False,
        source="register",
        associated=(),
        charging="",
        service_info="",
        at_ms=at_ms,
        problems=(),
    )


def told(body: bytes, at_ms: int = LATER, *, dialog: str = "d", tags: bool = False) -> Told:
    document = reginfo.read(body)
    return Told(document, dialog, "sip:s.ims.lab", tags or reports_tags(document), at_ms)


def after(record: Registration | None, one: Told, aor: str = ALICE) -> Registration:
    return merge_reginfo(record, aor, identities(one, aor)[aor], one)


def recorded(name: str, at_ms: int = LATER) -> Told:
    return told((CORPUS / f"recorded-{name}.xml").read_bytes(), at_ms)


def document(
    version: int, *contacts: str, aor: str = ALICE, state: str = "full", active: str = "active"
) -> bytes:
    registration = reg_event.registration(aor, *contacts, state=active)
    return reg_event.reginfo(version, registration, state=state)


def uris(record: Registration) -> list[str]:
    return sorted(each.uri for each in record.contacts)


def test_tags_of_the_embedded_register_stay_where_reginfo_never_carries_them() -> None:
    record = after(merge(None, register(DEVICE, instance=INSTANCE)), recorded("one-contact"))

    (one,) = record.contacts
    assert one.applications == ("mms.ua",)
    assert (one.source, one.tags_source, one.tags_ms) == ("reginfo", "register", NOW)
    assert one.q is None
    assert one.expires_ms == LATER + 3_599_000


def test_tags_that_reginfo_carries_are_taken() -> None:
    record = after(None, recorded("with-push-tag"))

    (one,) = record.contacts
    assert (one.applications, one.instance, one.tags_source) == (("mms.ua",), INSTANCE, "reginfo")
    assert record.s_cscf == "sip:s.ims.lab"


@pytest.mark.req("PRA-REG-6")
def test_a_missing_push_tag_is_withdrawn_only_where_the_core_reports_push_tags() -> None:
    known = merge(None, register(DEVICE))
    without = document(1, contact(DEVICE, expires="100", inside=param("+g.3gpp.smsip")))

    assert applications(after(known, told(without)), LATER) == ("mms.ua",)
    assert applications(after(known, told(without, tags=True)), LATER) == ()


@pytest.mark.req("PRA-REG-6")
def test_a_register_without_push_tags_withdraws_them_whatever_reginfo_said_before() -> None:
    record = after(None, recorded("with-push-tag"))
    record = merge(record, register(DEVICE, at_ms=LATER + 1, apps=()))
    assert applications(record, LATER + 1) == ()

    record = after(record, told(document(9, contact(DEVICE, expires="100")), LATER + 2))
    assert applications(record, LATER + 2) == ()


@pytest.mark.parametrize("name", ["deregistered-by-the-ue", "silent-expiry"])
def test_a_terminated_registration_takes_all_contacts(name: str) -> None:
    record = after(merge(None, register(DEVICE, "sip:other@ims.lab")), recorded(name))

    assert record.contacts == ()
    assert not is_registered(record, LATER)
    assert (record.state_source, record.state_ms) == ("reginfo", LATER)


def test_a_network_initiated_deregistration_names_no_contact() -> None:
    gone = document(4, active="terminated")
    record = after(merge(None, register(DEVICE)), told(gone))

    assert not is_registered(record, LATER)
    assert nobody_left(told(gone), ALICE)


def test_full_state_without_the_watched_identity_says_that_it_is_gone() -> None:
    nobody = recorded("implicit-set")

    assert nobody_left(nobody, ALICE)
    assert not is_registered(after(merge(None, register(DEVICE)), nobody), LATER)


def test_one_document_tells_of_each_identity_of_an_implicit_set() -> None:
    one = recorded("implicit-set")
    found = identities(one, BOB)
    records = {aor: merge_reginfo(None, aor, element, one) for aor, element in found.items()}

    assert set(records) == {BOB, TEL}
    assert uris(records[BOB]) == uris(records[TEL]) == ["sip:bob@127.0.50.1:5999"]
    assert set(records[BOB].associated) == {BOB, TEL}
    assert records[BOB].contacts[0].q == 0.5


def test_one_of_two_contacts_leaves_partially() -> None:
    """By URI: the id of an explicit de-registration is 0x1."""
    both = after(None, told(document(1, contact(DEVICE, expires="9"), contact("sip:b@x", expires="9"))))
    left = contact(DEVICE, state="terminated", event="unregistered")
    record = after(both, told(document(2, left, state="partial")))

    assert uris(record) == ["sip:b@x"]
    assert is_registered(record, LATER)


def test_a_contact_is_the_same_device_by_its_instance() -> None:
    inside = param("+sip.instance", f'"&lt;{INSTANCE}&gt;"')
    moved = document(1, contact("sip:alice@127.0.0.9:1", expires="9", inside=inside), state="partial")
    record = after(merge(None, register(DEVICE, instance=INSTANCE)), told(moved))

    assert uris(record) == ["sip:alice@127.0.0.9:1"]
    assert applications(record, LATER) == ("mms.ua",)


@pytest.mark.parametrize("state", ["full", "partial"])
@pytest.mark.parametrize("new_first", [True, False])
def test_a_device_that_moved_is_there_though_its_old_contact_has_ended(state: str, new_first: bool) -> None:
    """Both contacts have its instance: the end of the old one must not take the new one along."""
    inside = param("+sip.instance", f'"&lt;{INSTANCE}&gt;"') + PUSH
    gone = contact(DEVICE, state="terminated", event="deactivated", inside=inside)
    here = contact("sip:alice@127.0.0.9:1", expires="9", inside=inside)
    body = document(2, *((here, gone) if new_first else (gone, here)), state=state)
    record = after(merge(None, register(DEVICE, instance=INSTANCE)), told(body))

    assert uris(record) == ["sip:alice@127.0.0.9:1"]


def test_the_reg_event_of_an_s_cscf_that_lost_the_user_does_not_take_the_user_away() -> None:
    """TS 24.229 5.4.1.5: the old one ends what it had when the new one has registered the device already."""
    record = merge(None, replace(register(DEVICE), s_cscf="sip:new.ims.lab"))
    gone = told(document(2, contact(DEVICE, state="terminated", event="deactivated"), active="terminated"))
    after_gone = after(record, gone)
    assert after_gone.contacts == record.contacts
    assert is_registered(after_gone, LATER)
    assert "sip:s.ims.lab says gone" in contradiction(record, after_gone)
    assert not is_registered(after(merge(None, register(DEVICE)), gone), LATER)


def test_the_end_of_an_old_contact_leaves_the_new_one_that_a_register_told() -> None:
    inside = param("+sip.instance", f'"&lt;{INSTANCE}&gt;"')
    record = merge(None, register("sip:alice@127.0.0.9:1", instance=INSTANCE))
    expired = contact(DEVICE, state="terminated", event="expired", inside=inside)
    record = after(record, told(document(2, expired, state="partial")))
    assert uris(record) == ["sip:alice@127.0.0.9:1"]

    written_otherwise = contact(
        "sip:alice@127.0.0.9:1;transport=udp", state="terminated", event="expired", inside=inside
    )
    assert uris(after(record, told(document(3, written_otherwise, state="partial")))) == []


def test_a_new_public_gruu_replaces_the_old_and_none_keeps_it() -> None:
    def gruu(uri: str) -> str:
        return f'<pub-gruu xmlns="urn:ietf:params:xml:ns:gruuinfo" uri="{uri}"/>'

    record = after(None, told(document(1, contact(DEVICE, expires="9", inside=gruu("sip:a@x;gr=1")))))
    assert record.contacts[0].gruu == "sip:a@x;gr=1"
    record = after(record, told(document(2, contact(DEVICE, expires="9"))))
    assert record.contacts[0].gruu == "sip:a@x;gr=1"
    record = after(record, told(document(3, contact(DEVICE, expires="9", inside=gruu("sip:a@x;gr=2")))))
    assert record.contacts[0].gruu == "sip:a@x;gr=2"


def test_an_older_document_of_the_same_dialog_changes_nothing_but_a_new_dialog_begins_again() -> None:
    record = after(None, told(document(5, contact(DEVICE, expires="9"))))

    assert after(record, told(document(4, contact("sip:old@x", expires="9")))) == record
    again = after(record, told(document(0, contact("sip:new@x", expires="9")), dialog="e"))
    assert uris(again) == ["sip:new@x"]


def test_a_broken_document_leaves_what_is_known_and_shows_itself() -> None:
    record = merge(None, register(DEVICE))
    broken = unreadable(record, "XML: line 3", LATER)

    assert (broken.contacts, broken.expires_ms) == (record.contacts, record.expires_ms)
    assert broken.problems == ("reg event: XML: line 3",)


@pytest.mark.parametrize("register_first", [True, False])
def test_register_and_reg_event_of_one_change_may_come_in_either_order(register_first: bool) -> None:
    """Two nodes get them; the outcome is the same."""
    record: Registration | None = None
    active = told(document(1, contact(DEVICE, expires="600")), NOW + 10)
    for step in (1, 2) if register_first else (2, 1):
        record = merge(record, register(DEVICE, at_ms=NOW + 10)) if step == 1 else after(record, active)
    assert record is not None
    assert (uris(record), applications(record, NOW + 10)) == ([DEVICE], ("mms.ua",))

    gone = told(document(2, contact(DEVICE, state="terminated", event="expired"), active="terminated"), LATER)
    for step in (1, 2) if register_first else (2, 1):
        record = merge(record, register(DEVICE, at_ms=LATER, expires=0)) if step == 1 else after(record, gone)
    assert record.contacts == ()
    assert not is_registered(record, LATER)


def test_a_reg_event_that_says_active_what_a_register_has_just_ended_is_taken_and_asked_again() -> None:
    known = merge(None, register(DEVICE))
    left = merge(known, register(DEVICE, at_ms=LATER, expires=0))
    record = after(left, told(document(1, contact(DEVICE, expires="9")), LATER + 10))

    assert is_registered(record, LATER + 10)
    assert "just said gone" in contradiction(left, record)
    confirmed = after(record, told(document(2, contact(DEVICE, expires="9")), LATER + 10 + SETTLED_MS))
    assert (confirmed.doubts, contradiction(record, confirmed)) == ((), "")


def test_a_reg_event_without_a_contact_that_has_just_registered_is_asked_again() -> None:
    known = merge(None, register(DEVICE))
    record = after(known, told(document(1, active="terminated"), NOW + 10))

    assert DEVICE in contradiction(known, record)


def test_a_register_that_moves_the_user_or_names_nobody_asks_the_reg_event() -> None:
    known = after(None, recorded("one-contact"))
    moved = merge(known, replace(register(DEVICE, at_ms=LATER + 1), s_cscf="sip:other"))
    assert "S-CSCF changed" in contradiction(known, moved)
    gone = merge(known, register(at_ms=LATER + 1, expires=0))
    assert "Expires 0" in contradiction(known, gone)
    again = merge(known, register(at_ms=LATER + 1))
    assert "names no contact" in contradiction(known, again)
    usual = merge(known, register(DEVICE, at_ms=LATER + 1))
    assert contradiction(known, usual) == ""


def test_a_delivery_that_found_nobody_is_a_doubt_once() -> None:
    known = merge(None, register(DEVICE))
    first = doubted(known, Doubt("delivery", "a MESSAGE was answered 480", NOW + 1))
    assert first is not None
    assert doubted(first, Doubt("delivery", "a MESSAGE was answered 480", NOW + 2)) is None
    assert merge(first, register(DEVICE, at_ms=NOW + 3)).doubts == ()
    assert doubted(known, Doubt("delivery", "x", known.expires_ms)) is None


URIS = [f"sip:{name}@x" for name in "abcd"]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["register", "leave", "full", "partial", "gone", "new dialog"]),
        st.sets(st.sampled_from(URIS), max_size=4),
        st.integers(0, 400_000),
        st.integers(0, 12),
    ),
    max_size=25,
)


@given(STEPS, st.sets(st.sampled_from(URIS), max_size=4), st.booleans())
def test_whatever_came_before_the_last_full_state_says_who_is_there(
    steps: list[tuple[str, set[str], int, int]], last: set[str], tags: bool
) -> None:
    """Any interleaving of REGISTERs, documents and time."""
    now, dialog, record = NOW, "d0", None
    for kind, named, gap, version in steps:
        now += gap
        record = _stepped(record, kind, named, now, dialog, version, tags=tags)
        dialog = f"d{now}" if kind == "new dialog" else dialog
        known = uris(record)
        assert len(known) == len(set(known)) <= MOST_CONTACTS
    final = told(
        document(99, *(contact(uri, expires="60") for uri in last)), now + 1, dialog=dialog, tags=tags
    )
    record = after(record, final)

    assert uris(record) == sorted(last)
    assert is_registered(record, now + 1)
    assert not any(each.expires_ms > now + 60_001 for each in record.contacts)


def _stepped(
    record: Registration | None,
    kind: str,
    named: set[str],
    now: int,
    dialog: str,
    version: int,
    *,
    tags: bool,
) -> Registration:
    if kind in ("register", "leave"):
        return merge(record, register(*sorted(named), at_ms=now, expires=600 if kind == "register" else 0))
    state = "partial" if kind == "partial" else "full"
    active = "terminated" if kind == "gone" else "active"
    contacts = [contact(uri, expires="300", inside=PUSH) for uri in sorted(named)]
    body = document(version, *contacts, state=state, active=active)
    return after(record, told(body, now, dialog=dialog, tags=tags))


@given(st.permutations(range(6)))
def test_versions_in_any_order_come_to_what_the_highest_said(order: list[int]) -> None:
    record: Registration | None = None
    for version in order:
        record = after(record, told(document(version, contact(f"sip:v{version}@x", expires="60"))))

    assert record is not None
    assert uris(record) == ["sip:v5@x"]
