"""The rules of our own subscriptions, without a network."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omapush.push.dialog import Heard
from omapush.push.request import Request
from omapush.push.watch import (
    NO_VERSION,
    PRESENCE,
    REG,
    Core,
    Plan,
    Subject,
    Watch,
    call_of,
    content_package,
    place_of,
    place_of_call,
    wanted,
)
from omapush.push.watch_rules import (
    KILLS,
    TIMER_N_MS,
    FinalAnswer,
    Notified,
    admit,
    is_news,
    next_request,
    on_broken_document,
    on_document,
    on_final,
    on_notify,
    on_older_document,
)

pytestmark = pytest.mark.req("PSA-REG-2", "SIPPUSH-PSA-S-004")

NOW = 1_800_000_000_000
AOR = "sip:alice@ims.lab"
SCSCF = "sip:127.0.0.1:6060"
UNKNOWN = Core()
PLAN = Plan("sip:psa@ims.lab", "127.0.0.1:5070", "ims.lab", "as-then-user", 600, 1_000, 60_000)
STANDING = PLAN._replace(
    identity="as", event="ua-profile;profile-type=oma-app", headers=("Accept: image/*",), standing=True
)
PLANS = {
    Subject(AOR, REG): PLAN,
    Subject(AOR, PRESENCE): PLAN._replace(event=PRESENCE, headers=("Accept: application/pidf+xml",)),
    Subject(AOR, content_package("mms.ua")): STANDING,
}


def step(
    watch: Watch,
    now_ms: int,
    *,
    s_cscf: str = SCSCF,
    registered: bool = True,
    core: Core = UNKNOWN,
    plan: Plan = PLAN,
) -> tuple[Watch, Request | None]:
    return next_request(
        watch, plan, core, s_cscf=s_cscf, registered=registered, token="70ce", jitter=0.5, now_ms=now_ms
    )


def asked(now_ms: int = NOW) -> Watch:
    watch, request = step(wanted(AOR, now_ms), now_ms)
    assert request is not None
    return watch


def answer(watch: Watch, code: int, *, at_ms: int = NOW, local: bool = False, **words: str) -> FinalAnswer:
    return FinalAnswer(
        code=code,
        local=local,
        call=call_of(watch.dialog.call_id),
        cseq=watch.dialog.local_cseq,
        expires=words.get("expires", ""),
        min_expires=words.get("min_expires", ""),
        retry_after=words.get("retry_after", ""),
        contact=words.get("contact", ""),
        to_tag="peer",
        at_ms=at_ms,
    )


def final(watch: Watch, code: int, *, expires: str = "", min_expires: str = "") -> Watch:
    said = answer(watch, code, expires=expires, min_expires=min_expires)
    after = on_final(watch, said, PLAN, jitter=0.5)
    assert after is not None
    return after


def notified(watch: Watch, *, state: str = "active;expires=600", at_ms: int = NOW, cseq: int = 4) -> Notified:
    heard = Heard("peer", cseq, "<sip:127.0.0.1:6060>", "")
    return Notified(watch.dialog.call_id, watch.dialog.local_tag, heard, "reg", state, "", b"", at_ms)


def active(now_ms: int = NOW) -> Watch:
    watch = final(asked(now_ms), 200, expires="600")
    after = on_notify(watch, notified(watch, at_ms=now_ms), PLAN, jitter=0.5, gone=False).watch
    assert after is not None
    return after


def test_the_notify_and_not_the_200_makes_the_subscription() -> None:
    granted = final(asked(), 200, expires="600")

    assert (granted.state, granted.due_ms) == ("asking", NOW + TIMER_N_MS)
    assert active().state == "active"


def test_without_a_notify_in_32_s_it_failed_and_is_tried_again_later() -> None:
    granted = final(asked(), 200)
    failed, request = step(granted, NOW + TIMER_N_MS)

    assert request is None
    assert (failed.state, failed.attempts) == ("resting", 1)
    assert failed.due_ms > NOW + TIMER_N_MS
    again, request = step(failed, failed.due_ms)
    assert request is not None
    assert again.state == "asking"


def test_a_refresh_comes_between_80_and_90_percent_of_what_was_granted() -> None:
    for jitter in (0.0, 0.5, 1.0):
        watch = asked()
        after = on_notify(watch, notified(watch), PLAN, jitter=jitter, gone=False).watch
        assert after is not None
        after = on_final(after, answer(after, 200, expires="600"), PLAN, jitter=jitter)
        assert after is not None
        assert NOW + 480_000 <= after.due_ms <= NOW + 540_000


def test_a_refresh_without_notify_leaves_the_subscription_alive() -> None:
    """A Kamailio S-CSCF sends none."""
    watch = active()
    refreshed, request = step(watch, watch.due_ms)
    assert request is not None
    assert (request.request_uri, request.dialog and request.dialog.cseq) == ("sip:127.0.0.1:6060", 2)
    after = final(refreshed, 200, expires="600")

    assert (after.state, after.asked_ms) == ("active", 0)
    assert after.due_ms > NOW + TIMER_N_MS


@pytest.mark.parametrize("code", sorted(KILLS - {481}))
def test_these_answers_to_a_refresh_end_it_until_the_next_register(code: int) -> None:
    watch = active()
    refreshed, _ = step(watch, watch.due_ms)
    after = final(refreshed, code)

    assert (after.state, after.due_ms, after.dialog.call_id) == ("waiting", 0, "")


@pytest.mark.parametrize("code", sorted({*range(300, 700)} - KILLS - {403, 423}))
def test_any_other_answer_to_a_refresh_leaves_it_alive(code: int) -> None:
    watch = active()
    refreshed, _ = step(watch, watch.due_ms)
    after = final(refreshed, code)

    assert (after.state, after.dialog.call_id) == ("active", watch.dialog.call_id)
    assert after.due_ms > 0


def test_481_to_a_refresh_begins_a_new_dialog_at_once() -> None:
    watch = active()
    refreshed, _ = step(watch, watch.due_ms)
    after = final(refreshed, 481)
    again, request = step(after, after.due_ms)

    assert request is not None
    assert request.dialog is not None
    assert (request.dialog.cseq, again.doc_version) == (1, NO_VERSION)


@pytest.mark.parametrize("begin", [asked, active])
def test_a_200_for_no_time_is_an_end_and_a_new_dialog_begins_later(begin: Callable[[], Watch]) -> None:
    watch, _ = step(begin(), NOW + 500_000) if begin is active else (begin(), None)
    after = final(watch, 200, expires="0")
    assert (after.state, after.dialog.call_id, after.attempts) == ("resting", "", 1)

    again, request = step(after, after.due_ms)
    assert request is not None
    assert (again.state, again.dialog.local_cseq) == ("asking", 1)


def test_403_then_asserts_the_user_and_403_again_waits() -> None:
    first = final(asked(), 403)
    second, request = step(first, NOW)
    assert request is not None
    assert f"P-Asserted-Identity: <{AOR}>\r\n" in request.headers

    assert final(second, 403).state == "waiting"


def test_what_a_core_took_before_is_asserted_first() -> None:
    _, request = step(wanted(AOR, NOW), NOW, core=Core("user"))

    assert request is not None
    assert f"P-Asserted-Identity: <{AOR}>\r\n" in request.headers


@pytest.mark.parametrize("text", ["", "x", "0", "-1", "9" * 30, "3 (c);duration=1"])
def test_whatever_min_expires_says_423_never_goes_round_for_ever(text: str) -> None:
    watch = asked()
    for _ in range(8):
        watch = final(watch, 423, min_expires=text)
        if watch.state == "waiting":
            break
        watch, _ = step(watch, max(watch.due_ms, NOW))
    assert watch.state == "waiting"


def test_an_answer_to_an_older_request_changes_nothing() -> None:
    watch = asked()
    assert on_final(watch, answer(watch, 200)._replace(cseq=9), PLAN, jitter=0.5) is None
    assert on_final(watch, answer(watch, 200)._replace(call="x"), PLAN, jitter=0.5) is None
    assert on_final(active(), answer(active(), 500), PLAN, jitter=0.5) is None


def test_called_early_it_asks_for_full_state_and_then_for_a_new_dialog() -> None:
    watch = active()
    refreshing, request = step(watch, NOW + 1_000)
    assert request is not None
    assert refreshing.full == "asked"
    silent = final(refreshing, 200, expires="600")
    assert silent.due_ms == NOW + TIMER_N_MS
    _, request = step(silent, silent.due_ms)

    assert request is not None
    assert request.dialog is not None
    assert request.dialog.remote_tag == ""


def test_full_state_that_came_answers_the_wish_for_it() -> None:
    watch = active()
    refreshing, _ = step(watch, NOW + 1_000)
    silent = final(refreshing, 200, expires="600")
    after = on_document(silent, 5, full=True, jitter=0.5)

    assert (after.full, after.doc_version) == ("", 5)
    assert after.due_ms > NOW + TIMER_N_MS


def test_versions_begin_anywhere_a_gap_asks_again_and_old_ones_are_no_news() -> None:
    watch = on_document(active(), 41, full=True, jitter=0.5)
    assert is_news(watch, 42)
    assert not is_news(watch, 41)
    assert not is_news(watch, 3)
    assert on_document(watch, 42, full=False, jitter=0.5).full == ""

    gap = on_document(watch, 44, full=False, jitter=0.5)
    assert (gap.doc_version, gap.full, gap.due_ms) == (44, "wanted", gap.at_ms)
    refreshed, request = step(gap, NOW)
    assert request is not None
    assert (refreshed.full, refreshed.dialog.call_id) == ("asked", watch.dialog.call_id)


def test_a_notifier_that_counts_anew_in_the_old_dialog_gets_a_new_one() -> None:
    """An S-CSCF that was restarted: what it says from now on would be no news for long."""
    watch = on_document(active(), 41, full=True, jitter=0.5)
    older = on_older_document(watch, 0)
    assert (older.doc_version, older.due_ms) == (41, older.at_ms)
    assert "version 0 came after 41" in older.why
    anew, request = step(older, NOW)
    assert request is not None
    assert request.dialog is not None
    assert (request.dialog.remote_tag, anew.state, anew.doc_version) == ("", "asking", NO_VERSION)
    assert on_older_document(anew, 0) == anew


def test_a_notifier_that_skips_versions_all_the_time_is_not_asked_all_the_time() -> None:
    watch = on_document(active(), 10, full=True, jitter=0.5)
    full = on_document(watch, 20, full=True, jitter=0.5)
    assert (full.doc_version, full.full, full.due_ms) == (20, "", watch.due_ms)

    asked_for, _ = step(on_document(full, 30, full=False, jitter=0.5), NOW)
    partial = on_document(final(asked_for, 200, expires="600"), 40, full=False, jitter=0.5)
    assert (partial.full, partial.due_ms) == ("asked", NOW + TIMER_N_MS)


def test_a_document_that_cannot_be_read_asks_for_full_state() -> None:
    broken = on_broken_document(active(), "XML: cut off", jitter=0.5)

    assert (broken.full, broken.due_ms) == ("wanted", broken.at_ms)
    assert broken.why == "the last document cannot be read: XML: cut off"


@pytest.mark.parametrize("answered_first", [True, False])
def test_a_second_broken_document_in_a_row_is_not_asked_about_again(answered_first: bool) -> None:
    """It would go round in a circle; the gap stays to be seen until a good document comes."""
    asked_again, request = step(on_broken_document(active(), "first", jitter=0.5), NOW)
    assert request is not None
    watch = final(asked_again, 200, expires="600") if answered_first else asked_again
    after = on_notify(watch, notified(watch, cseq=5), PLAN, jitter=0.5, gone=False).watch
    assert after is not None
    watch = on_broken_document(after, "second", jitter=0.5)
    if not answered_first:
        watch = final(watch, 200, expires="600")

    assert (watch.state, watch.full, watch.why.rpartition(" ")[2]) == ("active", "", "second")
    assert watch.due_ms > NOW + TIMER_N_MS
    good = on_notify(watch, notified(watch, cseq=6), PLAN, jitter=0.5, gone=False).watch
    assert good is not None
    assert on_document(good, 9, full=True, jitter=0.5).why == ""


def test_nobody_is_refreshed_who_is_not_there() -> None:
    watch = active()
    left, request = step(watch, watch.due_ms, registered=False)

    assert request is None
    assert (left.state, left.due_ms) == ("active", 0)
    again, request = step(left, left.due_ms + NOW)
    assert request is not None
    assert again.dialog.call_id == watch.dialog.call_id


def test_one_that_ends_each_time_it_begins_does_not_go_round_in_a_circle() -> None:
    watch = asked()
    state = "terminated;reason=deactivated"
    after = on_notify(watch, notified(watch, state=state), PLAN, jitter=0.5, gone=False).watch

    assert after is not None
    assert after.due_ms > NOW


def test_terminated_with_nobody_left_waits_for_the_next_register() -> None:
    watch = active()
    said = notified(watch, state="terminated;reason=timeout", cseq=5)
    after = on_notify(watch, said, PLAN, jitter=0.5, gone=True).watch

    assert after is not None
    assert (after.state, after.due_ms) == ("waiting", 0)


def test_a_notify_without_expires_counts_on_what_the_200_granted() -> None:
    """As RFC 3265 allowed."""
    watch = final(asked(), 202, expires="100")
    after = on_notify(watch, notified(watch, state="active"), PLAN, jitter=0.5, gone=False).watch

    assert after is not None
    assert after.expires_ms == NOW + 100_000


def test_each_package_of_a_user_has_dialogs_of_its_own() -> None:
    for subject, plan in PLANS.items():
        watch, request = step(wanted(AOR, NOW, subject.package), NOW, plan=plan)
        assert request is not None
        assert f"Event: {plan.event}\r\n{plan.headers[0]}\r\n" in request.headers
        assert place_of_call(watch.dialog.call_id) == place_of(subject)
        assert place_of_call(call_of(watch.dialog.call_id)) == place_of(subject)
        mine = notified(watch)._replace(package=plan.event.partition(";")[0])
        assert admit(mine) is None
        assert on_notify(watch, mine, plan, jitter=0.5, gone=False).watch is not None
    assert len({place_of(subject) for subject in PLANS}) == 3
    assert place_of_call("0123456789abcdef-dialog-70ce@x") is None


def test_a_package_without_versions_has_news_in_every_document() -> None:
    watch = on_document(active(), NO_VERSION, full=True, jitter=0.5)
    broken = on_broken_document(watch, "x", jitter=0.5)
    asked_again, _ = step(broken, NOW)
    assert is_news(asked_again, NO_VERSION)

    after = on_document(asked_again, NO_VERSION, full=True, jitter=0.5)
    assert (after.full, after.doc_version) == ("", NO_VERSION)


def test_another_package_is_489_and_a_strangers_call_id_481() -> None:
    mine = notified(asked())
    assert admit(mine) is None
    other = admit(mine._replace(package="presence"))
    assert other is not None
    assert (other.status, other.headers) == (489, (("Allow-Events", "reg"),))
    stranger = admit(mine._replace(call_id="x@y"))
    assert stranger is not None
    assert stranger.status == 481


def test_more_routes_than_are_kept_are_refused() -> None:
    watch = asked()
    many = ", ".join(f"<sip:{'r' * 300}{i}.ims.lab;lr>" for i in range(30))
    said = notified(watch)
    said = said._replace(heard=said.heard._replace(record_route=many))

    taken = on_notify(watch, said, PLAN, jitter=0.5, gone=False)
    assert (taken.answer.status, taken.watch) == (400, None)


CODES = st.sampled_from([200, 202, 403, 404, 408, 423, 480, 481, 491, 500, 503, 603])
STATES = st.sampled_from(
    ["active;expires=600", "pending", "active;expires=0", "terminated", "terminated;reason=probation",
     "terminated;reason=noresource", "terminated;reason=deactivated", "?;;", ""]
)  # fmt: skip
EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("time"), st.integers(0, 700_000)),
        st.tuples(st.just("answer"), CODES),
        st.tuples(st.just("notify"), STATES),
        st.tuples(st.just("document"), st.tuples(st.integers(0, 9), st.booleans())),
        st.tuples(st.just("broken"), st.just("XML")),
        st.tuples(st.just("early"), st.just(0)),
    ),
    max_size=30,
)


@given(EVENTS, st.floats(0, 1))
def test_whatever_happens_a_watch_is_due_again_or_waits_for_a_register(
    events: list[tuple[str, object]], jitter: float
) -> None:
    """Never stuck, never two SUBSCRIBEs at once, CSeq only upwards within a dialog."""
    now, cseq = NOW, 3
    watch = asked()
    for kind, what in events:
        before = watch
        match kind, what:
            case "time", int() as gap:
                now += gap
            case "answer", int() as code:
                watch = on_final(watch, answer(watch, code, at_ms=now), PLAN, jitter=jitter) or watch
            case "notify", str() as state:
                cseq += 1
                said = notified(watch, state=state, at_ms=now, cseq=cseq)
                watch = on_notify(watch, said, PLAN, jitter=jitter, gone=False).watch or watch
            case "document", (int() as version, bool() as full):
                watch = (
                    on_document(watch, version, full=full, jitter=jitter)
                    if is_news(watch, version)
                    else watch
                )
            case "broken", str() as problem:
                watch = on_broken_document(watch, problem, jitter=jitter)
            case _:
                watch, _ = step(watch, now)
        if watch.dialog.call_id == before.dialog.call_id:
            assert watch.dialog.local_cseq >= before.dialog.local_cseq
        assert watch.due_ms > 0 or watch.state == "waiting"
        if watch.due_ms and watch.due_ms <= now:
            watch, request = step(watch, now)
            assert watch.due_ms > now or watch.state == "waiting" or request is None
            if request is not None:
                assert watch.asked_ms == now
