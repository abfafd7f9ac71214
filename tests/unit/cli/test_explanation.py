"""Where a recipient stands, in plain words, for each place that a delivery can be in."""

from typing import Any

import pytest

from omapush.config import Config
from omapush.push.values import Event, Result
from omapush.store import client, outbox_views
from omapush.store.pushes import Known
from omapush.views import explanation
from omapush.views.explanation import Standing
from tests.unit.cli.test_ladder import ACCEPTED, DELIVERED, NOTIFIED, START_MS, known

CONFIG = Config(path="test.toml")
STORE = client.connect(CONFIG.redis)
PENDING = Result("pending", "1001", "queued", "", 0, 0, START_MS)


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Put the delivery somewhere, with or without an owner of its shard."""

    def put(where: str, *, until_ms: int = START_MS + 1_000) -> None:
        owner = {"until_ms": str(until_ms)}
        monkeypatch.setattr(outbox_views, "whereabouts", lambda *_: where)
        monkeypatch.setattr(outbox_views, "owners", lambda _: dict.fromkeys(range(16), owner))

    return put


def standing(push: Known) -> Standing:
    """How the only recipient stands."""
    [found] = explanation.standings(CONFIG, STORE, push, START_MS + 100)
    return found


def pending(*events: Event) -> Known:
    """A push without result."""
    return known(ACCEPTED, *events)._replace(results=(PENDING,))


@pytest.mark.parametrize(
    ("where", "now", "following"),
    [
        ("ready", "next in the user's queue", "takes it at once"),
        ("waiting", "behind an earlier push", "when the earlier one has its answer"),
        ("taken", "under way", "Without one for 40 s it is sent again"),
        ("later", "was not sent", "looked at again within seconds"),
        ("held", "no device of the user has the application", "at once when the user's registration"),
        ("nowhere", "not in the outbox", "notifier hands over"),
    ],
)
def test_a_pending_push_is_explained_where_it_is(place: Any, where: str, now: str, following: str) -> None:
    place(where)
    found = standing(pending())
    assert now in found.now
    assert following in found.next
    assert "It expires at 2027-01-15T08:01:00.000Z." in found.next


def test_what_a_relay_took_is_not_said_to_have_failed_or_to_be_sent_again(place: Any) -> None:
    place("later")
    taken = pending(Event(START_MS + 5, 0, "retry", "stored by a relay (202 Accepted)"))
    said = standing(taken._replace(results=(PENDING._replace(sip_code=202),)))
    assert said.now.startswith("A relay took it (202)")
    assert "not sent again" in said.next


def test_a_shard_without_owner_is_the_reason(place: Any) -> None:
    place("ready", until_ms=START_MS)
    assert "no sender process owns user shard" in standing(pending()).now


def test_a_retry_is_quoted(place: Any) -> None:
    place("later")
    retry = Event(START_MS + 5, 0, "retry", "busy (486 Busy Here) after 3 ms; try 2 at 08:00:02")
    assert "busy (486 Busy Here) after 3 ms; try 2 at 08:00:02" in standing(pending(retry)).now


def test_what_was_put_off_after_a_try_is_not_said_to_be_without_one(place: Any) -> None:
    place("later")
    tried = pending(Event(START_MS + 5, 0, "retry", "busy (486 Busy Here)"))
    assert "last try failed: busy (486 Busy Here)" in standing(tried).now


def test_a_push_that_waits_for_a_time_is_not_said_to_wait_for_a_device(place: Any) -> None:
    place("held")
    event = Event(START_MS + 5, 0, "held", "quiet hours until 07:00; looked at again at 07:00:12")
    said = standing(pending(event))
    assert "held: quiet hours until 07:00" in said.now
    assert said.next.startswith("It is looked at again at that time.")
    assert "device" not in said.next


def test_the_reason_of_a_hold_is_quoted(place: Any) -> None:
    place("held")
    event = Event(START_MS + 5, 0, "held", "none of 1 device fits; until devices or subscriptions change")
    now = standing(pending(event)).now
    assert "held: none of 1 device fits; until devices or subscriptions change." in now


@pytest.mark.parametrize("name", ["session", "sent", "reply"])
def test_a_push_that_a_session_carries_is_not_said_to_wait_for_a_device(place: Any, name: str) -> None:
    place("held")
    said = standing(pending(Event(START_MS + 5, 0, name, "INVITE was answered (200 OK)")))
    assert said.now == "A session carries it: INVITE was answered (200 OK)."
    assert said.next.startswith("It ends with the transfer.")


def test_a_final_result_says_whether_the_initiator_knows_it(place: Any) -> None:
    place("nowhere")
    assert "delivered (PAP 1000) 12 ms after acceptance" in standing(known(ACCEPTED)).now
    assert "will be told at http://127.0.0.1:9/results" in standing(known(ACCEPTED)).next
    assert "was told at" in standing(known(ACCEPTED, NOTIFIED)).next
    failed = NOTIFIED._replace(name="notify-failed", text="connection refused")
    assert "could not be told (connection refused)" in standing(known(ACCEPTED, failed)).next


def test_a_notification_that_was_given_up_is_not_said_to_be_tried_again(place: Any) -> None:
    place("nowhere")
    failed = NOTIFIED._replace(name="notify-failed", text="HTTP 500; again at 08:00:10")
    given_up = NOTIFIED._replace(name="notify-given-up", text="HTTP 500")
    assert standing(known(ACCEPTED, failed, given_up)).next == (
        "Nothing: the initiator could not be told (HTTP 500), and is not told any more."
    )


def test_an_initiator_that_did_not_ask_is_told_nothing(place: Any) -> None:
    place("nowhere")
    quiet = known(ACCEPTED)
    quiet = quiet._replace(push=quiet.push._replace(notify_url=""))
    assert quiet.results == (DELIVERED,)
    assert standing(quiet).next == "Nothing: the initiator did not ask to be told."
