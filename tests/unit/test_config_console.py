"""Users of the console in the configuration."""

import pytest

from omapush import config
from omapush.errors import BadConfiguration
from omapush.pap_http.passwords import hashed


def test_nobody_may_use_the_console_unless_said_otherwise() -> None:
    found = config.parse({}, "x.toml")

    assert (found.operator, found.console.session_s, found.console.secure_cookies) == ({}, 28_800, False)


def test_an_operator_sees_everything_and_does_nothing_unless_said_otherwise() -> None:
    stored = hashed("secret")
    found = config.parse({"operator": {"olga": {"password_hash": stored}}}, "x.toml").operator["olga"]

    assert (found.role, found.secret()) == ("view", "")
    assert stored not in repr(found)


@pytest.mark.parametrize(
    ("name", "table", "said"),
    [
        ("olga", {}, "x.toml: operator.olga: needs either password_hash, or password, or password_file"),
        ("olga", {"password": "a", "password_hash": "b"}, "needs either"),
        ("olga", {"password_hash": "$2b$12$x"}, "x.toml: operator.olga.password_hash: is no Argon2id hash"),
        ("olga", {"password": "a", "role": "root"}, "role"),
        ("olga", {"password_file": "/nowhere"}, "x.toml: operator.olga.password_file: cannot be read"),
        ("o lga", {"password": "a"}, "a name has 1 to 64 letters"),
    ],
)
def test_what_is_wrong_with_an_operator_is_named(name: str, table: dict[str, str], said: str) -> None:
    with pytest.raises(BadConfiguration) as caught:
        config.parse({"operator": {name: table}}, "x.toml")
    assert said in str(caught.value)
