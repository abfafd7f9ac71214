"""Whether devices take MSRP or links, told by their contacts, else by what was learnt of them."""

import pytest

from omapush.push.capabilities import Facts
from omapush.push.method_support import Support, of_links, of_msrp
from omapush.push.registration import Contact, Registration

NOW = 1_800_000_000_000
Features = tuple[tuple[str, str | None], ...]


def contact(uri: str, features: Features = (), *, expires_ms: int = NOW + 1) -> Contact:
    return Contact(uri, expires_ms, (), features, f'"<urn:uuid:{uri[-1]}>"', "", None, "register", NOW)


def user(*contacts: Contact) -> Registration:
    return Registration(1, "sip:a@b.example", "", "", NOW + 1, contacts, (), "", "", 0, NOW)


def learnt(
    methods: tuple[str, ...] | None = None,
    *,
    device: str = "",
    application: str = "",
    types: tuple[str, ...] | None = None,
    refused: tuple[str, ...] = (),
) -> Facts:
    return Facts(device, "presence", NOW, NOW + 9, application, methods=methods, types=types, refused=refused)


def taken(record: Registration | None, *facts: Facts, fitting: tuple[str, ...] = ()) -> bool | None:
    support: Support = of_msrp(record, facts, fitting, "mms.ua", NOW)
    assert support.why
    return support.taken


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ((), None),
        ((("+sip.message", None),), True),
        ((("+sip.message", "TRUE"),), True),
        ((("+sip.message", "false"), ("methods", "INVITE")), False),
        ((("methods", "message, invite"),), True),
        ((("methods", "MESSAGE,NOTIFY"),), False),
    ],
)
def test_a_contact_says_it_by_its_feature_tags(features: Features, expected: bool | None) -> None:
    assert taken(user(contact("sip:1", features))) is expected


def test_one_device_that_takes_it_is_enough_and_only_those_count_that_the_push_is_for() -> None:
    takes, refuses = contact("sip:1", (("+sip.message", None),)), contact("sip:2", (("methods", "MESSAGE"),))

    assert taken(user(takes, refuses)) is True
    assert taken(user(takes, refuses), fitting=("sip:2",)) is False
    assert taken(user(takes._replace(expires_ms=NOW), refuses)) is False


def test_what_was_learnt_counts_where_the_contact_is_silent() -> None:
    silent = user(contact("sip:1"))

    assert taken(silent, learnt(("MESSAGE",))) is False
    assert taken(silent, learnt(("MESSAGE",), device="urn:uuid:1")) is False
    assert taken(silent, learnt(("MESSAGE",), device="urn:uuid:9")) is None
    assert taken(silent, learnt(("MESSAGE",), application="other.ua")) is None
    assert taken(user(contact("sip:1", (("+sip.message", None),))), learnt(("MESSAGE",))) is True
    assert taken(None) is None
    assert taken(None, learnt(("INVITE",))) is True


def test_links_are_a_content_type_like_others() -> None:
    assert of_links((), "mms.ua").taken is None
    assert of_links((learnt(types=("text/plain", "message/external-body")),), "mms.ua").taken is True
    assert of_links((learnt(types=("text/plain",)),), "mms.ua").taken is False
    assert of_links((learnt(refused=("message/external-body",)),), "mms.ua").taken is False
