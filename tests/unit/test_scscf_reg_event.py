"""The stand-in S-CSCF tells subscribers to its reg event the truth, and the whole of it."""

import re
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lxml import etree

from tests.fakes.handset import handset_in_thread
from tests.fakes.sip_text import SipText, write
from tests.harness.markdown import ROOT
from tests.harness.scscf import Scscf
from tests.harness.sip_peer import Says, SipPeer
from tests.harness.wait import wait_until

ALICE, AS = "sip:alice@home1.example", "sip:psa@home1.example"
GRAMMAR = etree.RelaxNG(file=str(ROOT / "schema" / "reginfo.rng"))
StartScscf = Callable[..., Scscf]


@pytest.fixture
def subscriber() -> Iterator[SipPeer]:
    """The application server: it takes REGISTERs and NOTIFYs with 200."""
    with SipPeer() as peer:
        yield peer


@pytest.fixture
def start(tmp_path: Path, subscriber: SipPeer) -> Iterator[StartScscf]:
    started: list[Scscf] = []

    def start_scscf(*criteria: str) -> Scscf:
        scscf = Scscf(tmp_path, as_uri=f"sip:127.0.0.1:{subscriber.port}", criteria=criteria)
        started.append(scscf)
        return scscf.start()

    yield start_scscf
    for scscf in started:
        scscf.stop()


def subscribe(
    peer: SipPeer, scscf: Scscf, *, call: str = "", tag: str = "", expires: int = 600, **fields: str
) -> SipText:
    """Send a SUBSCRIBE for Alice; return its answer."""
    own = {
        "Via": f"SIP/2.0/UDP 127.0.0.1:{peer.port};branch=z9hG4bK{secrets.token_hex(6)}",
        "Max-Forwards": "70",
        "Route": f"<{scscf.uri};lr>",
        "From": f"<{AS}>;tag=as",
        "To": f"<{ALICE}>{';tag=' + tag if tag else ''}",
        "Call-ID": call or secrets.token_hex(6),
        "CSeq": f"{secrets.randbelow(1000) + 1} SUBSCRIBE",
        "Contact": f"<sip:127.0.0.1:{peer.port}>",
        "Event": "reg",
        "Accept": "application/reginfo+xml",
        "P-Asserted-Identity": f"<{AS}>",
        "Expires": str(expires),
    }
    own |= {name.replace("_", "-"): value for name, value in fields.items()}
    lines = [(name, value) for name, value in own.items() if value]
    return peer.ask(write(f"SUBSCRIBE {ALICE} SIP/2.0", lines), scscf.address)


def notifies(peer: SipPeer, answer: SipText, count: int) -> list[SipText]:
    """The NOTIFYs in the dialog of that answer, once there are so many."""

    def found() -> list[SipText]:
        call = answer.header("Call-ID")
        return [one for one in peer.requests if (one.method, one.header("Call-ID")) == ("NOTIFY", call)]

    wait_until(lambda: len(found()) >= count, 5, lambda: f"{count} NOTIFYs, there are {len(found())}")
    return found()


def told(notify: SipText) -> dict[str, tuple[str, str, dict[str, str]]]:
    """What the document says of each contact: state, event, parameters."""
    tree = etree.fromstring(notify.body)
    GRAMMAR.assertValid(tree)
    space = "{urn:ietf:params:xml:ns:reginfo}"
    return {
        contact.findtext(f"{space}uri", ""): (
            contact.get("state", ""),
            contact.get("event", ""),
            {one.get("name", ""): one.text or "" for one in contact.iter(f"{space}unknown-param")},
        )
        for contact in tree.iter(f"{space}contact")
    }


def test_a_subscriber_is_told_who_is_there_with_every_parameter(
    start: StartScscf, subscriber: SipPeer
) -> None:
    scscf = start()
    with handset_in_thread(ALICE, scscf.address, apps=["mms.ua", "ulp.ua"]) as alice:
        answer = subscribe(subscriber, scscf)
        (first,) = notifies(subscriber, answer, 1)
        ((uri, said),) = told(first).items()

        assert (answer.status, answer.header("Expires")) == (200, "600")
        assert first.header("From") == answer.header("To")
        assert first.header("To") == f"<{AS}>;tag=as"
        assert (first.header("Event"), first.header("Subscription-State")) == ("reg", "active;expires=600")
        assert alice.handset.contact.startswith(f"<{uri}>")
        assert said == (
            "active",
            "registered",
            {"+sip.instance": f'"<{alice.handset.instance}>"', "+g.oma.pusheventapp": '"mms.ua,ulp.ua"'},
        )


def test_every_change_is_told_in_order_and_the_last_contact_ends_the_subscription(
    start: StartScscf, subscriber: SipPeer
) -> None:
    scscf = start()
    with handset_in_thread(ALICE, scscf.address, apps=["mms.ua"]) as phone:
        answer = subscribe(subscriber, scscf)
        notifies(subscriber, answer, 1)
        with handset_in_thread(ALICE, scscf.address, apps=["ulp.ua"]):
            assert len(told(notifies(subscriber, answer, 2)[1])) == 2
        left = told(notifies(subscriber, answer, 3)[2])
        assert sorted(state for state, _, _ in left.values()) == ["active", "terminated"]
        phone.register(apps=[])
        (same,) = told(notifies(subscriber, answer, 4)[3]).values()
        assert "+g.oma.pusheventapp" not in same[2]
    last = notifies(subscriber, answer, 5)[4]

    assert last.header("Subscription-State") == "terminated;reason=noresource"
    assert [said[:2] for said in told(last).values()] == [("terminated", "unregistered")]
    numbers = [int(one.header("CSeq").split()[0]) for one in notifies(subscriber, answer, 5)]
    assert numbers == sorted(numbers)
    assert [re.search(rb'version="(\d+)" ', one.body[20:])[1] for one in notifies(subscriber, answer, 5)] == [  # type: ignore[index]
        b"0", b"1", b"2", b"3", b"4"
    ]  # fmt: skip
    with handset_in_thread(ALICE, scscf.address):
        assert subscribe(subscriber, scscf, call=answer.header("Call-ID"), tag="reg-x").status == 481


def test_a_contact_that_runs_out_in_silence_is_told_as_expired(
    start: StartScscf, subscriber: SipPeer
) -> None:
    scscf = start()
    with (
        handset_in_thread(ALICE, scscf.address),
        handset_in_thread(ALICE, scscf.address, expires_s=600) as second,
    ):
        answer = subscribe(subscriber, scscf)
        notifies(subscriber, answer, 1)
        second.handset.expires_s = 1
        second.register()
        second.handset._stop_refreshing()

        def states() -> list[list[tuple[str, str]]]:
            """Of all contacts, as each NOTIFY tells them; how many come before depends on who is faster."""
            return [
                sorted(said[:2] for said in told(one).values()) for one in notifies(subscriber, answer, 1)
            ]

        over = [("active", "registered"), ("terminated", "expired")]
        wait_until(lambda: over in states(), 5, lambda: f"one that has expired in {states()}")


def test_a_refresh_and_an_end_are_each_followed_by_a_notify(start: StartScscf, subscriber: SipPeer) -> None:
    scscf = start()
    with handset_in_thread(ALICE, scscf.address):
        answer = subscribe(subscriber, scscf)
        notifies(subscriber, answer, 1)  # before another process sends the next one
        call, tag = answer.header("Call-ID"), answer.header("To").rpartition("tag=")[2]
        assert subscribe(subscriber, scscf, call=call, tag=tag, expires=300).header("Expires") == "300"
        assert notifies(subscriber, answer, 2)[1].header("Subscription-State") == "active;expires=300"
        assert subscribe(subscriber, scscf, call=call, tag=tag, expires=0).status == 200
        assert notifies(subscriber, answer, 3)[2].header("Subscription-State") == "terminated;reason=timeout"
        assert subscribe(subscriber, scscf, call=call, tag=tag).status == 481


def test_a_subscription_that_is_not_refreshed_ends_with_timeout(
    start: StartScscf, subscriber: SipPeer
) -> None:
    scscf = start()
    with handset_in_thread(ALICE, scscf.address):
        answer = subscribe(subscriber, scscf, expires=1)
        last = notifies(subscriber, answer, 2)[1]

    assert last.header("Subscription-State") == "terminated;reason=timeout"


def test_a_subscriber_that_answers_481_is_told_no_more(start: StartScscf, subscriber: SipPeer) -> None:
    scscf = start()
    with handset_in_thread(ALICE, scscf.address) as alice:
        answer = subscribe(subscriber, scscf)
        notifies(subscriber, answer, 1)
        subscriber.policy = lambda request: Says(481 if request.method == "NOTIFY" else 200)
        alice.register()
        notifies(subscriber, answer, 2)
        again = subscribe(subscriber, scscf)
        alice.register()
        notifies(subscriber, again, 1)

        assert len(notifies(subscriber, answer, 2)) == 2


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        pytest.param("P_Asserted_Identity", "", 403, id="nobody is asserted"),
        pytest.param("Accept", "application/pidf+xml", 406, id="another document wanted"),
        pytest.param("To", f"<{ALICE}>;tag=reg-unknown", 481, id="a dialog that is not there"),
    ],
)
def test_a_subscribe_that_breaks_a_rule_gets_its_code(
    start: StartScscf, subscriber: SipPeer, field: str, value: str, code: int
) -> None:
    scscf = start()
    with handset_in_thread(ALICE, scscf.address):
        assert subscribe(subscriber, scscf, expires=600, **{field: value}).status == code


def test_nobody_who_is_not_registered_can_be_watched(start: StartScscf, subscriber: SipPeer) -> None:
    assert subscribe(subscriber, start()).status == 480


def test_the_policy_of_kamailios_own_s_cscf_wants_the_user_asserted(
    start: StartScscf, subscriber: SipPeer
) -> None:
    scscf = start("WITH_REG_FOR_USER_ONLY")
    with handset_in_thread(ALICE, scscf.address):
        assert subscribe(subscriber, scscf).status == 403
        assert subscribe(subscriber, scscf, P_Asserted_Identity=f"<{ALICE}>").status == 200
