"""Which URLs for results an initiator may name, before anybody asks the DNS."""

from __future__ import annotations

import pytest

from omapush.push.acceptance import NotAllowed
from omapush.push.account import Account
from omapush.push.callback import Callbacks

ANYBODY = Account("pi", ("*",), ("*",))
BOUND = Account("pi", ("*",), ("*",), notify_hosts=("results.provider.example", "*.cdn.example"))
PUBLIC = Callbacks("public", ["10.1.0.0/16", "2001:db8:1::/48"])


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "10.0.0.5",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "[::1]",
        "[fe80::1]",
        "[fd00::1]",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "127.0.0.1.",
    ],
)
def test_an_address_inside_is_refused_with_the_push(host: str) -> None:
    with pytest.raises(NotAllowed) as caught:
        PUBLIC.check(ANYBODY, f"http://{host}:8080/results")
    assert caught.value.field == "notify_url"
    assert caught.value.http_status == 403
    Callbacks("any", ()).check(ANYBODY, f"http://{host}:8080/results")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://8.8.8.8/",
        "http://10.1.2.3:8080/",
        "https://[2001:db8:1::5]/",
        "http://results.provider.example/",
        "http://localhost/",
        "http://2130706433/",
    ],
)
def test_public_addresses_named_networks_and_names_pass_the_names_until_they_are_looked_up(url: str) -> None:
    PUBLIC.check(ANYBODY, url)


@pytest.mark.parametrize(
    ("host", "passes"),
    [
        ("results.provider.example", True),
        ("Results.Provider.Example", True),
        ("results.provider.example.", True),
        ("a.cdn.example", True),
        ("a.b.cdn.example", True),
        ("cdn.example", False),
        ("evilcdn.example", False),
        ("results.provider.example.evil.example", False),
        ("8.8.8.8", False),
    ],
)
def test_an_account_with_hosts_of_its_own_names_no_others(host: str, passes: bool) -> None:
    for rules in (PUBLIC, Callbacks("any", ())):
        if passes:
            rules.check(BOUND, f"http://{host}:80/x")
        else:
            with pytest.raises(NotAllowed, match="none of the hosts"):
                rules.check(BOUND, f"http://{host}:80/x")
