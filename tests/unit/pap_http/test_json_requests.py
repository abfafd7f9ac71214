"""What the JSON interface says to requests that are odd, before anything is asked of Redis."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from omapush.config import parse
from omapush.pap_http import app

CONFIG = {"initiator": {"pi": {"password": "secret"}}}
NEW = {
    "to": ["sip:alice@home1.example"],
    "application": "mms.ua",
    "content_type": "text/plain",
    "content": "hi",
}


def asked(method: str, path: str, *, known: bool = True, **request: Any) -> httpx.Response:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app.create(parse(CONFIG, "omapush.toml")))  # type: ignore[arg-type]
        auth = ("pi", "secret") if known else None
        async with httpx.AsyncClient(transport=transport, base_url="http://api.example", auth=auth) as client:
            return await client.request(method, path, **request)

    return asyncio.run(ask())


def refused(method: str, path: str, status: int, **request: Any) -> tuple[str, str]:
    """The field, and what is wrong with it."""
    answer = asked(method, path, **request)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    return problem["field"], problem["detail"]


@pytest.mark.parametrize("path", ["/v1/pushes", "/v1/pushes/a", "/v1/pushes/a/cancel", "/v1/lists/a"])
@pytest.mark.parametrize("known", [True, False])
def test_options_tells_the_methods_of_a_path(path: str, known: bool) -> None:
    answer = asked("OPTIONS", path, known=known)

    assert (answer.status_code, answer.content) == (204, b"")
    assert "OPTIONS" in answer.headers["allow"]


@pytest.mark.parametrize(
    ("query", "field", "problem"),
    [
        ("state=running&state=finished", "state", "comes twice"),
        ("recipient=", "recipient", "is empty"),
        ("application=", "application", "is empty"),
        ("since=2026", "since", "needed: a time with its zone, such as 2030-01-31T10:00:00Z"),
        ("until=1.9e9", "until", "needed: a time with its zone, such as 2030-01-31T10:00:00Z"),
    ],
)
def test_a_filter_that_says_nothing_clear_is_refused(query: str, field: str, problem: str) -> None:
    """A script whose variable is empty must not be shown what belongs to everybody."""
    assert refused("GET", f"/v1/pushes?{query}", 400) == (field, problem)


@pytest.mark.parametrize("name", ["replaces", "replace_key", "notify_url"])
def test_a_name_that_is_empty_is_not_one_that_is_left_out(name: str) -> None:
    """A replacement without what it replaces would be a second push."""
    assert refused("POST", "/v1/pushes", 400, json={**NEW, name: ""}) == (name, "is empty")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_a_cancel_is_read_from_json_alone(kind: str) -> None:
    """What a page in somebody's browser can send elsewhere takes no push back."""
    headers = {"Content-Type": kind} if kind else {}

    told = refused("POST", "/v1/pushes/a/cancel", 415, content=b"{}", headers=headers)

    assert told == ("Content-Type", "application/json expected")
