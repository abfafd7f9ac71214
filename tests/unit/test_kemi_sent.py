"""What travels with a request through Kamailio, in the room that Kamailio gives."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from sent import LONGEST_WORD, Answered, InSubscription, Sent

KAMAILIO_TAKES = 128
"Bytes of $uac_req(evparam), the end of its C string included."
LONGEST_TICKET = "f" * 16 + "9" * 16 + "f" * 20 + ".99999999"
NOTIFY = InSubscription("f" * 32, 2**31 - 1, True)


@pytest.mark.parametrize("notify", [None, NOTIFY, replace(NOTIFY, others=False)])
@pytest.mark.parametrize("ticket", [f"{'f' * 16}{'0' * 36}.0", LONGEST_TICKET])
def test_the_reference_comes_back_as_it_went_and_fits(ticket: str, notify: InSubscription | None) -> None:
    longest = Sent(
        ticket,
        255,
        65_535,
        9_999_999_999_999,
        63,
        "ffff",
        9_999_999_999_999,
        True,
        notify,
        fetch=notify is None,
    )

    assert Sent.unpack(longest.pack()) == longest
    assert len(longest.pack()) < KAMAILIO_TAKES


def test_a_push_that_waits_for_its_user_may_be_tried_more_often_than_a_plan_counts() -> None:
    often = Sent(LONGEST_TICKET, 1_000, 0, 1, 0, "0000", 2, False)

    assert Sent.unpack(often.pack()) == replace(often, attempt=255)


@given(st.integers(100, 699), st.booleans(), st.text(), st.text(), st.text())
def test_a_peers_words_cannot_break_the_answer_on_its_way(
    code: int, local: bool, retry_after: str, reason: str, warning: str
) -> None:
    back = Answered.unpack(Answered(code, local, 1, retry_after, reason, warning).pack())

    assert (back.sip_code, back.local, back.at_ms) == (code, local, 1)
    assert back.reason == reason[:LONGEST_WORD].replace("\t", " ")


def test_the_time_alone_is_a_200_of_the_device() -> None:
    assert Answered.unpack("1764130000.004567") == Answered(200, False, 1_764_130_000_004, "", "OK", "")
