"""What a reg event document means for the device itself (TS 24.229 5.1.1.7, RFC 3680 5.1)."""

import pytest

from omapush.protocol.reginfo import read
from omapush.receiver.reg_event import KEPT, Verdict, judge
from tests.harness.reg_event import contact, param, reginfo, registration

pytestmark = pytest.mark.req("PRA-REG-8")

ALICE = "sip:alice@home1.example"
HERE = "sip:alice@127.0.0.1:5066"
DEVICE = "urn:uuid:d27459b7-8213-4395-aa77-ed859a3e5b3a"
MINE = param("+sip.instance", f'"&lt;{DEVICE}&gt;"')
OTHER = param("+sip.instance", '"&lt;urn:uuid:00000000-0000-4000-8000-000000000000&gt;"')


def judged(*registrations: str) -> Verdict:
    return judge(read(reginfo(1, *registrations)), ALICE, HERE, DEVICE)


def ended(event: str, uri: str = HERE, inside: str = "", **words: str) -> str:
    return contact(uri, state="terminated", event=event, inside=inside, **words)


@pytest.mark.parametrize(
    ("contacts", "state", "verdict"),
    [
        ([contact(HERE)], "active", KEPT),
        ([contact(HERE, event="created"), ended("expired", "sip:old@127.0.0.1:1")], "active", KEPT),
        ([], "active", KEPT),
        ([contact("sip:other@192.0.2.1")], "active", KEPT),
        ([ended("rejected", "sip:other@192.0.2.1")], "active", KEPT),
        ([ended("deactivated")], "active", Verdict("again", 0, "deactivated")),
        ([ended("expired")], "terminated", Verdict("again", 0, "expired")),
        ([ended("probation", retry_after="7")], "active", Verdict("again", 7, "probation")),
        ([ended("probation", retry_after="999999999")], "active", Verdict("again", 86_400, "probation")),
        ([ended("rejected")], "active", Verdict("gone", 0, "rejected")),
        ([ended("unregistered")], "terminated", Verdict("gone", 0, "unregistered")),
        ([ended("deactivated"), contact(HERE)], "active", KEPT),
        ([], "terminated", Verdict("again", 0, "terminated")),
        ([ended("rejected", "sip:other@192.0.2.1")], "terminated", Verdict("gone", 0, "rejected")),
        ([contact(HERE)], "terminated", Verdict("again", 0, "registered")),
        ([ended("deactivated", f"{HERE};alias=1~2~3")], "active", Verdict("again", 0, "deactivated")),
        ([ended("deactivated", "sip:moved@[::1]", MINE)], "active", Verdict("again", 0, "deactivated")),
        ([ended("deactivated", HERE, OTHER)], "active", KEPT),
    ],
)
def test_only_what_says_that_the_binding_is_over_ends_it(
    contacts: list[str], state: str, verdict: Verdict
) -> None:
    assert judged(registration(ALICE, *contacts, state=state)) == verdict


@pytest.mark.parametrize(
    ("uri", "verdict"),
    [
        ("sip:alice@192.0.2.7:5066", KEPT),
        (HERE, Verdict("gone", 0, "unregistered")),
        ("sip:alice@192.0.2.8:5066", Verdict("gone", 0, "unregistered")),
    ],
)
def test_a_contact_that_the_device_has_removed_itself_ends_nothing(uri: str, verdict: Verdict) -> None:
    """It may stand alone in a document, for one with partial state tells only what has changed."""
    told = registration(ALICE, ended("unregistered", uri, MINE))
    dropped = ["sip:alice@192.0.2.7:5066", HERE]
    assert judge(read(reginfo(1, told)), ALICE, HERE, DEVICE, dropped) == verdict


def test_what_is_said_of_others_in_the_implicit_set_is_not_about_this_identity() -> None:
    theirs = registration("sip:bob@home1.example", ended("rejected"), state="terminated")
    ours = registration("sip:ALICE@home1.example;user=phone", contact(HERE))

    assert judged(theirs) == KEPT
    assert judged(theirs, registration("tel:+15550100", ended("rejected")), ours) == KEPT
    assert judged() == KEPT
