"""Every recorded message of a real S-CSCF, played to us; tests/corpora/captures says what it is."""

import re
import secrets
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from omapush.push.registration import Registration, applications, is_registered
from omapush.push.watch import REG, Subject, Watch, place_of
from omapush.store import registrations, watches
from tests.fakes.sip_text import SipText
from tests.harness.capture import FOLDER, Frame, answers, frames, to_us
from tests.harness.sip_peer import OK, Says, SipPeer
from tests.harness.stack import Settings, Stack
from tests.harness.wait import wait_until
from tests.wire.requests import register, ue_register

pytestmark = [pytest.mark.req("PSA-REG-1", "PSA-REG-2", "SIPPUSH-PSA-S-004"), pytest.mark.timeout(120)]

S_CSCF = ("127.0.50.1", 6060)
ALICE, BOB, DAVE, TEL = "sip:alice@ims.lab", "sip:bob@ims.lab", "sip:dave@ims.lab", "tel:+15550102"
DEVICE, FIRST, SECOND = (f"sip:{name}@127.0.50.1:{port}" for name, port in
                         (("alice", 5229), ("bob", 5407), ("bob", 5999)))  # fmt: skip
LAB: Settings = {
    "sip": {"uri": "sip:mmsc@ims.lab", "aliases": ["127.0.50.1:5070"]},
    "core": {"next_hop": "sip:127.0.50.1:6060;lr", "trusted_peers": ["127.0.50.1/32"], "ioi": "ims.lab"},
    "registration": {"watch": True, "first_retry_s": 0.2, "longest_retry_s": 1.0},
    'application."mms.ua"': {"accept_contact": "strict"},
    "initiator.trusted": {"identity": "sip:mmsc@ims.lab"},
}


def the_address_of_the_lab() -> SipPeer:
    """The S-CSCF's own, which is in the bytes; another run of these tests may have it for a moment."""
    made: list[SipPeer] = []

    def is_made() -> bool:
        with suppress(OSError):
            made.append(SipPeer(S_CSCF[1], host=S_CSCF[0]))
        return bool(made)

    wait_until(is_made, 60, "the address 127.0.50.1:6060")
    return made[0]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("lab"), LAB, ("redis", "sip")) as running:
        yield running


@pytest.fixture(scope="module")
def scscf() -> Iterator[SipPeer]:
    with the_address_of_the_lab() as peer:
        yield peer


@pytest.fixture(autouse=True)
def _nothing_known(lab: Stack, scscf: SipPeer) -> None:
    """Users of the captures are few: each test begins without them."""
    for kind in ("reg", "watch", "watch-due", "core", "alias"):
        for name in lab.db.scan_iter(f"{kind}:*"):
            lab.db.delete(name)
    scscf.forget()
    # A SUBSCRIBE is repeated until the test has said how it is answered.
    scscf.policy = lambda request: None if request.method == "SUBSCRIBE" else OK


def again(raw: bytes) -> bytes:
    """The same under a new branch: the old one's transaction would only repeat its answer."""
    return re.sub(rb"(branch=z9hG4bK)[^\s;,]+", rb"\g<1>" + secrets.token_hex(8).encode(), raw, count=1)


def in_dialog(frame: Frame, subscribe: SipText) -> bytes:
    """A recorded NOTIFY in the dialog of our SUBSCRIBE: nothing else of it is another."""
    raw = re.sub(rb"(?m)^(From: .*;tag=).*\r$", rb"\g<1>lab\r", again(frame.raw), count=1)
    for name, value in (("To", subscribe.header("From")), ("Call-ID", subscribe.header("Call-ID"))):
        raw = re.sub(rf"(?m)^{name}: .*\r$".encode(), f"{name}: {value}\r".encode(), raw, count=1)
    return raw


def play(lab: Stack, scscf: SipPeer, raw: bytes) -> SipText:
    return scscf.ask(raw, lab.sip)


class Recorded:
    """
    A policy that answers SUBSCRIBEs as the S-CSCF did, one after the other; the last for all that follow.

    One of a test before may come late or be repeated until now. Its watch is gone, so it takes none of them.
    """

    def __init__(self, lab: Stack, answers_left: list[SipText]) -> None:
        self._lab = lab
        self._left = list(answers_left)
        self._given: dict[str, SipText] = {}
        self.asked: list[SipText] = []
        "Each SUBSCRIBE that got one of the answers, once."

    def __call__(self, request: SipText) -> Says:
        if request.method != "SUBSCRIBE":
            return OK
        if request.branch not in self._given:  # one that is repeated gets the same again
            if not _is_of_a_watch(self._lab, request):
                return Says(481)
            self._given[request.branch] = self._left.pop(0) if len(self._left) > 1 else self._left[0]
            self.asked.append(request)
        said = self._given[request.branch]
        headers = {name: said.header(name) for name in ("Expires", "Contact") if said.header(name)}
        return Says(said.status, said.start_line.split(" ", 2)[2], headers)


def _is_of_a_watch(lab: Stack, subscribe: SipText) -> bool:
    """A watch is stored before its SUBSCRIBE leaves."""
    known = watches.read(lab.store, subscribe.header("To").partition(">")[0].lstrip("<"))
    return known is not None and known.dialog.call_id == subscribe.header("Call-ID")


def subscribes(scscf: SipPeer, count: int) -> list[SipText]:
    """SUBSCRIBEs that were answered as recorded, once there are so many."""
    recorded = scscf.policy
    assert isinstance(recorded, Recorded)
    wait_until(
        lambda: len(recorded.asked) >= count, 10, lambda: f"{count} SUBSCRIBEs, not {len(recorded.asked)}"
    )
    return list(recorded.asked)


def watched(lab: Stack, scscf: SipPeer, number: int, aor: str = ALICE) -> SipText:
    """The user of capture `number` is watched as it shows: SUBSCRIBE, its answer, the first NOTIFY."""
    scscf.policy = Recorded(lab, answers(number, "SUBSCRIBE"))
    watches.want(lab.store, [aor], 1)
    sent = subscribe_of(lab, scscf, aor)
    (notify,) = to_us(number, "NOTIFY")
    assert play(lab, scscf, in_dialog(notify, sent)).status == 200
    return sent


def subscribe_of(lab: Stack, scscf: SipPeer, aor: str) -> SipText:
    """The SUBSCRIBE of the user's watch; one of a test before, repeated until now, is another's."""

    def found() -> list[SipText]:
        known = watches.read(lab.store, aor)
        ours = known.dialog.call_id if known is not None else ""
        return [one for one in scscf.requests if one.method == "SUBSCRIBE" and one.header("Call-ID") == ours]

    wait_until(lambda: bool(found()), 10, lambda: f"SUBSCRIBE to {aor}")
    return found()[0]


def registered_as(lab: Stack, scscf: SipPeer, number: int) -> None:
    (frame,) = to_us(number, "REGISTER")
    assert play(lab, scscf, again(frame.raw)).status == 200


def by_hand(lab: Stack, scscf: SipPeer, aor: str, uri: str) -> None:
    """A REGISTER that the lab did not record."""
    body = ue_register(aor, uri, tags=';+g.oma.pusheventapp="mms.ua"')
    raw = register(aor, scscf, headers=[("Content-Type", "message/sip")], body=body)
    raw = raw.replace(b"127.0.0.1:6060", b"127.0.50.1:6060")
    assert play(lab, scscf, raw).status == 200


def record_of(lab: Stack, aor: str = ALICE) -> Registration:
    found = lab.registration(aor)
    assert found is not None
    return found


def watch_of(lab: Stack, aor: str = ALICE) -> Watch:
    found = watches.read(lab.store, aor)
    assert found is not None
    return found


def uris(record: Registration) -> list[str]:
    return sorted(each.uri for each in record.contacts)


def test_every_capture_is_here_and_played() -> None:
    numbers = {int(file.name[:2]) for file in FOLDER.glob("*.sip")}
    played = {int(one) for one in re.findall(r"capture (\d+)", Path(__file__).read_text())}

    assert numbers == {*range(1, 16), *range(20, 26)}
    assert played == numbers


def test_each_third_party_register_is_taken_byte_for_byte(lab: Stack, scscf: SipPeer) -> None:
    """capture 01, capture 07 to 12 and 20 to 22: in the order that they came, exactly as they came.

    capture 08, capture 09, capture 11, capture 12, capture 20, capture 21, capture 22.
    """
    # What it answers to our SUBSCRIBEs meanwhile does not matter here.
    scscf.policy = lambda _: Says(480)
    kept: dict[int, tuple[list[str], tuple[str, ...]]] = {}
    for number in (1, 7, 8, 9, 11, 12, 20, 21, 22):
        (frame,) = to_us(number, "REGISTER")
        answer = play(lab, scscf, frame.raw)
        assert (answer.status, answer.header("Expires")) == (200, frame.sip.header("Expires")), number
        assert answer.header("Via") == frame.sip.header("Via")
        record = record_of(lab, frame.sip.header("To").strip("<>"))
        assert record.s_cscf == "sip:127.0.50.1:6060"
        kept[number] = (uris(record), applications(record, 0))

    alice = dict.fromkeys((1, 7, 9, 20, 21, 22), ([DEVICE], ("mms.ua",)))
    assert kept == {**alice, 11: ([FIRST], ("mms.ua",)), 8: ([], ()), 12: ([], ())}
    assert record_of(lab).service_info == "mmsc=1"


def test_nothing_in_a_register_orders_two_of_them() -> None:
    """capture 01, capture 07: another Call-ID and From tag each time, always CSeq 10."""
    first, second = (to_us(number, "REGISTER")[0].sip for number in (1, 7))

    assert first.header("Call-ID") != second.header("Call-ID")
    assert first.header("From") != second.header("From")
    assert first.header("CSeq") == second.header("CSeq") == "10 REGISTER"


def test_credentials_of_the_device_are_neither_kept_nor_logged(lab: Stack, scscf: SipPeer) -> None:
    """capture 22: the UE's Authorization comes inside."""
    registered_as(lab, scscf, 22)

    (name,) = lab.db.scan_iter("reg:*")
    assert b"Authorization" in to_us(22, "REGISTER")[0].raw
    assert b"Digest" not in (lab.db.get(name) or b"")
    assert "Digest" not in lab.parts["sip"].log_text()


def test_we_subscribe_as_that_s_cscf_wants_it(lab: Stack, scscf: SipPeer) -> None:
    """capture 02: the same SUBSCRIBE, the phrase of its 200, and a first NOTIFY of version 2 and CSeq 4."""
    registered_as(lab, scscf, 1)
    sent, recorded = watched(lab, scscf, 2), frames(2)[0].sip

    assert sent.start_line == recorded.start_line
    for name in ("Route", "To", "Event", "Accept", "P-Asserted-Identity"):
        assert sent.header(name) == recorded.header(name), name
    assert sent.header("From").partition(";")[0] == recorded.header("From").partition(";")[0]
    record, watch = record_of(lab), watch_of(lab)
    assert (watch.state, watch.doc_version, watch.dialog.remote_cseq) == ("active", 2, 4)
    (one,) = record.contacts
    # The document never names the push application: the REGISTER's word stays. q="0.000" is none.
    assert (one.applications, one.source, one.tags_source) == (("mms.ua",), "reginfo", "register")
    assert (one.q, one.instance) == (None, "urn:uuid:00000000-0000-1000-8000-000000000001")


def test_a_refresh_that_brings_no_notify_is_normal_and_an_end_is_not_taken_for_one(
    lab: Stack, scscf: SipPeer
) -> None:
    """capture 03: 600 s, refreshed for 300 s in silence, then `dropped` with Expires 0."""
    registered_as(lab, scscf, 1)
    first = watched(lab, scscf, 3)
    refresh = _refreshed(lab, scscf, 2)
    recorded = frames(3)[4].sip
    assert refresh.start_line == recorded.start_line
    assert (refresh.header("To"), refresh.all("Route")) == (f"<{ALICE}>;tag=lab", [])
    assert refresh.header("Call-ID") == first.header("Call-ID")
    wait_until(lambda: watch_of(lab).asked_ms == 0, 5, "its answer taken")
    watch = watch_of(lab)
    assert (watch.state, watch.full, watch.doc_version) == ("active", "", 2)
    assert watch.expires_ms - watch.at_ms == 300_000

    _refreshed(lab, scscf, 3)
    wait_until(lambda: len(subscribes(scscf, 4)) == 4, 5, "a new dialog after the end")
    assert subscribes(scscf, 4)[3].header("Call-ID") != first.header("Call-ID")
    assert uris(record_of(lab)) == [DEVICE]


def _refreshed(lab: Stack, scscf: SipPeer, count: int) -> SipText:
    """The time of a refresh has come."""
    wait_until(lambda: watch_of(lab).asked_ms == 0, 5, "the last answer taken")
    (stored,) = watches.read_all(lab.store, [place_of(Subject(ALICE, REG))])
    assert stored.watch is not None
    due = watches.Change(stored.data, stored.watch._replace(due_ms=1))
    assert watches.replace(lab.store, [due]) == [True]
    return subscribes(scscf, count)[count - 1]


def test_a_push_leaves_as_that_s_cscf_was_seen_to_deliver_it(lab: Stack, scscf: SipPeer) -> None:
    """capture 04: Route to the S-CSCF, the public identity as Request-URI, Accept-Contact passed on."""
    registered_as(lab, scscf, 1)
    recorded = frames(4)[0].sip
    watched(lab, scscf, 2)
    result = lab.result(lab.submit(ALICE, recorded.body))
    (sent,) = (one for one in scscf.requests if one.method == "MESSAGE")

    assert (result.state, result.sip_code) == ("delivered", 200)
    assert (sent.start_line, sent.body) == (recorded.start_line, recorded.body)
    for name in ("Route", "To", "P-Asserted-Identity", "Accept-Contact", "Content-Type"):
        assert sent.header(name) == recorded.header(name), name


@pytest.mark.parametrize("number", [5, 6, 15])
def test_other_peoples_requests_go_on_with_the_mark_of_the_s_cscf(
    lab: Stack, scscf: SipPeer, number: int
) -> None:
    """capture 05 of a user, capture 06 to one, capture 15 to one who is not there: our Route off, no more."""
    frame = to_us(number, "MESSAGE")[0]
    answer = play(lab, scscf, again(frame.raw))
    # Not all that came: a watch that a test before began may still ask for its user.
    (sent,) = (one for one in scscf.requests if one.header("Call-ID") == frame.sip.header("Call-ID"))

    assert answer.status == 200
    assert sent.all("Route") == [frame.sip.header("Route").partition(", ")[2]]
    changed = {"via", "route", "max-forwards"}
    assert [one for one in sent.headers if one[0] not in changed] == [
        one for one in frame.sip.headers if one[0] not in changed
    ]
    assert (sent.start_line, sent.body) == (frame.sip.start_line, frame.sip.body)
    assert int(sent.header("Max-Forwards")) == int(frame.sip.header("Max-Forwards")) - 1


def test_who_registers_again_is_told_by_no_notify_and_not_subscribed_to_twice(
    lab: Stack, scscf: SipPeer
) -> None:
    """capture 07: a shorter registration while subscribed."""
    registered_as(lab, scscf, 1)
    watched(lab, scscf, 2)
    registered_as(lab, scscf, 7)
    record = record_of(lab)

    assert (record.expires_ms - record.at_ms, record.doubts) == (1_920_000, ())
    assert (uris(record), len(subscribes(scscf, 1))) == ([DEVICE], 1)


def test_deregistration_is_told_twice_and_the_subscription_stays_for_who_comes_back(
    lab: Stack, scscf: SipPeer
) -> None:
    """capture 08: Expires 0 and a NOTIFY, id 0x1; capture 09: back for 3 s; capture 10: ran out."""
    registered_as(lab, scscf, 1)
    first = watched(lab, scscf, 2)
    registered_as(lab, scscf, 8)
    assert play(lab, scscf, in_dialog(to_us(8, "NOTIFY")[0], first)).status == 200
    gone = record_of(lab)
    assert (is_registered(gone, gone.reginfo_ms), gone.contacts, gone.doubts) == (False, (), ())
    assert watch_of(lab).state == "active"

    registered_as(lab, scscf, 9)
    back = record_of(lab)
    assert (uris(back), applications(back, 0)) == ([DEVICE], ("mms.ua",))
    assert back.contacts[0].expires_ms - back.at_ms == 3_000

    assert play(lab, scscf, in_dialog(to_us(10, "NOTIFY")[0], first)).status == 200
    gone = record_of(lab)
    assert (is_registered(gone, gone.reginfo_ms), gone.contacts) == (False, ())
    assert watch_of(lab).state == "active"
    assert {one.header("Call-ID") for one in subscribes(scscf, 1)} == {first.header("Call-ID")}


def test_an_implicit_set_is_kept_however_it_is_written(lab: Stack, scscf: SipPeer) -> None:
    """capture 11: one pair of brackets; capture 12: one of two leaves; capture 13: both at once."""
    registered_as(lab, scscf, 11)
    assert record_of(lab, BOB).associated == (BOB, TEL)
    assert registrations.sip_identities(lab.store, [TEL]) == [BOB]
    by_hand(lab, scscf, BOB, SECOND)
    assert uris(record_of(lab, BOB)) == [FIRST, SECOND]
    registered_as(lab, scscf, 12)
    record = record_of(lab, BOB)
    assert (uris(record), is_registered(record, record.at_ms)) == ([SECOND], True)

    watched(lab, scscf, 13, BOB)
    for aor in (BOB, TEL):
        assert uris(record_of(lab, aor)) == [SECOND]
        assert record_of(lab, aor).contacts[0].q == 0.5
    assert ("video", None) in record_of(lab, TEL).contacts[0].features
    assert applications(record_of(lab, BOB), 0) == ("mms.ua",)


def test_a_user_whom_the_network_took_away_has_no_contact_in_the_document(lab: Stack, scscf: SipPeer) -> None:
    """capture 14: terminated and empty, in a subscription that is active."""
    by_hand(lab, scscf, DAVE, "sip:dave@127.0.50.1:5500")
    watched(lab, scscf, 14, DAVE)
    record = record_of(lab, DAVE)

    assert (is_registered(record, record.reginfo_ms), record.contacts) == (False, ())
    assert watch_of(lab, DAVE).state == "active"


def test_a_missing_push_tag_is_a_withdrawal_once_the_core_was_seen_with_one(
    lab: Stack, scscf: SipPeer
) -> None:
    """capture 23: a core that reports every parameter; capture 02 from the same one withdraws."""
    registered_as(lab, scscf, 1)
    first = watched(lab, scscf, 23)
    record = record_of(lab)
    assert (applications(record, 0), record.contacts[0].tags_source) == (("mms.ua",), "reginfo")

    later = to_us(2, "NOTIFY")[0].raw.replace(b'version="2"', b'version="3"').replace(b"CSeq: 4", b"CSeq: 5")
    assert play(lab, scscf, in_dialog(Frame(6060, 5070, later), first)).status == 200
    assert (applications(record_of(lab), 0), uris(record_of(lab))) == ((), [DEVICE])


def test_a_core_that_knows_only_the_user_is_subscribed_to_as_the_user(lab: Stack, scscf: SipPeer) -> None:
    """capture 24: 403 to our own identity; capture 25: 200 to the user's, remembered for the next user."""
    (refused,), (granted,) = answers(24, "SUBSCRIBE"), answers(25, "SUBSCRIBE")
    scscf.policy = Recorded(lab, [refused, granted])
    registered_as(lab, scscf, 1)
    one, other = subscribes(scscf, 2)
    assert one.header("P-Asserted-Identity") == frames(24)[0].sip.header("P-Asserted-Identity")
    assert other.header("P-Asserted-Identity") == frames(25)[0].sip.header("P-Asserted-Identity")
    assert play(lab, scscf, in_dialog(to_us(25, "NOTIFY")[0], other)).status == 200
    assert (watch_of(lab).state, watch_of(lab).identity) == ("active", "user")

    registered_as(lab, scscf, 11)
    assert subscribes(scscf, 3)[2].header("P-Asserted-Identity") == f"<{BOB}>"
