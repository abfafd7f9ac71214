"""P-Charging-Vector of third-party REGISTERs and of our answers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omapush.errors import MalformedSip
from omapush.protocol import charging_vector
from omapush.protocol.charging_vector import ChargingVector, answer_to

QUOTED = (
    'icid-value="1a;2b";icid-generated-at=192.0.2.1;orig-ioi="Type 3home1.example";term-ioi=home2.example'
)


@pytest.mark.parametrize(
    ("value", "vector"),
    [
        ("icid-value=lab-30705-1;orig-ioi=ims.lab", ChargingVector("lab-30705-1", orig_ioi="ims.lab")),
        (QUOTED, ChargingVector("1a;2b", "192.0.2.1", "Type 3home1.example", "home2.example")),
        ('ICID-Value = "a\\"b" ; transit-ioi="x.1, y.2";related-icid=7;flag', ChargingVector('a"b')),
        ("orig-ioi=a;icid-value=1;icid-value=2", ChargingVector("1", orig_ioi="a")),
        ("icid-value=1;icid-generated-at=[2001:db8::1]", ChargingVector("1", "[2001:db8::1]")),
    ],
)
def test_a_charging_vector_is_read_with_and_without_quotes(value: str, vector: ChargingVector) -> None:
    assert vector == ChargingVector.parse(value)
    assert vector == ChargingVector.parse(str(vector))


@pytest.mark.parametrize(
    "value",
    [
        "",
        "orig-ioi=a",
        "icid-value",
        "icid-value=",
        'icid-value=""',
        'icid-value="1',
        "icid-value=\x01",
        "icid-value=1;orig-ioi=a\r\nRoute: <sip:x>",
        "icid-value=" + "1" * 1024,
    ],
)
def test_a_charging_vector_that_identifies_nothing_is_refused(value: str) -> None:
    with pytest.raises(MalformedSip, match=r"^P-Charging-Vector: "):
        ChargingVector.parse(value)


@pytest.mark.req("PSA-REG-1")
@pytest.mark.parametrize("own_ioi", ["home1.example", "Type 3home1.example"])
def test_the_answer_repeats_icid_and_origin_and_adds_our_operator(own_ioi: str) -> None:
    assert (
        answer_to(QUOTED, own_ioi)
        == 'icid-value="1a;2b";orig-ioi="Type 3home1.example";term-ioi="Type 3home1.example"'
    )


def test_the_answer_makes_up_no_origin() -> None:
    assert answer_to("icid-value=7", "home1.example") == 'icid-value="7";term-ioi="Type 3home1.example"'


@pytest.mark.parametrize("received", ["", "nonsense", 'icid-value="'])
def test_what_cannot_be_read_is_not_answered(received: str) -> None:
    assert answer_to(received, "home1.example") is None


@given(st.text(max_size=30) | st.text(alphabet='abc=;"\\ \r\n\x00', max_size=30).map("icid-value={}".format))
def test_any_text_gives_a_vector_that_can_be_written_or_the_typed_error(value: str) -> None:
    try:
        vector = ChargingVector.parse(value)
    except MalformedSip:
        assert answer_to(value, "home1.example") is None
        return
    assert vector == ChargingVector.parse(str(vector))


def test_a_charging_vector_cut_anywhere_is_read_or_refused() -> None:
    for end in range(len(QUOTED)):
        answer = answer_to(QUOTED[:end], "home1.example")
        assert answer is None or answer.startswith('icid-value="1a;2b"')


@given(st.from_regex(charging_vector._USUAL, fullmatch=True))
def test_the_usual_form_is_answered_as_any_other(value: str) -> None:
    vector = ChargingVector.parse(value)
    ours = ChargingVector(vector.icid_value, None, vector.orig_ioi, "Type 3home1.example")

    assert answer_to(value, "home1.example") == str(ours)
