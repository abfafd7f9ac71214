"""What the configuration says about links to content, and about bodies of large pushes."""

from pathlib import Path
from typing import Any

import pytest

from omapush import config
from omapush.errors import BadConfiguration

HERE = str(Path(__file__))


def parsed(**content: Any) -> config.Config:
    return config.parse({"content": content}, "omapush.toml")


@pytest.mark.parametrize(
    ("content", "url"),
    [
        ({}, "http://127.0.0.1:8080/content/"),
        ({"listen": "192.0.2.1:8443"}, "http://192.0.2.1:8443/content/"),
        (
            {"listen": "192.0.2.1:8443", "certificate": HERE, "private_key": HERE},
            "https://192.0.2.1:8443/content/",
        ),
        ({"url": "https://c.example/content/"}, "https://c.example/content/"),
    ],
)
def test_links_lead_to_where_contents_are_served(content: dict[str, Any], url: str) -> None:
    assert parsed(**content).content_url == url


@pytest.mark.parametrize(
    ("content", "key", "says"),
    [
        ({"url": "ftp://c.example/content/"}, "content.url", "right would be"),
        ({"url": "https://c.example/"}, "content.url", "ends in /content/"),
        ({"url": f"https://c.example/{'x' * 200}/content/"}, "content.url", "200 characters"),
        ({"listen": "somewhere"}, "content.listen", "right would be"),
        ({"certificate": HERE}, "content.certificate", "private_key"),
        ({"certificate": HERE, "private_key": HERE}, "content.certificate", "content.listen"),
        (
            {"listen": "127.0.0.1:1", "certificate": "/none", "private_key": HERE},
            "content.certificate",
            "cannot be read",
        ),
    ],
)
def test_what_cannot_work_stops_the_start(content: dict[str, Any], key: str, says: str) -> None:
    with pytest.raises(BadConfiguration) as refused:
        parsed(**content)
    assert key in str(refused.value)
    assert says in str(refused.value)


def test_the_largest_body_has_to_fit_into_the_room_for_large_ones() -> None:
    with pytest.raises(BadConfiguration, match=r"api\.large_bodies_bytes"):
        config.parse({"api": {"max_body_bytes": 2_000, "large_bodies_bytes": 1_999}}, "omapush.toml")
