"""What an initiator may see of a registration."""

from omapush.pap_http.json_registrations import registration_state
from omapush.push.account import Account
from omapush.push.registration import Contact, Registration

NOW_MS = 1_800_000_000_000


def contact(*applications: str, expires_ms: int = NOW_MS + 60_000) -> Contact:
    features = (("+g.oma.pusheventapp", ",".join(applications)),)
    return Contact(
        "sip:192.0.2.7", expires_ms, applications, features, "urn:uuid:a", "", None, "register", NOW_MS
    )


RECORD = Registration(
    version=1,
    aor="sip:alice@home1.example",
    s_cscf="sip:scscf.home1.example",
    path="",
    expires_ms=NOW_MS + 60_000,
    contacts=(contact("mms.ua", "ulp.ua"), contact("ulp.ua"), contact("mms.ua", expires_ms=NOW_MS)),
    associated=(),
    charging="",
    service_info="",
    said_gone_ms=0,
    at_ms=NOW_MS,
)


def test_an_initiator_sees_its_own_applications_on_live_contacts_only() -> None:
    seen = registration_state(RECORD, Account("narrow", ("mms.*",), ("*",)), NOW_MS)

    assert (seen.registered, seen.applications) == (True, ["mms.ua"])
    assert [device.applications for device in seen.contacts] == [["mms.ua"]]


def test_an_initiator_for_all_applications_sees_every_live_contact() -> None:
    seen = registration_state(
        RECORD._replace(contacts=(*RECORD.contacts, contact())), Account("all", ("*",), ("*",)), NOW_MS
    )

    assert seen.applications == ["mms.ua", "ulp.ua"]
    assert [device.applications for device in seen.contacts] == [["mms.ua", "ulp.ua"], ["ulp.ua"], []]


def test_addresses_of_devices_and_of_the_core_are_not_told() -> None:
    assert "192.0.2.7" not in repr(registration_state(RECORD, Account("all", ("*",), ("*",)), NOW_MS))
    assert "scscf" not in repr(registration_state(RECORD, Account("all", ("*",), ("*",)), NOW_MS))


def test_a_registration_that_has_ended_is_none() -> None:
    seen = registration_state(RECORD, Account("all", ("*",), ("*",)), NOW_MS + 60_000)

    assert (seen.registered, seen.contacts) == (False, [])
