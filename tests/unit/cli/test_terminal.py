"""Words for people: lengths of time, SIP statuses, results, doubts."""

import json
from typing import Any

import pytest

from omapush.cli import terminal
from omapush.cli.push_view import outcome_line
from omapush.cli.registrations import as_dict, doubts
from omapush.push.registration import Contact, Registration
from omapush.push.values import Result

NOW_MS = 1_800_000_000_000
CONTACT = Contact(
    uri="sip:alice@192.0.2.1",
    expires_ms=NOW_MS + 60_000,
    applications=("mms.ua",),
    features=(("+g.oma.pusheventapp", "mms.ua"),),
    instance="",
    gruu="",
    q=None,
    source="register",
    at_ms=NOW_MS,
)
RECORD = Registration(
    version=1,
    aor="sip:alice@home1.example",
    s_cscf="sip:127.0.0.1:6060",
    path="",
    expires_ms=NOW_MS + 60_000,
    contacts=(CONTACT,),
    associated=(),
    charging="",
    service_info="",
    said_gone_ms=0,
    at_ms=NOW_MS,
)


@pytest.mark.parametrize(
    ("milliseconds", "words"),
    [
        (0, "0 ms"),
        (999, "999 ms"),
        (1_500, "1.5 s"),
        (-1_500, "1.5 s"),
        (90_000, "2 min"),
        (7_200_000, "2 h"),
        (86_400_000, "24 h"),
        (604_800_000, "7 d"),
    ],
)
def test_a_span_has_the_unit_that_reads_best(milliseconds: int, words: str) -> None:
    assert terminal.span(milliseconds) == words


@pytest.mark.parametrize(
    ("code", "words"),
    [(200, "200 OK"), (480, "480 Temporarily Unavailable"), (699, "699"), (0, "no answer")],
)
def test_a_sip_status_has_its_words(code: int, words: str) -> None:
    assert terminal.sip_status(code) == words


def test_a_delivery_is_one_line() -> None:
    result = Result("delivered", "1000", "delivered (200 OK)", "MESSAGE", 200, 1, NOW_MS + 12)
    assert outcome_line(result, NOW_MS) == "delivered  200 OK  MESSAGE  in 12 ms"


def test_a_failure_says_why() -> None:
    result = Result("undeliverable", "2006", "needs another method", "", 0, 1, NOW_MS + 5)
    assert outcome_line(result, NOW_MS) == "undeliverable  not sent  in 5 ms  2006 needs another method"


def test_a_device_that_stayed_silent_is_not_shown_as_not_sent() -> None:
    result = Result("timeout", "5028", "no answer", "MESSAGE", 0, 1, NOW_MS + 32_000)
    assert outcome_line(result, NOW_MS).startswith("timeout  no answer  MESSAGE")


def test_a_complete_record_leaves_no_doubt() -> None:
    assert doubts(RECORD, NOW_MS) == []


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"said_gone_ms": NOW_MS - 5_000}, "Expires 0"),
        ({"contacts": ()}, "push applications are not known"),
        ({"s_cscf": ""}, "core.next_hop"),
        ({"problems": ("body: not XML",)}, "body: not XML"),
    ],
)
def test_what_makes_a_record_doubtful_is_said(change: dict[str, Any], word: str) -> None:
    [doubt] = doubts(RECORD._replace(**change), NOW_MS)
    assert word in doubt


def test_a_user_whose_registration_ended_is_not_registered() -> None:
    shown = as_dict(RECORD, NOW_MS + 61_000)
    assert shown["registered"] is False
    assert shown["applications"] == []
    assert [contact["uri"] for contact in shown["contacts"]] == ["sip:alice@192.0.2.1"]


@pytest.mark.parametrize(
    "evil", ["\x1b]0;title\x07", "\x1b[2K", "a\rb", "\x9b31m", "\x7f", "\x00", "\u202efdp", "\u2066"]
)
def test_what_others_said_does_not_steer_the_terminal(evil: str, capsys: pytest.CaptureFixture[str]) -> None:
    listing = terminal.table("WHO")
    listing.add_row(f"row {evil}")
    terminal.console().print(listing)
    terminal.console().print(terminal.pairs([("name", f"pair {evil}")]))
    terminal.console().print(f"line {evil}\n  next", markup=False)
    terminal.print_json({"a": f"json {evil}"})

    said = capsys.readouterr().out
    assert [word in said for word in ("row ", "pair ", "line ", "  next", "json ")] == [True] * 5
    steering = (*range(32), *range(127, 160), *range(0x202A, 0x202F), *range(0x2066, 0x206A))
    assert not set(said) & {chr(code) for code in steering} - {"\n"}
    assert json.loads(said[said.index("{") :]) == {"a": f"json {evil}"}
