"""What the configuration does of itself, with the stand-in S-CSCF: users who register are watched."""

from pathlib import Path

import pytest

from omapush.config import RegistrationSection
from omapush.push.registration import Registration, applications, is_registered
from omapush.push.watch import Watch
from omapush.store import watches
from tests.conftest import MakeStack
from tests.fakes.handset import HandsetThread, handset_in_thread
from tests.harness.scscf import Scscf
from tests.harness.stack import Settings, Stack
from tests.harness.wait import wait_until

pytestmark = [pytest.mark.req("PSA-REG-2", "SIPPUSH-PSA-S-004"), pytest.mark.timeout(90)]

ALICE = "sip:alice@home1.example"
BY_DEFAULT: Settings = {"registration": {"watch": RegistrationSection().watch}}
BOTH = ("mms.ua", "ulp.ua")


def watch_of(stack: Stack) -> Watch | None:
    return watches.read(stack.store, ALICE)


def record_of(stack: Stack) -> Registration:
    record = stack.registration(ALICE)
    assert record is not None
    return record


def reg_event_told(stack: Stack, version: int, contacts: int, apps: tuple[str, ...]) -> None:
    """
    Return when the document of that version is merged, or a later one: a document that comes before the
    REGISTER of the same change contradicts the REGISTER before it, and is asked about.
    """

    def is_told() -> bool:
        record, watch = stack.registration(ALICE), watch_of(stack)
        if record is None or watch is None or watch.state != "active" or watch.doc_version < version:
            return False
        known = (record.reginfo_dialog, record.reginfo_version, len(record.contacts))
        told = (watch.dialog.call_id, watch.doc_version, contacts)
        return known == told and applications(record, 0) == apps

    wait_until(is_told, 10, lambda: f"version {version}, {contacts} contacts: {stack.registration(ALICE)}")


def leaves_in_silence(handset: HandsetThread) -> None:
    """Its registration runs out within a second: no REGISTER tells anybody."""
    handset.handset.expires_s = 1
    handset.register()
    handset.handset._stop_refreshing()


@pytest.mark.req("PRA-REG-6")
def test_by_default_the_reg_event_tells_what_no_register_does(make_stack: MakeStack, tmp_path: Path) -> None:
    stack = make_stack(BY_DEFAULT, ("redis", "sip"))
    with (
        Scscf.of(stack, tmp_path / "scscf") as scscf,
        handset_in_thread(ALICE, scscf.address, apps=BOTH) as phone,
    ):
        reg_event_told(stack, 0, 1, BOTH)
        begun = watch_of(stack)
        with handset_in_thread(ALICE, scscf.address, apps=("x.ua",)):
            reg_event_told(stack, 1, 2, (*BOTH, "x.ua"))
        reg_event_told(stack, 2, 1, BOTH)
        phone.register(apps=("ulp.ua",))
        reg_event_told(stack, 3, 1, ("ulp.ua",))
        watch = watch_of(stack)
        assert begun is not None
        assert watch is not None
        assert watch.dialog.call_id == begun.dialog.call_id

        leaves_in_silence(phone)
        wait_until(lambda: (one := watch_of(stack)) is not None and one.state == "waiting", 10, "end")
        record = record_of(stack)
        assert (is_registered(record, record.reginfo_ms), record.contacts) == (False, ())

        phone.handset.expires_s = 600
        phone.register(apps=BOTH)
        reg_event_told(stack, 0, 1, BOTH)
        again = watch_of(stack)
        assert again is not None
        assert again.dialog.call_id != watch.dialog.call_id


def test_after_a_restart_of_everything_the_same_dialog_goes_on(make_stack: MakeStack, tmp_path: Path) -> None:
    """Nothing is subscribed twice, and what happens meanwhile or later is told."""
    stack = make_stack(BY_DEFAULT, ("redis", "sip"))
    with (
        Scscf.of(stack, tmp_path / "scscf") as scscf,
        handset_in_thread(ALICE, scscf.address, apps=BOTH) as phone,
    ):
        reg_event_told(stack, 0, 1, BOTH)
        before = watch_of(stack)
        stack.kill("sip")
        wait_until(lambda: int(stack.db.info("persistence")["aof_pending_bio_fsync"]) == 0, 5, "written")
        stack.restart("redis")
        stack.start("sip")

        phone.register(apps=("ulp.ua",))
        reg_event_told(stack, 1, 1, ("ulp.ua",))
        after = watch_of(stack)
        assert before is not None
        assert after is not None
        assert after.dialog.call_id == before.dialog.call_id
        assert after.dialog.remote_cseq > before.dialog.remote_cseq
        # Each SUBSCRIBE counts one. A document that overtakes the REGISTER of its change is asked about.
        contradictions = stack.parts["sip"].log_text().count("registration_contradicted")
        assert after.dialog.local_cseq <= 1 + contradictions


def test_an_s_cscf_that_forgot_everything_is_subscribed_to_anew(
    make_stack: MakeStack, tmp_path: Path
) -> None:
    """A push that finds nobody makes us ask; 481, then 480, stand until the next REGISTER."""
    stack = make_stack({**BY_DEFAULT, 'application."mms.ua"': {"retry": {"attempts": 1}}}, ("redis", "sip"))
    with (
        Scscf.of(stack, tmp_path / "scscf") as scscf,
        handset_in_thread(ALICE, scscf.address, apps=BOTH) as phone,
    ):
        reg_event_told(stack, 0, 1, BOTH)
        before = watch_of(stack)
        scscf.stop()
        scscf.start()
        assert stack.result(stack.submit(ALICE)).sip_code == 480
        wait_until(lambda: (one := watch_of(stack)) is not None and one.state == "waiting", 10, "480 taken")
        both = {"delivery", "subscribe"}
        wait_until(lambda: {doubt.source for doubt in record_of(stack).doubts} == both, 5, "both doubts")

        phone.register(apps=BOTH)
        reg_event_told(stack, 0, 1, BOTH)
        after = watch_of(stack)
        assert before is not None
        assert after is not None
        assert after.dialog.call_id != before.dialog.call_id
        assert record_of(stack).doubts == ()
        assert stack.result(stack.submit(ALICE)).state == "delivered"


def test_an_s_cscf_that_wants_the_user_asserted_is_watched_all_the_same(
    make_stack: MakeStack, tmp_path: Path
) -> None:
    """As Kamailio's own S-CSCF, whose policy knows the user and not the AS."""
    stack = make_stack(BY_DEFAULT, ("redis", "sip"))
    with (
        Scscf.of(stack, tmp_path / "scscf", "WITH_REG_FOR_USER_ONLY") as scscf,
        handset_in_thread(ALICE, scscf.address, apps=BOTH),
    ):
        reg_event_told(stack, 0, 1, BOTH)
        watch = watch_of(stack)
        assert watch is not None
        assert watch.identity == "user"
