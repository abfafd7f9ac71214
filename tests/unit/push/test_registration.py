"""How a third-party REGISTER changes what is known about a user."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from omapush.protocol.third_party_register import EmbeddedContact, Listing
from omapush.push.registration import (
    MOST_CONTACTS,
    OVERTAKEN_MS,
    PARTIAL_TAGS,
    Registration,
    Report,
    applications,
    contradiction,
    is_registered,
    merge,
)

NOW = 1_000_000_000
AOR = "sip:alice@home1.example"
S_CSCF = "sip:s-cscf.example"


def contact(
    uri: str, expires: int | None = 600, apps: tuple[str, ...] = ("mms.ua",), instance: str | None = None
) -> EmbeddedContact:
    return EmbeddedContact(
        uri=uri,
        expires=expires,
        q=None,
        applications=apps,
        feature_params=(),
        instance=instance,
        pub_gruu=None,
    )


def report(
    *contacts: EmbeddedContact, expires_s: int = 600, at_ms: int = NOW, wildcard: bool = False, **words: str
) -> Report:
    return Report(
        aor=AOR,
        expires_s=expires_s,
        s_cscf=words.get("s_cscf", S_CSCF),
        path="",
        contacts=contacts,
        all_contacts=wildcard,
        source="register",
        associated=(),
        charging=words.get("charging", ""),
        service_info=words.get("service_info", ""),
        at_ms=at_ms,
        problems=(),
    )


def merged(*reports: Report) -> Registration:
    record: Registration | None = None
    for each in reports:
        record = merge(record, each)
    assert record is not None
    return record


def uris(record: Registration) -> set[str]:
    return {each.uri for each in record.contacts}


A, B = contact("sip:a@1"), contact("sip:b@2")


def test_a_refresh_replaces_a_contact_as_a_whole_so_that_a_missing_tag_is_withdrawn() -> None:
    record = merged(report(A), report(contact("sip:a@1", apps=()), at_ms=NOW + 1))

    assert uris(record) == {"sip:a@1"}
    assert applications(record, NOW) == ()


def test_a_second_contact_joins_the_first() -> None:
    record = merged(report(A), report(contact("sip:b@2", apps=("ulp.ua",))))

    assert uris(record) == {"sip:a@1", "sip:b@2"}
    assert applications(record, NOW) == ("mms.ua", "ulp.ua")


def test_the_same_device_at_another_address_replaces_itself() -> None:
    record = merged(
        report(contact("sip:a@1", instance="<urn:x>")), report(contact("sip:a@9", instance="<urn:x>"))
    )

    assert uris(record) == {"sip:a@9"}


def test_a_device_that_leaves_its_old_address_stays_at_its_new_one() -> None:
    old = contact("sip:a@1:5060", 0, instance="urn:uuid:1")
    new = contact("sip:a@9:5060", instance="urn:uuid:1")

    assert uris(merged(report(contact("sip:a@1:5060", instance="urn:uuid:1")), report(new, old))) == {new.uri}
    assert uris(merged(report(new), report(old, expires_s=0, at_ms=NOW + 1))) == {new.uri}
    same = contact("sip:a@9:5060;transport=udp", 0, instance="urn:uuid:1")
    assert uris(merged(report(new), report(same, expires_s=0, at_ms=NOW + 1))) == set()


def test_expires_0_takes_what_the_ue_named_and_nothing_else() -> None:
    record = merged(report(A), report(B), report(contact("sip:a@1", 0), expires_s=0))

    assert uris(record) == {"sip:b@2"}
    assert is_registered(record, NOW)


def test_the_s_cscf_that_lost_the_user_does_not_sign_off_whom_another_has_registered() -> None:
    """Its REGISTER with Expires 0 may come after that of the new one (TS 24.229 5.4.1.7)."""
    at_old = report(A, s_cscf="sip:old.example")
    at_new = merged(at_old, report(A, s_cscf="sip:s@new.example:6060", at_ms=NOW + 1))
    late = report(expires_s=0, at_ms=NOW + 2, s_cscf="sip:old.example")
    record = merge(at_new, late)
    assert (record.s_cscf, record.expires_ms, uris(record)) == (at_new.s_cscf, at_new.expires_ms, {A.uri})
    assert "sip:old.example says Expires 0" in contradiction(at_new, record)
    assert merge(record, late).doubts == record.doubts

    own = merge(at_new, report(expires_s=0, at_ms=NOW + 2, s_cscf="sip:NEW.example:6060"))
    assert (own.s_cscf, own.said_gone_ms) == ("sip:NEW.example:6060", NOW + 2)
    registers = report(contact(B.uri, None), expires_s=0, at_ms=NOW + 2, s_cscf="sip:third.example")
    moved = merge(at_new, registers)
    assert moved.s_cscf == "sip:third.example"
    assert merge(at_new, replace(late, at_ms=NOW + 700_000)).s_cscf == "sip:old.example"


def test_expires_0_that_names_nobody_is_only_a_doubt_until_somebody_registers() -> None:
    doubted = merged(report(A), report(expires_s=0, at_ms=NOW + 5))
    assert (uris(doubted), doubted.said_gone_ms) == ({"sip:a@1"}, NOW + 5)
    assert is_registered(doubted, NOW + 6)

    assert merge(doubted, report(A, at_ms=NOW + 9)).said_gone_ms == 0


def test_expires_0_for_a_register_without_any_expiry_still_registers() -> None:
    """As a Kamailio S-CSCF does it."""
    record = merged(report(contact("sip:a@1", None), expires_s=0))

    assert is_registered(record, NOW + 3_599_000)
    assert not is_registered(record, NOW + 3_600_000)


def test_a_wildcard_with_expires_0_takes_all() -> None:
    record = merged(report(A), report(B), report(expires_s=0, wildcard=True))

    assert record.contacts == ()
    assert not is_registered(record, NOW)


def test_a_contact_that_ran_out_is_gone_and_the_network_does_not_say_so() -> None:
    record = merged(report(contact("sip:a@1", 3), expires_s=123), report(B, at_ms=NOW + 3_000))

    assert uris(record) == {"sip:b@2"}
    assert applications(record, NOW + 600_000 + 3_000) == ()


def test_what_a_report_does_not_say_stays_known() -> None:
    record = merged(report(A, charging="ccf", service_info="gold"), report(A, s_cscf=""))

    assert (record.s_cscf, record.charging, record.service_info) == ("sip:s-cscf.example", "ccf", "gold")


def test_a_user_without_a_record_is_not_registered() -> None:
    assert not is_registered(None, NOW)


LATER = NOW + OVERTAKEN_MS


def listed(
    *contacts: EmbeddedContact, kind: Listing = "others", at_ms: int = LATER, s_cscf: str = S_CSCF
) -> Report:
    """A report with a registrar's list of these."""
    return replace(report(*contacts, at_ms=at_ms, s_cscf=s_cscf), listing=kind)


def of_others(named: EmbeddedContact) -> EmbeddedContact:
    """The same as a 200 to the REGISTER of another device lists it."""
    return named._replace(applications=(), feature_params=(), echoed=True)


def test_a_binding_that_the_registrar_does_not_list_is_gone_and_the_reg_event_is_asked() -> None:
    """RFC 3261 10.3: a 200 to REGISTER lists all bindings."""
    before = merged(report(A), report(B), report(contact("sip:c@3")))

    record = merge(before, listed(A, of_others(B)))

    assert uris(record) == {"sip:a@1", "sip:b@2"}
    assert record.lists_all
    assert contradiction(before, record) == "the registrar's 200 to a REGISTER lists no sip:c@3"


def test_what_was_named_while_the_list_may_have_been_under_way_is_only_doubted() -> None:
    """REGISTERs of two devices overtake each other; the list is that of the earlier one."""
    for young in (report(B, at_ms=NOW + 1), listed(A, of_others(B), at_ms=NOW + 1)):
        before = merged(report(A), young)

        record = merge(before, listed(A, of_others(contact("sip:c@3")), at_ms=LATER))

        assert uris(record) == {"sip:a@1", "sip:b@2", "sip:c@3"}
        assert "sip:b@2" in contradiction(before, record)


def test_a_list_that_may_be_made_up_takes_nothing_away_until_its_s_cscf_was_seen_to_list_all() -> None:
    """A 200 with the contact that asked and no other."""
    before = merged(report(A), report(B))
    assert uris(merge(before, listed(A, kind="all"))) == {"sip:a@1", "sip:b@2"}
    assert contradiction(before, merge(before, listed(A, kind="all"))) == ""

    seen = merge(before, listed(A, of_others(B), at_ms=NOW + 1))
    later = NOW + 1 + OVERTAKEN_MS
    assert uris(merge(seen, listed(A, kind="all", at_ms=later))) == {"sip:a@1"}
    elsewhere = listed(A, kind="all", at_ms=later, s_cscf="sip:other.example")
    assert uris(merge(seen, elsewhere)) == {"sip:a@1", "sip:b@2"}
    assert uris(merge(merge(seen, elsewhere), listed(A, kind="all", at_ms=later))) == {"sip:a@1", "sip:b@2"}
    unnamed = listed(A, kind="all", at_ms=later, s_cscf="")
    assert uris(merge(seen, unnamed)) == {"sip:a@1"}


def test_a_binding_is_listed_however_its_address_is_written_or_wherever_its_device_is_now() -> None:
    before = merged(report(A), report(B), report(contact("sip:d@4", instance="<urn:4>")))
    spelled = of_others(contact("sip:b@2;transport=udp"))
    moved = of_others(contact("sip:d@5", instance="<urn:4>"))

    record = merge(before, listed(A, spelled, moved))

    assert not record.doubts
    assert {"sip:a@1", "sip:d@5"} < uris(record)


def test_a_device_keeps_the_tags_of_its_own_register_when_another_ones_200_lists_it() -> None:
    """Registrars echo an address and few of its parameters."""
    record = merge(merged(report(A), report(B)), listed(A, of_others(B._replace(expires=900))))

    [b] = [one for one in record.contacts if one.uri == "sip:b@2"]
    assert (b.applications, b.tags_source, b.tags_ms) == (("mms.ua",), "register", NOW)
    assert (b.expires_ms, b.at_ms) == (LATER + 900_000, LATER)
    told = merge(record, listed(of_others(B)._replace(applications=("ulp.ua",)), A))
    assert next(one for one in told.contacts if one.uri == "sip:b@2").applications == ("ulp.ua",)


def test_of_a_device_that_only_a_list_names_it_is_not_known_what_it_takes() -> None:
    record = merge(merged(report(A)), listed(A, of_others(B)))

    assert [one.tags_source for one in record.contacts if one.uri == "sip:b@2"] == [PARTIAL_TAGS]


REPORTS = st.lists(
    st.builds(
        lambda uris, expires, expires_s, gap, wildcard: (
            tuple(contact(f"sip:{uri}@x", expires) for uri in uris),
            expires_s,
            gap,
            wildcard,
        ),
        st.lists(st.integers(0, 60), max_size=40),
        st.none() | st.integers(0, 10**12),
        st.integers(0, 10**9),
        st.integers(0, 10**7),
        st.booleans(),
    ),
    min_size=1,
    max_size=8,
)


@given(REPORTS)
def test_whatever_arrives_the_record_stays_bounded_live_and_free_of_doubles(
    arrivals: list[tuple[tuple[EmbeddedContact, ...], int, int, bool]],
) -> None:
    record: Registration | None = None
    now = NOW
    for contacts, expires_s, gap, wildcard in arrivals:
        now += gap
        record = merge(record, report(*contacts, expires_s=expires_s, at_ms=now, wildcard=wildcard))
        known = [each.uri for each in record.contacts]
        assert len(known) == len(set(known)) <= MOST_CONTACTS
        assert all(each.expires_ms > now for each in record.contacts)
        assert record.at_ms == now
        if expires_s > 0:
            assert is_registered(record, now)
        named = {each.uri for each in contacts if each.expires != 0}
        assert len(named) > MOST_CONTACTS or named <= set(known)
