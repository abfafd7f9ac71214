"""Who gets a push that replaces another, and what becomes of the replaced one."""

import pytest

from omapush.push import progress, replacing
from omapush.push.acceptance import Accepted, ContentRules, NotPossible, NotTaken, Offer, accept
from omapush.push.account import Account
from omapush.push.values import PENDING, Result, State, push_ref

NOW_US = 1_800_000_000_000_000
NOW_MS = NOW_US // 1000
HOUR_MS = 3_600_000
ACCOUNT = Account("pi", ("*",), ("*",))
ALICE, BOB, CAROL = (f"sip:{name}@home1.example" for name in ("alice", "bob", "carol"))


def accepted(
    *addresses: str,
    replaces: str = "old",
    replace_all: bool = True,
    before_ms: int | None = None,
    after_ms: int | None = None,
) -> Accepted:
    offer = Offer(
        push_id="new",
        addresses=addresses or (ALICE, BOB, CAROL),
        application="mms.ua",
        content_type="text/plain",
        content=b"x",
        replaces=replaces,
        replace_all=replace_all,
        deliver_before_ms=before_ms,
        deliver_after_ms=after_ms,
    )
    rules = ContentRules((), 1_000)
    return accept(offer, account=ACCOUNT, rules=rules, order_us=NOW_US, lifetime_s=60)


def result(state: State) -> Result:
    return Result(state, "1000", "", "", 0, 0, NOW_MS)


def old(*states: State) -> tuple[Accepted, tuple[Result, ...]]:
    """The replaced push, to Alice and Bob."""
    push = accepted(ALICE, BOB, replaces="")
    push = Accepted(push.push._replace(ref=push_ref("pi", "old")), push.recipients, push.results, b"x")
    return push, tuple(result(state) for state in states)


@pytest.mark.parametrize(
    ("replace_all", "codes"),
    [(True, ["1001", "1001", "1001"]), (False, ["2008", "1001", "2003"])],
    ids=["all", "pending-only"],
)
def test_where_each_recipient_starts(replace_all: bool, codes: list[str]) -> None:
    was, results = old("delivered", "pending")
    new = replacing.of_the_old(accepted(replace_all=replace_all), was.push, was.recipients, results)
    assert [one.code for one in new.results] == codes
    assert new.push.replaces == push_ref("pi", "old")
    assert new.push.replace_all == replace_all


def test_what_had_its_result_before_keeps_it() -> None:
    was, results = old("delivered", "pending")
    wrong = accepted(ALICE, "WAPPUSH=192.0.2.7/TYPE=IPv4@ppg", BOB, replace_all=False)
    new = replacing.of_the_old(wrong, was.push, was.recipients, results)
    assert [one.code for one in new.results] == ["2008", "2002", "1001"]


def test_one_address_is_one_user_whatever_was_learnt_of_it_meanwhile() -> None:
    was, results = old("pending", "pending")
    recipients = (was.recipients[0]._replace(aor="sip:+358401@home1.example"), was.recipients[1])
    new = replacing.of_the_old(accepted(), was.push, recipients, results)
    assert [one.aor for one in new.recipients] == ["sip:+358401@home1.example", BOB, CAROL]


def test_a_push_that_is_not_known_cannot_be_replaced_nor_can_a_push_replace_itself() -> None:
    for known in (None, accepted().push):
        with pytest.raises(NotPossible) as refused:
            replacing.of_the_old(accepted(), known, (), ())
        assert (refused.value.code, refused.value.field) == ("2004", "replaces")


def test_a_push_to_all_subscribers_is_not_replaced() -> None:
    was, _ = old()
    with pytest.raises(NotPossible) as refused:
        replacing.of_the_old(accepted(), was.push._replace(subscribers=("*",)), (), ())
    assert refused.value.code == "3011"


def test_what_is_taken_back_keeps_what_its_last_try_said() -> None:
    last = Result(PENDING, "1001", "busy", "MESSAGE", 486, 2, NOW_MS - 5)
    back = replacing.taken_back(last, replacing.CANCELLED, NOW_MS)
    assert back == Result("cancelled", "1000", replacing.CANCELLED, "MESSAGE", 486, 2, NOW_MS)


@pytest.mark.parametrize(
    ("result", "is_there"),
    [
        (Result(PENDING, "1001", "", "MESSAGE", 202, 1, 0), True),
        (Result(PENDING, "1001", "", "MESSAGE", 486, 1, 0), False),
        (Result("delivered", "1000", "", "MESSAGE", 202, 1, 0), False),
    ],
)
def test_a_relay_has_what_it_answered_with_202_as_long_as_that_is_open(
    result: Result, is_there: bool
) -> None:
    assert replacing.is_at_a_relay(result) == is_there


def test_who_came_too_late_keeps_the_old_push() -> None:
    assert replacing.keeps_the_old(replacing.comes_too_late(is_under_way=True, now_ms=0))
    assert replacing.keeps_the_old(replacing.not_for_them(0))
    assert not replacing.keeps_the_old(result("delivered"))


def test_a_push_lives_from_its_deliver_after_on_unless_it_says_until_when() -> None:
    later = accepted(after_ms=NOW_MS + HOUR_MS).push
    assert later.deliver_before_ms == NOW_MS + HOUR_MS + 60_000
    assert (later.deliver_after_ms, later.deadline_given) == (NOW_MS + HOUR_MS, False)
    assert accepted(after_ms=NOW_MS).push.deliver_after_ms == 0
    assert accepted(after_ms=NOW_MS - 1).push.deliver_before_ms == NOW_MS + 60_000


@pytest.mark.parametrize("before_ms", [NOW_MS + 1, NOW_MS + HOUR_MS])
def test_a_push_must_have_time_between_deliver_after_and_deliver_before(before_ms: int) -> None:
    with pytest.raises(NotTaken) as refused:
        accepted(before_ms=before_ms, after_ms=NOW_MS + HOUR_MS)
    assert (refused.value.code, refused.value.field) == ("2000", "deliver_before")


def test_a_push_to_all_subscribers_does_not_replace() -> None:
    offer = Offer("new", (), "mms.ua", "text/plain", b"x", subscribers=True, replaces="old")
    with pytest.raises(NotPossible) as refused:
        accept(offer, account=ACCOUNT, rules=ContentRules((), 1_000), order_us=NOW_US, lifetime_s=60)
    assert refused.value.code == "3011"


@pytest.mark.parametrize("replace_all", [True, False])
def test_progress_notes_say_what_was_done_so_far(replace_all: bool) -> None:
    was, results = old("delivered", "pending")
    new = accepted(replace_all=replace_all, after_ms=NOW_MS + HOUR_MS)
    notes = progress.notes(replacing.of_the_old(new, was.push, was.recipients, results))
    stages = [note.stage.value for note in notes if hasattr(note.stage, "value")]
    assert stages[:3] == ["pending"] * 3
    assert stages[3:] == ([] if replace_all else ["cancelled", "undeliverable"])
    assert all(note.time == NOW_MS // 1000 for note in notes)


@pytest.mark.parametrize(
    ("states", "addresses", "code"),
    [
        (("delivered", "pending"), (ALICE,), "2008"),
        (("delivered", "pending"), (CAROL,), "2003"),
        (("delivered", "pending"), (CAROL, ALICE), "2008"),
    ],
)
def test_a_pending_only_replacement_that_nobody_would_get_is_refused(
    states: tuple[State, ...], addresses: tuple[str, ...], code: str
) -> None:
    was, results = old(*states)
    with pytest.raises(NotPossible) as refused:
        replacing.of_the_old(accepted(*addresses, replace_all=False), was.push, was.recipients, results)
    assert refused.value.code == code
