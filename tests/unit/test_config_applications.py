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
        (profile(no_match="wait"), f"{TABLE}.no_match", "one of"),
        (profile(request_uris=["mms@x"]), f"{TABLE}.request_uris", "sip:mms"),
        (profile(request_uris=["sip:a b"]), f"{TABLE}.request_uris", "right"),
        (profile(events=["a b"]), f"{TABLE}.events", "ua-profile;"),
        (profile(events=[".a"]), f"{TABLE}.events", "ua-profile;"),
        (profile(events=["a;b=1;B=2"]), f"{TABLE}.events", "twice"),
        ({"routing": {"order": ["event", "event"]}}, "routing.order", "twice"),
        ({"routing": {"order": ["from"]}}, "routing.order[0]", "one of"),
        ({"routing": {"default": "a b"}}, "routing.default", '"wml.ua"'),
        ({"routing": {"unknown": "maybe"}}, "routing.unknown", "one of"),
        ({"routing": {"orders": []}}, "routing.orders", "known are order, unknown, default"),
        ({"delivery": {"hold_check_s": 0}}, "delivery.hold_check_s", "0.1"),
    ],
)
def test_what_is_wrong_is_named_with_file_and_key(tables: dict[str, Any], key: str, says: str) -> None:
    with pytest.raises(BadConfiguration) as refused:
        config.parse(tables, "omapush.toml")

    assert str(refused.value).startswith(f"omapush.toml: {key}: ")
    assert says in str(refused.value)


def hosted(**keys: Any) -> config.Hosted:
    return config.parse({"hosted": {"x.ua": keys}}, "omapush.toml").hosted["x.ua"]


@pytest.mark.req("PRA-GEN-2")
def test_a_hosted_application_takes_everything_into_a_stream_unless_told_otherwise() -> None:
    assert hosted().is_stream
    assert (
        hosted(backend="https://user:secret@as.example:8443/push?x=1", answer="backend").answer == "backend"
    )
    assert hosted().events == ()


@pytest.mark.parametrize(
    ("keys", "names"),
    [
        ({"backend": "ftp://as.example/"}, "backend"),
        ({"backend": ""}, "backend"),
        ({"backend": "http://a b/"}, "backend"),
        ({"answer": "backend"}, "answer"),
        ({"backend": "http://a/", "answer": "backend", "answer_within_s": 25}, "answer_within_s"),
        ({"recipients": ["alice"]}, "recipients"),
        ({"senders": ["<sip:a@b>"]}, "senders"),
        ({"request_uris": ["x"]}, "request_uris"),
        ({"max_bytes": 0}, "max_bytes"),
        ({"subscribe": ["psa@other.example"]}, "subscribe"),
        ({"subscribe": ["sip:psa@other.example?Route=x"]}, "subscribe"),
        ({"subscribe": ["sip:psa@other.example"] * 2}, "subscribe"),
        ({"identity": "tel:+15550100"}, "identity"),
        ({"subscribe_s": 1}, "subscribe_s"),
        ({"retries": {}}, "retries"),
    ],
)
def test_a_wrong_hosted_application_names_the_key(keys: dict[str, Any], names: str) -> None:
    with pytest.raises(BadConfiguration, match=names) as caught:
        hosted(**keys)
    assert 'hosted."x.ua"' in str(caught.value)
    assert "secret" not in str(caught.value)


def test_the_wait_for_a_back_end_ends_before_its_transaction() -> None:
    tables = {
        "delivery": {"transaction_s": 10},
        "hosted": {"x.ua": {"backend": "http://a/", "answer": "backend", "answer_within_s": 2.0}},
    }
    with pytest.raises(BadConfiguration, match="below 2 s"):
        config.parse(tables, "omapush.toml")


@pytest.mark.parametrize("ari", ["MMS.UA", "a b", ""])
def test_a_hosted_application_is_named_as_feature_tags_are(ari: str) -> None:
    with pytest.raises(BadConfiguration, match="hosted"):
        config.parse({"hosted": {ari: {}}}, "omapush.toml")


def test_quiet_hours_that_never_end_are_refused_and_whole_days_are_not() -> None:
    whole = {"start": "00:00", "end": "00:00"}

    assert application(quiet_hours=[{**whole, "days": ["sat", "sun"]}]).quiet_hours
    with pytest.raises(BadConfiguration, match=r"quiet_hours\.end: is start, on every day"):
        application(quiet_hours=[whole])


def test_subscriptions_cannot_be_longer_at_least_than_at_most() -> None:
    """A device that asks for the least would be granted less, and refused for it at its refresh."""
    with pytest.raises(BadConfiguration, match=r"subscriptions\.least_s: is above subscriptions\.most_s, 60"):
        config.parse({"subscriptions": {"least_s": 61, "most_s": 60}}, "omapush.toml")
    config.parse({"subscriptions": {"least_s": 60, "most_s": 60}}, "omapush.toml")
