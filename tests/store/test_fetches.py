"""Fetches by link: the result waits for the last byte, whichever of fetch and SIP answer is stored first."""

from omapush.push import link_outcome
from omapush.push.outcome import TAKEN_CODE
from omapush.push.values import PENDING, Event, Result
from omapush.store import contents, fetches, pushes
from omapush.store.client import Store
from omapush.store.fetches import Awaited, Progress
from tests.store.conftest import NOW_MS, Make
from tests.store.test_pushes import finish, known

LINK_TAKEN = Result(PENDING, TAKEN_CODE, "the device has the link", "MESSAGE", 200, 1, NOW_MS)
UNTIL_MS = NOW_MS + 60_000


def accepted(store: Store, make: Make, *aors: str) -> str:
    one = make.submission(*aors)
    pushes.accept_all(store, [one])
    contents.link(store, one.push.ref, UNTIL_MS)
    return one.push.ref


def awaited(ref: str, recipient: int = 0) -> Awaited:
    return Awaited(ref, recipient, LINK_TAKEN, Event(NOW_MS, recipient, "reply", "taken"), UNTIL_MS)


def note(store: Store, ref: str, given: range, size: int = 100, recipient: int = 0) -> Progress:
    part, whole = Event(NOW_MS, recipient, "fetch", "part"), Event(NOW_MS, recipient, "fetched", "all")
    return fetches.note(store, ref, recipient, given, size, event=part, complete=whole)


def names(store: Store, ref: str) -> list[str]:
    return [event.name for event in known(store, ref).events]


def test_the_answer_leaves_the_result_open_until_the_last_byte_was_given(store: Store, make: Make) -> None:
    ref = accepted(store, make)
    assert fetches.wait_for(store, [awaited(ref)]) == [False]
    assert known(store, ref).results[0] == LINK_TAKEN

    assert note(store, ref, range(40)) == "part"
    assert note(store, ref, range(50, 100)) == "part"
    assert note(store, ref, range(40, 100)) == "complete and waited for"
    assert names(store, ref) == ["accepted", "reply", "fetch", "fetch", "fetched"]


def test_a_fetch_before_the_answer_is_stored_makes_the_answer_final(store: Store, make: Make) -> None:
    ref = accepted(store, make, "sip:a@home1.example", "sip:b@home1.example")

    assert note(store, ref, range(100)) == "complete"
    assert fetches.wait_for(store, [awaited(ref), awaited(ref, 1)]) == [True, False]
    assert fetches.wait_for(store, [awaited(ref)]) == [True]
    assert names(store, ref).count("reply") == 2


def test_a_recipient_that_is_final_waits_for_nothing(store: Store, make: Make) -> None:
    ref = accepted(store, make)
    finish(store, ref)

    assert fetches.wait_for(store, [awaited(ref), awaited("0" * 20)]) == [None, None]
    assert note(store, ref, range(100)) == "complete"
    assert fetches.due(store, UNTIL_MS) == []


def test_empty_content_is_there_with_the_first_fetch(store: Store, make: Make) -> None:
    ref = accepted(store, make)
    fetches.wait_for(store, [awaited(ref)])

    assert note(store, ref, range(0), size=0) == "complete and waited for"


def test_links_that_have_run_out_are_due_until_they_are_closed(store: Store, make: Make) -> None:
    ref = accepted(store, make, "sip:a@home1.example", "sip:b@home1.example")
    fetches.wait_for(store, [awaited(ref), awaited(ref, 1)])
    note(store, ref, range(100))

    assert fetches.due(store, UNTIL_MS - 1) == []
    found = {one.recipient: one.is_fetched for one in fetches.due(store, UNTIL_MS)}
    assert found == {0: True, 1: False}
    fetches.close(store, [(ref, 0), (ref, 1)])
    assert fetches.due(store, UNTIL_MS) == []


def test_what_a_link_leads_to(store: Store, make: Make) -> None:
    one = make.submission()
    pushes.accept_all(store, [one])
    assert fetches.served(store, one.push.ref, 0) is None
    secret = contents.link(store, one.push.ref, UNTIL_MS)

    served = fetches.served(store, one.push.ref, 0)
    assert served == (one.push, secret, one.results[0], False)
    stranger = fetches.served(store, one.push.ref, 1)
    assert stranger is not None
    assert stranger.result is None


def test_what_was_said_by_sip_stays_in_the_final_result() -> None:
    result = link_outcome.result(link_outcome.fetched(), LINK_TAKEN, NOW_MS + 5)

    assert (result.state, result.code, result.method, result.sip_code) == (
        "delivered",
        "1000",
        "MESSAGE",
        200,
    )
    expired = link_outcome.result(link_outcome.run_out(), LINK_TAKEN, NOW_MS + 5)
    assert (expired.state, expired.code, expired.sip_code) == ("expired", "5028", 200)
