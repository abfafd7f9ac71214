"""The ladder: one line an event, arrows between the parties that spoke."""

from omapush.cli.ladder import draw
from omapush.push.values import Event, Recipient, Result
from omapush.store.pushes import Known
from omapush.views.ladder import LANES, last, steps
from tests.harness.values import a_push

START_MS = 1_800_000_000_000
PUSH = a_push(
    ref="0123456789abcdef0123",
    initiator="demo",
    push_id="1@provider.example",
    size=5,
    notify_url="http://127.0.0.1:9/results",
    accepted_ms=START_MS,
    deliver_before_ms=START_MS + 60_000,
    deadline_given=True,
)
DELIVERED = Result("delivered", "1000", "delivered (200 OK)", "MESSAGE", 200, 1, START_MS + 12)
ACCEPTED = Event(START_MS, -1, "accepted", "1 recipient(s), 5 bytes")
SENT = Event(START_MS + 2, 0, "sent", "MESSAGE try 1 to sip:127.0.0.1:6060;lr (500 of 1300 bytes)")
FINAL = Event(START_MS + 12, 0, "final", "delivered (200 OK) after 10 ms")
NOTIFIED = Event(START_MS + 20, 0, "notified", "delivered 1000 told")
INITIATOR, API, OUTBOX, CORE = range(len(LANES))


def known(*events: Event, recipients: int = 1) -> Known:
    """A push with that event log."""
    return Known(
        push=PUSH,
        recipients=tuple(
            Recipient(f"sip:{n}@home1.example", f"sip:{n}@home1.example") for n in range(recipients)
        ),
        results=(DELIVERED,) * recipients,
        events=events,
    )


def arrows(*events: Event) -> list[tuple[int, int, str]]:
    """The steps of an event log."""
    return [(step.start, step.end, step.label) for step in steps(events)]


def test_a_delivery_goes_from_the_initiator_to_the_device_and_back() -> None:
    assert arrows(ACCEPTED, SENT, FINAL, NOTIFIED) == [
        (INITIATOR, API, "push"),
        (OUTBOX, CORE, "MESSAGE"),
        (CORE, OUTBOX, "200"),
        (OUTBOX, INITIATOR, "result"),
    ]


def test_a_final_result_without_a_request_has_no_arrow_from_the_core() -> None:
    expired = FINAL._replace(text="deliver-before passed while it waited")
    assert arrows(ACCEPTED, expired)[1] == (OUTBOX, OUTBOX, "")


def test_a_result_belongs_to_the_request_of_its_own_recipient() -> None:
    assert arrows(SENT, FINAL._replace(recipient=1)) == [(OUTBOX, CORE, "MESSAGE"), (OUTBOX, OUTBOX, "")]


def test_the_second_result_of_one_request_has_no_arrow() -> None:
    assert arrows(SENT, FINAL, FINAL)[2] == (OUTBOX, OUTBOX, "")


def test_a_timeout_of_our_own_shows_that_nobody_answered() -> None:
    silent = FINAL._replace(
        name="retry", text="no answer (no response within the transaction) after 32000 ms"
    )
    assert arrows(SENT, silent)[1] == (CORE, OUTBOX, "no answer")


def test_an_initiator_that_did_not_answer_is_seen() -> None:
    assert arrows(Event(START_MS, 0, "notify-failed", "connection refused")) == [
        (OUTBOX, INITIATOR, "no answer")
    ]


def test_an_event_of_a_later_release_is_shown_too() -> None:
    assert arrows(Event(START_MS, 0, "handed-over", "")) == [(OUTBOX, OUTBOX, "")]


def test_arrows_end_at_their_lanes() -> None:
    header, push, message, answer, result = draw(known(ACCEPTED, SENT, FINAL, NOTIFIED), width=200)
    first = header.index("initiator") + len("initiator") // 2
    lanes = [at for at, character in enumerate(message) if character == "|"][: len(LANES)]
    assert lanes[0] == first
    assert push[lanes[API] - 1 : lanes[API] + 1] == ">|"
    assert message[lanes[CORE] - 1 : lanes[CORE] + 1] == ">|"
    assert answer[lanes[OUTBOX] : lanes[OUTBOX] + 2] == "|<"
    assert result[first : first + 2] == "|<"


def test_the_first_line_shows_the_time_of_day_and_the_others_how_much_later_they_came() -> None:
    lines = draw(known(ACCEPTED, SENT, FINAL), width=200)
    assert [line.partition("|")[0].strip() for line in lines[1:]] == ["08:00:00.000", "+0.002 s", "+0.012 s"]


def test_long_texts_go_on_below_and_keep_the_lanes() -> None:
    lines = draw(known(SENT._replace(text="word " * 60)), width=100)
    assert len(lines) > 3
    assert all(len(line) <= 100 for line in lines)
    assert all(line.count("|") == len(LANES) for line in lines[1:])


def test_a_request_comes_before_its_answer_of_the_same_millisecond() -> None:
    """The log gets both from different processes, in any order."""
    lines = draw(known(ACCEPTED, FINAL._replace(at_ms=SENT.at_ms), SENT), width=200)
    assert ["MESSAGE -->" in lines[2], "<--- 200" in lines[3]] == [True, True]


def test_recipients_are_numbered_only_when_there_are_several() -> None:
    assert "[0]" not in draw(known(SENT), width=200)[1]
    assert "sent [0]: MESSAGE" in draw(known(SENT, recipients=2), width=200)[1]


def test_a_push_without_events_has_only_the_header() -> None:
    assert len(draw(known())) == 1


def test_the_latest_event_of_a_name_is_found() -> None:
    again = NOTIFIED._replace(at_ms=START_MS + 99, name="notify-failed")
    assert last((SENT, NOTIFIED, again), 0, "notified", "notify-failed") == again
    assert last((SENT, NOTIFIED), 1, "notified") is None
