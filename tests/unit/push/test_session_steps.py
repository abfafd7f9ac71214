"""What is done about a session that is due: each state, what it sends, and when it is looked at again."""

import pytest

from omapush.push.session import LOST, Ending, Session, ended
from omapush.push.session_answers import on_answer
from omapush.push.session_steps import ASKED_LOOK_MS, KEPT_MS, LOOK_MS, Here, over, put_off
from tests.unit.push.sessions import (
    AOR,
    HERE,
    LIMITS,
    NOW,
    TAG,
    after,
    gathering,
    inviting,
    said,
    sdp,
    stepped,
)

LATER = Here(HERE.sender, HERE.node, "another start")
ELSEWHERE = Here(HERE.sender, "another node", "r")


def opened(number: int = 1) -> Session:
    session = inviting(number)
    answered = on_answer(session, said(session, body=sdp([7394] * number)), jitter=0.5)
    assert answered is not None
    return answered


def done(session: Session, *positions: int, at_ms: int = NOW) -> Session:
    """Reports of the worker that these files are delivered."""
    streams = tuple(session.streams[position] for position in positions)
    return ended(session, streams, Ending("msrp", 200, "confirmed", at_ms))


def test_what_has_gathered_is_offered_in_one_invite() -> None:
    taken = stepped(gathering(3))
    session, request = after(taken), taken.request

    assert request is not None
    assert (request.method, request.request_uri, request.next_hop) == ("INVITE", AOR, "sip:core;lr")
    assert request.body.count(b"m=message 2855 ") == 3
    assert (session.state, session.asked, session.dialog.local_cseq) == ("inviting", "INVITE", 1)
    assert [(one.state, one.line) for one in session.streams] == [
        ("offered", 0),
        ("offered", 1),
        ("offered", 2),
    ]
    assert session.due_ms == NOW + ASKED_LOOK_MS
    assert (session.node, session.run) == ("n", "r")


def test_without_its_worker_nothing_is_offered() -> None:
    taken = stepped(gathering(), lives=False)

    assert taken.request is None
    ending = after(taken).streams[0].ending
    assert ending is not None
    assert (ending.by, ending.code, ending.local) == ("sip", 503, True)
    assert after(taken).state == "ended"


def test_an_offer_that_no_request_can_hold_ends_the_session() -> None:
    session = gathering()._replace(accept_contact="x" * 3_000)
    taken = stepped(session)

    assert taken.request is None
    ending = after(taken).streams[0].ending
    assert ending is not None
    assert (ending.by, ending.code) == ("sip", 513)


def test_what_is_late_is_not_offered() -> None:
    session = gathering(2)
    late = session.streams[0]._replace(deliver_before_ms=NOW)
    taken = stepped(session._replace(streams=(late, session.streams[1])))

    assert taken.request is not None
    assert taken.request.body.count(b"m=message") == 1
    assert [(one.state, one.line) for one in after(taken).streams] == [("closed", -1), ("offered", 0)]

    alone = stepped(session._replace(streams=(late,)))
    assert (alone.request, after(alone).state) == (None, "ended")


def test_what_has_no_room_yet_is_looked_at_again_when_a_deliver_before_passes() -> None:
    first, second = gathering(2).streams
    session = gathering()._replace(streams=(first, second._replace(deliver_before_ms=NOW + 3_000)))
    waits = put_off(session, 5_000, NOW)
    assert (waits.state, waits.due_ms, waits.streams) == ("gathering", NOW + 3_000, session.streams)

    later = put_off(waits, 5_000, NOW + 3_000)
    assert later.due_ms == NOW + 8_000
    assert [(one.state, one.ending is not None) for one in later.streams] == [
        ("wanted", False),
        ("closed", True),
    ]


def test_an_invite_is_cancelled_once_when_its_time_is_over() -> None:
    session = inviting()
    soon = stepped(session, NOW + LIMITS.answer_ms - 1)
    assert (soon.cancel, after(soon).due_ms) == (False, NOW + LIMITS.answer_ms)

    taken = stepped(session, NOW + LIMITS.answer_ms)
    assert taken.cancel
    assert after(taken).cancelled
    assert not stepped(after(taken), NOW + LIMITS.answer_ms + 1).cancel


def test_an_invite_is_looked_at_when_the_first_of_its_pushes_is_late() -> None:
    session = gathering(2)
    soon = session.streams[0]._replace(deliver_before_ms=NOW + 500)
    invited = after(stepped(session._replace(streams=(soon, session.streams[1]))))
    assert invited.due_ms == NOW + 500

    taken = stepped(invited, NOW + 500)
    assert not taken.cancel  # the other is still wanted
    assert [one.ticket for one in after(taken).live] == ["ticket1"]


def test_only_who_sent_the_invite_cancels_it() -> None:
    session = ended(inviting(), inviting().streams, Ending("us", 0, "cancelled", NOW))
    assert stepped(session).cancel
    taken = stepped(session, here=ELSEWHERE)
    assert not taken.cancel
    assert not after(taken).cancelled


@pytest.mark.parametrize(
    ("here", "at_ms"),
    [(LATER, NOW + 1), (ELSEWHERE, NOW + LIMITS.answer_ms + LIMITS.transaction_ms)],
)
def test_an_invite_whose_process_died_ends_as_unanswered(here: Here, at_ms: int) -> None:
    session = after(stepped(inviting(), at_ms, here))

    assert session.state == "ended"
    ending = session.streams[0].ending
    assert ending is not None
    assert (ending.by, ending.code, ending.local) == ("sip", 408, True)


def test_another_node_waits_for_the_one_that_invites() -> None:
    assert after(stepped(inviting(), NOW + 1, ELSEWHERE)).state == "inviting"


@pytest.mark.req("PSA-MSRP-5")
def test_the_last_file_ends_the_session_at_once() -> None:
    taken = stepped(done(opened(2), 0, 1))

    assert taken.request is not None
    assert taken.request.method == "BYE"
    assert taken.request.dialog is not None
    assert (taken.request.dialog.remote_tag, taken.request.dialog.cseq) == (TAG, 2)
    assert taken.request.request_uri == "sip:device@192.0.2.9"
    assert (after(taken).state, after(taken).asked) == ("closing", "BYE")


@pytest.mark.req("PROP-MSRP-T", "PSA-MSRP-8", "PSA-MSRP-9")
def test_the_linger_timer_runs_from_the_last_file_that_ended() -> None:
    session = done(done(opened(3), 0), 1, at_ms=NOW + 4_000)
    waiting = stepped(session, NOW + 4_000)
    assert waiting.request is None
    assert after(waiting).due_ms == NOW + 4_000 + LOOK_MS
    nearly = stepped(session, NOW + 13_000)
    assert (nearly.request, after(nearly).due_ms) == (None, NOW + 14_000)

    taken = stepped(session, NOW + 14_000)

    assert taken.request is not None
    assert taken.request.method == "INVITE"
    lines = [line for line in taken.request.body.decode().splitlines() if line.startswith("m=")]
    assert [int(line.split()[1]) for line in lines] == [0, 0, 2855]
    assert [one.state for one in after(taken).streams] == ["closing", "closing", "agreed"]


def test_a_file_that_ends_while_a_reinvite_is_under_way_waits_for_its_answer() -> None:
    session = after(stepped(done(opened(2), 0), NOW + 10_000))
    assert session.asked == "INVITE"

    both = done(session, 1, at_ms=NOW + 10_001)
    taken = stepped(both, NOW + 10_001)

    assert taken.request is None
    assert after(taken).due_ms == NOW + 10_001 + ASKED_LOOK_MS
    answered = on_answer(both, said(session, body=sdp([0, 7394]), at_ms=NOW + 10_002), jitter=0)
    assert answered is not None
    request = stepped(answered, NOW + 10_002).request
    assert request is not None
    assert request.method == "BYE"


def test_a_reinvite_that_is_never_answered_ends_what_it_offered_only() -> None:
    first = opened()
    wanted = first.streams[0]._replace(ticket="ticket1", path="msrp://h:1/x;tcp", state="wanted", line=-1)
    session = after(stepped(first._replace(streams=(*first.streams, wanted))))
    assert session.asked == "INVITE"

    taken = after(stepped(session, NOW + LIMITS.transaction_ms))

    assert [(one.state, one.line) for one in taken.streams] == [("agreed", 0), ("closed", -1)]


def test_a_worker_that_died_ends_its_session_by_bye() -> None:
    taken = stepped(opened(2), lives=False)

    assert taken.request is not None
    assert taken.request.method == "BYE"
    endings = [one.ending for one in after(taken).streams if one.ending]
    assert [(one.by, one.code) for one in endings] == [("msrp", LOST)] * 2


def test_an_open_session_is_looked_at_now_and_then() -> None:
    taken = stepped(opened(), NOW + 1_000)
    assert (taken.request, after(taken).due_ms) == (None, NOW + 1_000 + LOOK_MS)


@pytest.mark.parametrize(("here", "at_ms"), [(LATER, NOW + 1), (HERE, NOW + LIMITS.transaction_ms)])
def test_a_bye_whose_answer_never_comes_ends_the_session_all_the_same(here: Here, at_ms: int) -> None:
    closing = after(stepped(done(opened(), 0)))
    assert after(stepped(closing, NOW + 1)).state == "closing"

    session = after(stepped(closing, at_ms, here))

    assert (session.state, session.due_ms) == ("ended", at_ms + KEPT_MS)
    assert stepped(session, at_ms + KEPT_MS).session is None


def test_what_ends_between_the_look_and_its_turn_keeps_its_results() -> None:
    found_due = opened()  # by its answer; then the device's BYE is stored before its turn
    just_ended = over(found_due, "the device ended the session", NOW)

    assert stepped(just_ended, NOW + 1).session == just_ended
    assert stepped(just_ended, NOW + KEPT_MS - 1).session == just_ended
