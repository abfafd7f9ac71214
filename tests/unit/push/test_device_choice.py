"""Which devices an application's push is for, as far as the registration tells."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omapush.protocol.feature_tags import accept_contact
from omapush.push.device_choice import Devices, devices_differ, devices_for
from omapush.push.registration import PARTIAL_TAGS, Contact, Registration, Report, merge

NOW = 1_800_000_000_000
HOUR = 3_600_000
BARE = accept_contact("ulp.ua", strict=False)
STRICT = accept_contact("ulp.ua", strict=True)
PUSH = "+g.oma.pusheventapp"
Features = tuple[tuple[str, str | None], ...]

EMPTY = merge(None, Report("sip:a@b.example", 3_600, "sip:s", "", (), False, "register", (), "", "", NOW, ()))


def contact(name: str, *features: tuple[str, str | None], q: float | None = None) -> Contact:
    return Contact(
        uri=f"sip:{name}@192.0.2.1",
        expires_ms=NOW + HOUR,
        applications=(),
        features=features,
        instance="",
        gruu="",
        q=q,
        source="register",
        at_ms=NOW,
    )


def with_contacts(*contacts: Contact) -> Registration:
    return EMPTY._replace(contacts=contacts)


PHONE = contact("a", (PUSH, "ulp.ua,mms.ua"), ("methods", "MESSAGE,INVITE"))
TABLET = contact("b", (PUSH, "mms.ua"))
DESK = contact("c", ("audio", None), ("methods", "INVITE,MESSAGE"))
LEGACY = contact("d", q=0.5)
UNTAGGED = contact("e", ("+sip.instance", "<urn:uuid:1>"))


@pytest.mark.req("PROP-ARI-5")
@pytest.mark.parametrize("preference", [BARE, STRICT])
def test_a_device_fits_when_it_says_that_it_has_the_application(preference: str) -> None:
    found = devices_for(with_contacts(TABLET, PHONE, DESK), preference, NOW)

    assert found == Devices("fits", "1 of 3 devices fits", (PHONE.uri,))


@pytest.mark.parametrize("preference", [BARE, STRICT])
def test_a_device_without_any_feature_parameter_fits_everything(preference: str) -> None:
    found = devices_for(with_contacts(TABLET, LEGACY), preference, NOW)

    assert (found.presence, found.fitting) == ("fits", (LEGACY.uri,))


@pytest.mark.parametrize("preference", [BARE, STRICT])
def test_an_instance_alone_makes_a_device_say_that_it_has_no_application(preference: str) -> None:
    """Practically every IMS contact has one, and so is not immune."""
    assert devices_for(with_contacts(UNTAGGED), preference, NOW).presence == "none fits"


def test_the_reason_names_each_device_with_what_it_says_instead() -> None:
    found = devices_for(with_contacts(TABLET, DESK), STRICT, NOW)

    assert found.presence == "none fits"
    assert found.why == (
        'none of 2 devices fits: sip:b@192.0.2.1: tag +g.oma.pusheventapp is "mms.ua"; '
        "sip:c@192.0.2.1: it does not say +g.oma.pusheventapp"
    )


def test_the_reason_describes_four_devices_and_counts_the_rest() -> None:
    found = devices_for(with_contacts(*(contact(f"t{n}", (PUSH, "mms.ua")) for n in range(9))), STRICT, NOW)

    assert found.why.endswith("; 5 more")
    assert found.why.count("mms.ua") == 4


def test_devices_that_fit_come_in_order_of_the_callees_preference() -> None:
    late, early = (contact(name, (PUSH, "ulp.ua"), q=q) for name, q in (("late", 0.1), ("early", 0.9)))

    assert devices_for(with_contacts(late, early), STRICT, NOW).fitting == (early.uri, late.uri)


def test_without_a_preference_every_live_device_will_do() -> None:
    found = devices_for(with_contacts(TABLET, DESK), "", NOW)

    assert found == Devices("fits", "registered, 2 devices", (TABLET.uri, DESK.uri))


def test_a_contact_that_expired_is_no_device() -> None:
    record = with_contacts(PHONE._replace(expires_ms=NOW), TABLET)

    assert devices_for(record, STRICT, NOW).presence == "none fits"


def test_a_registration_without_contacts_is_unknown() -> None:
    assert devices_for(EMPTY, STRICT, NOW).presence == "unknown"


def test_a_device_of_which_only_a_core_without_push_tags_told_may_have_the_application() -> None:
    partial = UNTAGGED._replace(source="reginfo", tags_source=PARTIAL_TAGS)

    assert devices_for(with_contacts(partial, TABLET), STRICT, NOW).presence == "unknown"
    assert devices_for(with_contacts(partial, PHONE), STRICT, NOW).fitting == (PHONE.uri,)
    reported = partial._replace(tags_source="reginfo")
    assert devices_for(with_contacts(reported), STRICT, NOW).presence == "none fits"


def test_who_has_no_registration_or_an_ended_one_is_not_registered() -> None:
    assert devices_for(None, STRICT, NOW).presence == "unregistered"
    assert devices_for(EMPTY, STRICT, NOW + 2 * HOUR).presence == "unregistered"


def test_a_preference_that_cannot_be_read_leaves_the_devices_unknown() -> None:
    assert devices_for(with_contacts(PHONE), "nonsense", NOW).presence == "unknown"


@given(st.permutations([PHONE, TABLET, DESK, LEGACY, UNTAGGED]), st.sampled_from([BARE, STRICT]))
def test_the_order_of_contacts_does_not_change_who_fits(contacts: list[Contact], preference: str) -> None:
    """The score of the unknown device counts less than that of one that fits; q ranks before both."""
    found = devices_for(with_contacts(*contacts), preference, NOW)

    assert found.fitting == (PHONE.uri, LEGACY.uri)


def test_a_refresh_that_changes_nothing_is_no_difference() -> None:
    old = with_contacts(PHONE)
    refreshed = with_contacts(PHONE._replace(expires_ms=NOW + 2 * HOUR, at_ms=NOW + 1))

    assert not devices_differ(old, refreshed._replace(at_ms=NOW + 1), NOW)


@pytest.mark.parametrize(
    "changed",
    [
        with_contacts(PHONE, TABLET),
        with_contacts(),
        with_contacts(PHONE._replace(q=0.5)),
        with_contacts(PHONE._replace(features=())),
        with_contacts(PHONE._replace(uri="sip:elsewhere@192.0.2.1")),
    ],
)
def test_another_contact_another_tag_or_another_preference_is_a_difference(changed: Registration) -> None:
    assert devices_differ(with_contacts(PHONE), changed, NOW)


def test_a_first_registration_is_a_difference_even_without_contacts() -> None:
    assert devices_differ(None, EMPTY, NOW)
    assert devices_differ(EMPTY._replace(expires_ms=NOW - 1), EMPTY, NOW)


def test_devices_of_one_model_are_each_told_by_their_own_uri() -> None:
    """The verdict on what they show is remembered; whose it is, is not."""
    for name in ("one", "two"):
        same, better = contact(name, *PHONE.features), contact(f"{name}-better", *PHONE.features, q=1.0)
        found = devices_for(with_contacts(same._replace(q=0.1), better), STRICT, NOW)
        assert found.fitting == (better.uri, same.uri)

        missing = devices_for(with_contacts(contact(name, *TABLET.features)), STRICT, NOW)
        assert f"sip:{name}@192.0.2.1" in missing.why
