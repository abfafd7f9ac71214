"""What the JSON interface says to requests that are odd, before anything is asked of Redis."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from omapush.config import parse
from omapush.pap_http import app
from omapush.pap_http.json_words import NEEDED_TIME

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


@pytest.mark.parametrize("path", ["/v1/unknown", "/schema", "/v1/pushes?state=wrong", "/console/log-in"])
def test_head_is_answered_as_get_without_the_content(path: str) -> None:
    """RFC 9110 9.3.2: whoever checks that a push is there need not read it."""
    got, headed = asked("GET", path), asked("HEAD", path)

    assert headed.status_code == got.status_code
    assert headed.content == b""
    assert got.content
    differs = ("date",)
    assert [(k, v) for k, v in headed.headers.items() if k not in differs] == [
        (k, v) for k, v in got.headers.items() if k not in differs
    ]


@pytest.mark.parametrize(
    ("method", "path", "methods"),
    [
        ("OPTIONS", "/v1/pushes", "GET, HEAD, OPTIONS, POST"),
        ("PUT", "/v1/pushes", "GET, HEAD, OPTIONS, POST"),
        ("HEAD", "/v1/pushes/a/cancel", "OPTIONS, POST"),
        ("HEAD", "/pap", "OPTIONS, POST"),
    ],
)
def test_head_is_listed_where_get_is(method: str, path: str, methods: str) -> None:
    answer = asked(method, path)

    assert answer.headers["allow"] == methods
    if method == "PUT":
        assert answer.json()["detail"] == f"possible here: {methods}"


@pytest.mark.parametrize(
    ("query", "field", "problem"),
    [
        ("state=running&state=finished", "state", "comes twice"),
        ("recipient=", "recipient", "is empty"),
        ("application=", "application", "is empty"),
        (
            "since=2026-01-01T00:00:00+02:00",
            "since",
            f"{NEEDED_TIME}; a + is written %2B in a query",
        ),
        ("limit=1001", "limit", "needed: 1 to 1000"),
        ("since=2026", "since", "needed: a time with its zone, such as 2030-01-31T10:00:00Z"),
        ("until=1.9e9", "until", "needed: a time with its zone, such as 2030-01-31T10:00:00Z"),
    ],
)
def test_a_filter_that_says_nothing_clear_is_refused(query: str, field: str, problem: str) -> None:
    """A script whose variable is empty must not be shown what belongs to everybody."""
    assert refused("GET", f"/v1/pushes?{query}", 400) == (field, problem)


def test_of_a_large_body_with_a_name_twice_the_body_is_named() -> None:
    content = f'{json.dumps(NEW)[:-1]}, "content": "{"x" * 1_100_000}"}}'
    headers = {"Content-Type": "application/json"}

    told = refused("POST", "/v1/pushes", 400, content=content, headers=headers)
    assert told == ("body", "has a name twice")


def test_the_root_of_the_interface_speaks_json_too() -> None:
    assert refused("GET", "/v1", 404) == ("", "there is no such path")


def test_the_description_says_of_each_parameter_and_member_what_it_is_for() -> None:
    described = asked("GET", "/schema").json()
    parameters = [
        (path, one["name"], one.get("description"))
        for path, methods in described["paths"].items()
        for method in methods.values()
        for one in method.get("parameters", ())
    ]
    members = [
        (name, member, schema.get("description"))
        for name in ("NewPush", "Cancel", "MemberChange")
        for member, schema in described["components"]["schemas"][name]["properties"].items()
    ]

    assert len(parameters) > 20
    assert [one for one in parameters + members if not one[2]] == []


@pytest.mark.parametrize("name", ["replaces", "replace_key", "notify_url"])
def test_a_name_that_is_empty_is_not_one_that_is_left_out(name: str) -> None:
    """A replacement without what it replaces would be a second push."""
    assert refused("POST", "/v1/pushes", 400, json={**NEW, name: ""}) == (name, "is empty")


@pytest.mark.parametrize(
    ("written", "field", "problem"),
    [
        ('"priority": "low", "priority": "high"', "priority", "comes twice"),
        ('"deliver_before": 1900000000', "deliver_before", NEEDED_TIME),
        ('"subscribers": "true"', "subscribers", "needed: true or false; this is a string"),
        ('"to": ["sip:bob@home1.example"]', "to", "comes twice"),
        (
            '"content_headers": {"X-Wap-A": 1}',
            "content_headers[...]",
            "needed: a string; this is a whole number",
        ),
        ('"unheard": 1', "unheard", "not known"),
        (
            '"push_id": "\\ud83d"',
            "body",
            "is no JSON: JSON is malformed: half of a surrogate pair (RFC 7493 2.1)",
        ),
        (f'"lists": {["a"] * 101}'.replace("'", '"'), "lists", "needed: at most 100"),
        (
            '"content_base64": "aGk"',
            "content_base64",
            "needed: base64 with = at its end where that is short, without line ends (RFC 4648 4)",
        ),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(written: str, field: str, problem: str) -> None:
    content = f"{json.dumps(NEW)[:-1]}, {written}}}"
    headers = {"Content-Type": "application/json"}

    assert refused("POST", "/v1/pushes", 400, content=content, headers=headers) == (field, problem)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_a_cancel_is_read_from_json_alone(kind: str) -> None:
    """What a page in somebody's browser can send elsewhere takes no push back."""
    headers = {"Content-Type": kind} if kind else {}

    told = refused("POST", "/v1/pushes/a/cancel", 415, content=b"{}", headers=headers)

    assert told == ("Content-Type", "application/json expected")
