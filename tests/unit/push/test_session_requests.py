"""Requests of the device in a session's dialog: who may, in which state, and what becomes of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omapush.protocol.sdp import SessionDescription, direction
from omapush.push.dialog import Heard
from omapush.push.session import LOST, Ending, Session, ended
from omapush.push.session_answers import on_answer
from omapush.push.session_offer import described
from omapush.push.session_requests import Asked, comes_early, on_request
from tests.unit.push.sessions import CONTACT, NOW, TAG, after, gathering, inviting, said, sdp, stepped


def opened(number: int = 2, setup: str = "passive") -> Session:
    session = inviting(number)
    new = on_answer(session, said(session, body=sdp([7394] * number, setup=setup)), jitter=0)
    assert new is not None
    return new


def asked(
    session: Session, method: str, body: bytes = b"", *, cseq: int = 5, contact: str = CONTACT
) -> Asked:
    dialog = session.dialog
    return Asked(
        method=method,
        call_id=dialog.call_id,
        our_tag=dialog.local_tag,
        heard=Heard(TAG, cseq, contact, ""),
        content_type="application/sdp" if body else "",
        body=body,
        contact="sip:192.0.2.20:5070",
        at_ms=NOW,
    )


def status(session: Session | None, request: Asked) -> int:
    return on_request(session, request)[0].status


def test_a_bye_ends_what_is_under_way_and_leaves_what_was_done() -> None:
    session = opened()
    session = ended(session, session.streams[:1], Ending("msrp", 200, "confirmed", NOW))

    answer, new = on_request(session, asked(session, "BYE"))

    assert (answer.status, answer.body) == (200, "")
    assert new is not None
    assert new.state == "ended"
    assert [one.ending and one.ending.code for one in new.streams] == [200, LOST]


def test_a_bye_that_crosses_ours_is_answered() -> None:
    session = opened(1)
    done = ended(session, session.streams, Ending("msrp", 200, "confirmed", NOW))
    closing = after(stepped(done))
    assert closing.state == "closing"
    assert status(closing, asked(closing, "BYE")) == 200
    assert status(closing, asked(closing, "INVITE", sdp([7394]))) == 481


def test_what_comes_before_the_answer_to_our_invite_is_stored_waits_for_it() -> None:
    session = inviting(1)
    request = asked(session, "BYE")
    known = opened(1)

    assert comes_early(session, request)
    assert not comes_early(session, request._replace(our_tag="other"))
    assert not comes_early(None, request)
    assert not comes_early(known, asked(known, "BYE"))
    assert status(known, asked(known, "BYE")) == 200


@pytest.mark.parametrize("method", ["BYE", "INVITE", "UPDATE"])
def test_who_is_not_in_the_dialog_gets_481(method: str) -> None:
    session = opened()
    request = asked(session, method)
    strangers = [
        request._replace(call_id="other"),
        request._replace(our_tag="other"),
        request._replace(heard=request.heard._replace(tag="other")),
    ]
    assert [on_request(session, one) for one in strangers] == [on_request(None, request)] * 3
    assert status(None, request) == 481
    assert status(gathering(), asked(gathering(), method)) == 481
    assert status(session._replace(state="ended"), request) == 481


@pytest.mark.parametrize("method", ["INFO", "MESSAGE", "REFER", "X-UNHEARD-OF"])
def test_what_has_no_place_in_a_session_is_refused_and_the_session_goes_on(method: str) -> None:
    session = opened()
    answer, new = on_request(session, asked(session, method))
    assert answer.status == 405
    assert "BYE" in dict(answer.headers)["Allow"]
    assert new is not None
    assert new == session._replace(dialog=session.dialog._replace(remote_cseq=5), at_ms=NOW)
    assert status(None, asked(session, method)) == 481


def test_a_number_that_goes_back_gets_500() -> None:
    session = opened()
    _, new = on_request(session, asked(session, "UPDATE", cseq=7))
    assert new is not None
    assert status(new, asked(new, "UPDATE", cseq=7)) == 500
    assert status(new, asked(new, "BYE", cseq=8)) == 200


def test_an_update_refreshes_the_contact() -> None:
    session = opened()
    answer, new = on_request(session, asked(session, "UPDATE", contact="<sip:moved@192.0.2.10>"))
    assert (answer.status, answer.body) == (200, "")
    assert new is not None
    assert new.dialog.remote_target == "sip:moved@192.0.2.10"


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
@pytest.mark.parametrize(("theirs", "ours"), [("passive", "active"), ("active", "passive")])
def test_an_offer_that_changes_nothing_is_answered_as_an_answer(method: str, theirs: str, ours: str) -> None:
    """The role that was agreed on, and never `actpass`, which only an offer may have (RFC 4145 4)."""
    session = opened(setup=theirs)
    answer, new = on_request(session, asked(session, method, sdp([7394, 7394], setup="actpass")))
    assert answer.status == 200
    assert ("Content-Type", "application/sdp") in answer.headers
    assert new is not None
    assert new.streams == session.streams
    answered = SessionDescription.parse(answer.body.encode())
    offered = SessionDescription.parse(described(new))
    assert [one.attribute("setup") for one in answered.media] == [ours, ours]
    assert [one.attribute("setup") for one in offered.media] == ["actpass", "actpass"]
    assert [direction(one.attributes) for one in answered.media] == ["sendonly", "sendonly"]
    assert answered.origin.version == session.sdp_version + 1


def test_a_device_that_holds_its_files_is_answered_inactive() -> None:
    session = opened()
    offer = sdp([7394, 7394]).replace(b"a=recvonly", b"a=inactive", 1)
    answer, held = on_request(session, asked(session, "INVITE", offer))
    answered = SessionDescription.parse(answer.body.encode())
    assert [direction(one.attributes) for one in answered.media] == ["inactive", "sendonly"]
    assert held is not None
    assert [one.held for one in held.streams] == [True, False]
    assert held.why == "the device holds 1 of its files"

    _, goes_on = on_request(held, asked(held, "INVITE", sdp([7394, 7394]), cseq=6))

    assert goes_on is not None
    assert goes_on.streams == session.streams
    assert goes_on.why == "the device holds no file any more"


def test_without_an_offer_a_device_gets_ours() -> None:
    session = opened()
    answer, _ = on_request(session, asked(session, "INVITE"))
    assert answer.body == described(session).decode()
    assert "a=setup:actpass" in answer.body


def test_port_0_stops_a_file_and_makes_a_new_version() -> None:
    session = opened()
    answer, new = on_request(session, asked(session, "INVITE", sdp([0, 7394])))
    assert new is not None
    assert [one.state for one in new.streams] == ["closed", "agreed"]
    assert new.streams[0].ending is not None
    assert (new.sdp_version, new.due_ms) == (session.sdp_version + 1, NOW)
    assert "m=message 0 " in answer.body


@pytest.mark.parametrize(
    "offer",
    [
        sdp([7394]),
        sdp([7394] * 3),
        sdp([7394, 7394]).replace(b"7394/d1", b"7395/d1"),
    ],
)
def test_what_would_change_more_gets_488(offer: bytes) -> None:
    session = opened()
    answer, new = on_request(session, asked(session, "INVITE", offer))
    assert answer.status == 488
    assert new is not None
    assert new.streams == session.streams


def test_a_line_that_was_closed_stays_closed() -> None:
    session = opened()
    _, new = on_request(session, asked(session, "INVITE", sdp([0, 7394])))
    assert new is not None
    assert status(new, asked(new, "INVITE", sdp([7394, 7394]), cseq=6)) == 488


def test_another_body_gets_415_and_a_broken_one_400() -> None:
    session = opened()
    assert status(session, asked(session, "INVITE", b"x")._replace(content_type="text/plain")) == 415
    assert status(session, asked(session, "INVITE", b"x")) == 400
    assert status(session, asked(session, "UPDATE", contact="<sip:x")) == 400


def test_a_request_that_meets_ours_gets_491() -> None:
    session = opened()._replace(asked="INVITE")
    assert status(session, asked(session, "INVITE", sdp([7394, 7394]))) == 491


@given(st.sampled_from(["BYE", "INVITE", "UPDATE", "INFO"]), st.binary(max_size=300), st.text(max_size=30))
def test_no_request_breaks_a_session(method: str, body: bytes, contact: str) -> None:
    session = opened()
    answer, _ = on_request(session, asked(session, method, body, contact=contact))
    assert 200 <= answer.status < 600
