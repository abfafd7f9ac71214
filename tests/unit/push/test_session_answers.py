"""What final answers mean for a session: the dialog, each file's part of the SDP, refusals and collisions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omapush.push.session import LOST, REFUSED, Ending, Session, ended
from omapush.push.session_answers import left_to_us, on_answer
from omapush.push.session_steps import over
from tests.unit.push.sessions import AOR, NOW, TAG, after, gathering, inviting, said, sdp, stepped


def answered(session: Session, code: int = 200, body: bytes = b"", **more: object) -> Session:
    new = on_answer(session, said(session, code, body, **more), jitter=0.5)  # type: ignore[arg-type]
    assert new is not None
    return new


def states(session: Session) -> list[str]:
    return [one.state for one in session.streams]


def endings(session: Session) -> list[tuple[str, int] | None]:
    return [(one.ending.by, one.ending.code) if one.ending else None for one in session.streams]


def withdrawn(session: Session, *positions: int) -> Session:
    return ended(session, tuple(session.streams[i] for i in positions), Ending("us", 0, "cancelled", NOW))


def test_a_200_establishes_the_dialog_with_its_route_set_reversed() -> None:
    session = answered(inviting(), body=sdp([7394]), record_route="<sip:far;lr>, <sip:near;lr>")

    assert session.state == "open"
    assert session.dialog.remote_tag == TAG
    assert session.dialog.remote_target == "sip:device@192.0.2.9"
    assert session.dialog.route_set == ("sip:near;lr", "sip:far;lr")
    assert (states(session), session.asked, session.due_ms) == (["agreed"], "", NOW)


@pytest.mark.parametrize(("setup", "connects"), [("passive", True), ("active", False), ("holdconn", True)])
def test_who_connects_is_what_the_answer_says(setup: str, connects: bool) -> None:
    [stream] = answered(inviting(), body=sdp([7394], setup=setup)).streams
    assert (stream.state, stream.connects) == ("agreed", connects)
    assert stream.peer_path == "msrp://192.0.2.9:7394/d0;tcp"


def test_a_refused_file_leaves_the_others() -> None:
    session = answered(inviting(3), body=sdp([7394, 0, 7394]))
    assert states(session) == ["agreed", "closed", "agreed"]
    assert endings(session) == [None, ("msrp", REFUSED), None]


@pytest.mark.parametrize(
    ("body", "ending"),
    [
        (sdp([7394], types="text/* image/gif"), ("sip", 415)),
        (sdp([7394], "a=max-size:4999"), ("sip", 413)),
        (sdp([7394], "a=file-selector\r\na=file-range:5001-*"), ("sip", 400)),
        (sdp([7394]).replace(b"recvonly", b"inactive"), ("msrp", REFUSED)),
        (sdp([7394]).replace(b"TCP/MSRP", b"TCP/OTHER"), ("sip", 400)),
        (sdp([7394]).replace(b"a=path", b"a=pass"), ("sip", 400)),
        (b"", ("sip", 400)),
        (sdp([]), ("sip", 400)),
        (b"\xff" + sdp([7394]), ("sip", 400)),
    ],
)
def test_an_answer_that_does_not_fit_the_file_ends_it(body: bytes, ending: tuple[str, int]) -> None:
    session = answered(inviting(), body=body)

    assert endings(session) == [ending]
    request = stepped(session).request
    assert request is not None
    assert request.method == "BYE"


def test_a_size_and_a_type_that_are_just_enough_are_taken() -> None:
    body = sdp([7394], "a=max-size:5000", types="image/png")
    assert states(answered(inviting(), body=body)) == ["agreed"]


def test_a_part_of_the_file_is_transferred_where_the_device_asks_for_it() -> None:
    body = sdp([7394], "a=file-selector:size:5000\r\na=file-range:1001-4000")
    [stream] = answered(inviting(), body=body).streams
    assert (stream.start, stream.stop) == (1001, 4000)


@pytest.mark.parametrize("contact", ["", "<sip:x", "<sip:" + "x" * 2_000 + ">"])
def test_a_200_without_a_contact_that_can_be_read_is_followed_by_a_bye(contact: str) -> None:
    session = answered(inviting(), body=sdp([7394]), contact=contact)

    assert endings(session) == [("sip", 400)]
    request = stepped(session).request
    assert request is not None
    assert request.dialog is not None
    assert (request.method, request.request_uri, request.dialog.remote_tag) == ("BYE", AOR, TAG)


def test_a_200_after_a_cancel_is_of_no_use() -> None:
    session = inviting()._replace(cancelled=True)
    crossed = answered(session, body=sdp([7394]))
    assert (crossed.state, endings(crossed)) == ("open", [("sip", 408)])


def test_a_200_after_the_session_was_given_up_is_followed_by_a_bye() -> None:
    given_up = withdrawn(inviting(), 0)._replace(state="ended", asked="")
    session = answered(given_up, body=sdp([7394]))

    assert (session.state, session.due_ms) == ("open", NOW)
    request = stepped(session).request
    assert request is not None
    assert request.method == "BYE"


@pytest.mark.parametrize("code", [300, 404, 415, 486, 488, 500, 603])
def test_a_refusal_is_the_end_of_all_its_files(code: int) -> None:
    session = answered(inviting(2), code)
    assert (session.state, endings(session)) == ("ended", [("sip", code)] * 2)


def test_a_487_to_our_cancel_is_no_answer_in_time() -> None:
    session = answered(inviting()._replace(cancelled=True), 487)
    ending = session.streams[0].ending
    assert ending is not None
    assert (ending.code, ending.local) == (408, True)


@pytest.mark.parametrize("code", [487, 200, 603])
def test_what_was_withdrawn_keeps_its_ending(code: int) -> None:
    session = answered(withdrawn(inviting(2), 0), code, sdp([7394, 7394]))
    assert endings(session)[0] == ("us", 0)


def test_an_answer_to_another_request_changes_nothing() -> None:
    session = inviting()
    assert on_answer(session, said(session, 486, cseq=7), jitter=0) is None
    assert on_answer(gathering(), said(session, 200, sdp([7394]), cseq=1), jitter=0) is None
    opened = answered(session, body=sdp([7394]))
    assert on_answer(opened, said(session, 200, sdp([7394])), jitter=0) is None


def test_who_takes_it_second_gets_ack_and_bye() -> None:
    session = answered(inviting(), body=sdp([7394]))
    first = said(session)
    second = first._replace(heard=first.heard._replace(tag="second", record_route="<sip:a;lr>, <sip:b;lr>"))

    ack, bye = left_to_us(session, second)

    assert ack.dialog is not None
    assert bye.dialog is not None
    assert (ack.method, ack.dialog.cseq, ack.dialog.remote_tag) == ("ACK", 1, "second")
    assert (bye.method, bye.dialog.cseq, bye.next_hop) == ("BYE", 2, "sip:b;lr")
    assert left_to_us(session, first) == ()
    assert left_to_us(inviting(), second) == ()
    assert left_to_us(session, second._replace(cseq=2)) == ()
    assert left_to_us(session, second._replace(heard=second.heard._replace(contact=""))) == ()


def test_an_answer_that_comes_after_its_transaction_is_acknowledged_again() -> None:
    """RFC 3261 13.2.2.4: Kamailio does it for as long as it remembers the INVITE."""
    session = answered(inviting(), body=sdp([7394]))
    session = session._replace(dialog=session.dialog._replace(local_cseq=3))
    again = said(session, cseq=2)._replace(is_alone=True)

    (ack,) = left_to_us(session, again)

    assert ack.dialog is not None
    assert (ack.method, ack.dialog.cseq, ack.dialog.remote_tag, ack.request_uri) == (
        "ACK",
        2,
        session.dialog.remote_tag,
        session.dialog.remote_target,
    )
    assert left_to_us(session, again._replace(is_alone=False)) == ()
    assert left_to_us(session, again._replace(cseq=4)) == ()


def test_an_answer_to_an_invite_that_was_given_up_meanwhile_is_acknowledged_and_ended() -> None:
    """Its process has died: nobody waits for the answer."""
    given_up = over(inviting(), "its process died before the answer to the INVITE", NOW)
    late = said(given_up, cseq=1)._replace(is_alone=True)

    assert [one.method for one in left_to_us(given_up, late)] == ["ACK", "BYE"]
    assert left_to_us(given_up, late._replace(is_alone=False)) == ()
    assert left_to_us(inviting(), late) == ()


# re-INVITE ----------------------------------------------------------------------------------------


def reinvited() -> Session:
    """Two files, one done and being closed, one under way, and a third that is offered."""
    session = answered(inviting(2), body=sdp([7394, 7394]))
    session = ended(session, session.streams[:1], Ending("msrp", 200, "confirmed", NOW))
    third = session.streams[1]._replace(ticket="ticket2", path="msrp://h:1/x;tcp", state="wanted", line=-1)
    session = after(stepped(session._replace(streams=(*session.streams, third))))
    assert states(session) == ["closing", "agreed", "offered"]
    return session


def test_a_reinvite_closes_and_offers_in_one() -> None:
    session = answered(reinvited(), body=sdp([0, 7394, 7394]), contact="<sip:moved@192.0.2.10>")
    assert states(session) == ["closed", "agreed", "agreed"]
    assert session.dialog.remote_target == "sip:moved@192.0.2.10"
    assert session.asked == ""


def test_an_answer_that_leaves_a_closed_line_open_changes_nothing_about_it() -> None:
    assert states(answered(reinvited(), body=sdp([7394, 7394, 0]))) == ["closed", "agreed", "closed"]


def test_port_0_on_a_file_under_way_stops_it() -> None:
    session = answered(reinvited(), body=sdp([0, 0, 7394]))
    assert endings(session)[1] == ("msrp", LOST)


def test_a_collision_is_tried_again_after_a_while() -> None:
    session = answered(reinvited(), 491)
    assert states(session) == ["ended", "agreed", "wanted"]
    assert NOW + 2_100 <= session.due_ms <= NOW + 4_000
    assert stepped(session, session.due_ms - 1).request is None
    again = stepped(session, session.due_ms)
    assert again.request is not None
    assert again.request.method == "INVITE"
    assert states(after(again)) == ["closing", "agreed", "offered"]


@pytest.mark.parametrize("code", [488, 500, 603])
def test_a_refused_reinvite_leaves_what_is_under_way(code: int) -> None:
    session = answered(reinvited(), code)
    assert states(session) == ["ended", "agreed", "closed"]
    assert endings(session)[2] == ("sip", code)
    assert stepped(session, NOW + 60_000).request is None  # it is not asked again and again


@pytest.mark.parametrize("code", [408, 481])
def test_a_reinvite_that_finds_no_dialog_ends_everything(code: int) -> None:
    session = answered(reinvited(), code)
    assert endings(session) == [("msrp", 200), ("msrp", LOST), ("sip", code)]
    request = stepped(session).request
    assert request is not None
    assert request.method == "BYE"


@pytest.mark.parametrize("code", [200, 408, 481, 500])
def test_any_answer_to_a_bye_is_the_end(code: int) -> None:
    closing = after(stepped(answered(inviting(), body=sdp([0]))))
    assert answered(closing, code).state == "ended"


@given(st.binary(max_size=400), st.integers(100, 699), st.booleans(), st.text(max_size=40))
def test_no_answer_breaks_a_session(body: bytes, code: int, local: bool, contact: str) -> None:
    for session in (inviting(2), reinvited()):
        new = on_answer(session, said(session, code, body, local=local, contact=contact), jitter=0.1)
        assert new is None or new.state in ("open", "ended")
