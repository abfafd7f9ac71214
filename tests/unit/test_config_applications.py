"""What the configuration says about applications without a device, and about routing to applications."""

from typing import Any

import pytest

from omapush import config
from omapush.errors import BadConfiguration

TABLE = 'application."x.ua"'


def profile(**keys: Any) -> dict[str, Any]:
    return {"application": {"x.ua": keys}}


def application(**keys: Any) -> config.Application:
    return config.parse(profile(**keys), "omapush.toml").profile("x.ua")


@pytest.mark.req("PROP-ARI-5")
@pytest.mark.parametrize(
    ("keys", "no_match", "unregistered"),
    [
        ({}, "send", "send"),
        ({"accept_contact": "none"}, "send", "send"),
        ({"accept_contact": "strict"}, "refuse", "send"),
        ({"accept_contact": "strict", "no_match": "send"}, "send", "send"),
        ({"no_match": "refuse"}, "refuse", "refuse"),
        ({"no_match": "hold"}, "hold", "hold"),
        ({"unregistered": "refuse"}, "send", "refuse"),
        ({"unregistered": "refuse", "no_match": "hold"}, "hold", "refuse"),
        ({"unregistered": "refuse", "no_match": "send"}, "send", "refuse"),
    ],
)
def test_what_happens_without_a_device(keys: dict[str, Any], no_match: str, unregistered: str) -> None:
    read = application(**keys)

    assert (read.when_no_match, read.when_unregistered) == (no_match, unregistered)


def test_the_clues_of_an_application_are_read() -> None:
    read = application(
        request_uris=["sip:mms@home1.example", "sip:*@mms.home1.example", "tel:+1*", "*"],
        events=["reg", "ua-profile;profile-type=oma-app;appids=mms.ua;effective-by", "presence.winfo"],
    )

    assert (len(read.request_uris), len(read.events)) == (4, 3)


@pytest.mark.parametrize(
    ("tables", "key", "says"),
    [
        (profile(no_match="wait"), f"{TABLE}.no_match", "Invalid"),
        (profile(request_uris=["mms@x"]), f"{TABLE}.request_uris", "sip:mms"),
        (profile(request_uris=["sip:a b"]), f"{TABLE}.request_uris", "right"),
        (profile(events=["a b"]), f"{TABLE}.events", "ua-profile;"),
        (profile(events=[".a"]), f"{TABLE}.events", "ua-profile;"),
        (profile(events=["a;b=1;B=2"]), f"{TABLE}.events", "twice"),
        ({"routing": {"order": ["event", "event"]}}, "routing.order", "twice"),
        ({"routing": {"order": ["from"]}}, "routing.order[0]", "Invalid"),
        ({"routing": {"default": "a b"}}, "routing.default", '"wml.ua"'),
        ({"routing": {"unknown": "maybe"}}, "routing.unknown", "Invalid"),
        ({"routing": {"orders": []}}, "routing.orders", "known are order, unknown, default"),
        ({"delivery": {"hold_check_s": 0}}, "delivery.hold_check_s", "0.1"),
    ],
)
def test_what_is_wrong_is_named_with_file_and_key(tables: dict[str, Any], key: str, says: str) -> None:
    with pytest.raises(BadConfiguration) as refused:
        config.parse(tables, "omapush.toml")

    assert str(refused.value).startswith(f"omapush.toml: {key}: ")
    assert says in str(refused.value)
