"""The forms of `redis.url`."""

from __future__ import annotations

from pathlib import Path

import pytest

from omapush.config import parse
from omapush.config.redis_url import RedisUrl
from omapush.config.redis_url import parse as parse_url
from omapush.errors import BadConfiguration


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("unix:///run/redis.sock", RedisUrl("one", False, (), "", "", "", 0)),
        ("rediss://psa@h:1/3", RedisUrl("one", True, (), "", "", "", 0)),
        ("redis://[::1]:6380", RedisUrl("one", False, (), "", "", "", 0)),
        ("rediss://h?ssl_check_hostname=false&db=2", RedisUrl("one", True, (), "", "", "", 0)),
        (f"unix://psa:secret@/{'a' * 106}?db=1", RedisUrl("one", False, (), "", "", "", 0)),
        (
            "redis+sentinel://a:1,b,[::1]:3/main",
            RedisUrl("sentinel", False, (("a", 1), ("b", 26379), ("::1", 3)), "", "", "main", 0),
        ),
        (
            "rediss+sentinel://psa:p%40ss@a/main/2",
            RedisUrl("sentinel", True, (("a", 26379),), "psa", "p@ss", "main", 2),
        ),
        ("redis+cluster://a:7000,b", RedisUrl("cluster", False, (("a", 7000), ("b", 6379)), "", "", "", 0)),
        ("rediss+cluster://psa@a/", RedisUrl("cluster", True, (("a", 6379),), "psa", "", "", 0)),
    ],
)
def test_each_form_is_read(url: str, place: RedisUrl) -> None:
    assert parse_url(url) == place
    parse({"redis": {"url": url}}, "test.toml")


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://a", "scheme"),
        ("redis+sentinel://a", "name of the master"),
        ("redis+sentinel://a/m/x", "number of a database"),
        ("redis+sentinel://a:x/m", "host:port"),
        ("redis+sentinel://a,/m", "host:port"),
        ("redis+cluster://a:99999", "host:port"),
        ("redis+cluster://a/1", "neither"),
        ("redis+cluster://", "host:port"),
        ("redis://127.0.0.1:notaport", "host:port"),
        ("redis://", "host:port"),
        ("redis://h/x", "x is no number of a database"),
        ("redis://h?db=x", "x is no number"),
        ("redis://h?dc=1", "dc is not known; known are client_name, db,"),
        ("unix://run/redis.sock", "unix:///tmp"),
        ("unix://", "unix:///tmp"),
        (f"unix:///{'a' * 107}", "107 bytes"),
    ],
)
def test_what_has_no_form_stops_the_start_and_says_why(url: str, says: str) -> None:
    with pytest.raises(BadConfiguration, match=says) as refused:
        parse({"redis": {"url": url}}, "test.toml")

    assert "redis.url" in str(refused.value)


def test_files_for_tls_and_waiting_longer_than_everything_are_refused(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("x")
    for table, says in (
        ({"url": "redis+cluster://a", "trusted_certificates": str(tmp_path / "ca.pem")}, "rediss"),
        ({"url": "redis+cluster://a", "replica_wait_ms": 1_000, "timeout_ms": 1_000}, "replica_wait_ms"),
    ):
        with pytest.raises(BadConfiguration, match=says):
            parse({"redis": table}, "test.toml")


def test_no_password_is_shown_and_that_of_the_sentinels_comes_from_its_file(tmp_path: Path) -> None:
    (tmp_path / "word").write_text("watchword\nmore\n")
    table = {
        "url": "redis+sentinel://psa:secret@a:1,b:2/main",
        "sentinel_password_file": str(tmp_path / "word"),
    }
    redis = parse({"redis": table}, "test.toml").redis

    assert redis.shown == "redis+sentinel://psa@a:1,b:2/main"
    assert redis.sentinel_password() == "watchword"
