"""What a Refer-To may make us send."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omapush.errors import MalformedSip
from omapush.protocol.refer_to import Referral, read_refer_to

PUSH = (
    "<sip:alice@home1.example;method=SUBSCRIBE?Event=ua-profile%3Bprofile-type%3Doma-app"
    "&Accept-Contact=%2A%3B%2Bg.oma.pusheventapp%3D%22ulp.ua%22>"
)


@pytest.mark.req("PRA-REF-6")
def test_the_request_is_formed_without_method_parameter_and_with_escapes_undone() -> None:
    assert read_refer_to((PUSH,)) == Referral(
        "SUBSCRIBE",
        "sip:alice@home1.example",
        {
            "Event": "ua-profile;profile-type=oma-app",
            "Accept-Contact": '*;+g.oma.pusheventapp="ulp.ua"',
        },
    )


def test_other_uri_parameters_stay_and_accept_is_not_dictated() -> None:
    referral = read_refer_to(
        ("<sip:psa@x.example;gr=a1;method=SUBSCRIBE?o=ua-profile&Accept=a%2Fb&Expires=60>",)
    )

    assert referral.uri == "sip:psa@x.example;gr=a1"
    assert referral.headers == {"Event": "ua-profile", "Expires": "60"}


@pytest.mark.parametrize(
    "values",
    [
        (),
        (PUSH, PUSH),
        (f"{PUSH}, {PUSH}",),
        ("<tel:+1234567>",),
        ("<http://x.example/>",),
        ("<sip:a@x.example;method=SUBSCRIBE;method=INVITE>",),
        ("<sip:a@x.example?Route=%3Csip%3Ab%3E>",),
        ("<sip:a@x.example?From=x>",),
        ("<sip:a@x.example?Event=a&Event=b>",),
        ("<sip:a@x.example?Event=a%0D%0AX%3A%20y>",),
        ("<sip:a@x.example?Event=%FF>",),
        ("<sip:a@x.example?=x>",),
    ],
)
def test_what_would_take_more_than_it_may_is_refused(values: tuple[str, ...]) -> None:
    with pytest.raises(MalformedSip, match="Refer-To"):
        read_refer_to(values)


@pytest.mark.parametrize("length", range(len(PUSH)))
def test_every_beginning_is_read_or_a_typed_error(length: int) -> None:
    with suppress(MalformedSip):
        read_refer_to((PUSH[:length],))


@given(st.text(max_size=80) | st.text(max_size=40).map(lambda text: f"<sip:a@x.example?{text}>"))
def test_any_text_is_read_or_a_typed_error(value: str) -> None:
    with suppress(MalformedSip):
        referral = read_refer_to((value,))
        assert all("\n" not in text and "\r" not in text for text in referral.headers.values())
