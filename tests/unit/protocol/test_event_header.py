"""The Event header: package, parameters, and what is none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omapush.errors import MalformedSip
from omapush.protocol.event_header import MOST_EVENT_PARAMS, EventType, parse_event

DEVICE = (
    'ua-profile;profile-type=device;vendor="maker.example";model="http://u.example/p;x=1,2";version="3\\"1"'
)


def test_a_package_alone_has_no_parameters() -> None:
    assert parse_event("reg") == EventType("reg")
    assert parse_event("presence.winfo").package == "presence.winfo"


def test_quotes_hide_separators_and_are_taken_off_with_their_escapes() -> None:
    assert parse_event(DEVICE) == EventType(
        "ua-profile",
        {
            "profile-type": "device",
            "vendor": "maker.example",
            "model": "http://u.example/p;x=1,2",
            "version": '3"1',
        },
    )


def test_spaces_folds_and_the_case_of_names_make_no_difference() -> None:
    value = 'ua-profile ;\r\n Profile-Type = "oma-app"; effective-by'

    assert parse_event(value).params == {"profile-type": "oma-app", "effective-by": ""}


@pytest.mark.parametrize(
    "value",
    [
        "",
        ";id=1",
        "reg event",
        ".reg",
        "reg.",
        "reg;",
        "reg;=1",
        "reg;a=b=c",
        'reg;a="b',
        "reg;id=1;ID=2",
        "reg" + "".join(f";p{n}" for n in range(MOST_EVENT_PARAMS + 1)),
        "r" * 65,
        "\u0661",
    ],
)
def test_what_is_no_event_is_refused_with_its_field(value: str) -> None:
    with pytest.raises(MalformedSip) as refused:
        parse_event(value)

    assert refused.value.field == "Event"


def read(text: str) -> EventType | None:
    """The event, or None when it is refused; any other exception fails the test."""
    try:
        return parse_event(text)
    except MalformedSip:
        return None


@pytest.mark.parametrize("end", range(len(DEVICE)))
def test_every_prefix_is_read_or_refused(end: int) -> None:
    event = read(DEVICE[:end])

    assert event is None or "ua-profile".startswith(event.package)


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    event = read(text)

    assert event is None or (event.package and len(event.params) <= MOST_EVENT_PARAMS)
