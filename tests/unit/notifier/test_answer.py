"""What an initiator's HTTP answer to a notification means."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omapush.notifier.answer import LARGEST, Answer, read
from omapush.protocol import pap_values as pap
from omapush.protocol.pap_writer import write

XML = "application/xml"


def response(code: str) -> bytes:
    return write(pap.ResultNotificationResponse("id@pi", code, "in words", "sip:a@b.example"))


@pytest.mark.parametrize("status", [200, 202, 204, 299])
def test_any_2xx_without_a_word_is_taken(status: int) -> None:
    assert read(status, "", b"") == Answer("")
    assert read(status, "text/plain", b"thanks") == Answer("")


@pytest.mark.parametrize("status", [199, 300, 302, 404, 429, 500, 503])
def test_any_other_status_is_a_refusal_whatever_the_body_says(status: int) -> None:
    said = read(status, XML, response("1000"))
    assert said.refusal == f"HTTP {status}"
    assert said.is_well is (status not in {429, 500, 503})


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("1000", Answer("")),
        ("2004", Answer("", "PAP 2004 in words")),
        ("3000", Answer("PAP 3000 in words")),
        ("4001", Answer("PAP 4001 in words")),
    ],
)
def test_a_pap_code_of_class_3_or_4_asks_for_a_repeat_and_one_of_class_2_is_remarked(
    code: str, said: Answer
) -> None:
    assert read(200, XML, response(code)) == said


def test_a_badmessage_is_taken_and_remarked_for_a_repeat_would_be_as_bad() -> None:
    assert read(200, XML, write(pap.BadMessage("2000", "what?"))) == Answer("", "badmessage 2000 what?")


def test_what_is_no_pap_or_too_long_is_taken_and_remarked() -> None:
    assert read(200, XML, b"<html/>").remark.startswith("answer cannot be read")
    assert read(200, XML, b"x" * (LARGEST + 1)) == Answer("", f"answer is larger than {LARGEST} bytes")


@given(
    st.integers(100, 599), st.sampled_from(["", XML, "text/xml; charset=x", "xml"]), st.binary(max_size=80)
)
def test_any_answer_is_judged(status: int, content_type: str, body: bytes) -> None:
    assert bool(read(status, content_type, body).refusal) == (not 200 <= status < 300)
