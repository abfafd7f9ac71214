"""What doctor says of passwords that can be read."""

from __future__ import annotations

import pytest

from omapush import config
from omapush.cli import access_checks
from omapush.pap_http.passwords import hashed

PLAIN = {"password": "lab"}


@pytest.mark.parametrize(
    ("listen", "account", "state", "says"),
    [
        ("127.0.0.1:8080", PLAIN, "ok", "fit for a lab"),
        ("[::1]:8080", PLAIN, "ok", "pi"),
        ("192.0.2.1:8080", PLAIN, "wrong", "can be read in the configuration: pi"),
        ("192.0.2.1:8080", {"password_hash": hashed("x")}, "ok", "only hashes"),
    ],
)
def test_passwords_that_can_be_read_are_wrong_where_others_reach_the_api(
    listen: str, account: dict[str, str], state: str, says: str
) -> None:
    tables = {"api": {"listen": listen}, "initiator": {"pi": account}}
    found = access_checks.passwords(config.parse(tables, "omapush.toml"))

    assert found.state == state
    assert says in found.cause
    assert bool(found.action) == (state == "wrong")
