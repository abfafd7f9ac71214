"""
The OpenAPI description tells the truth: requests are made from it, and every answer is one that it promises.

The api runs in this process, with a real Redis behind it and nothing that sends.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from typing import Any, Final
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from omapush.pap_http.app import create
from omapush.store import client
from tests.harness.stack import PASSWORD, Stack

WORDS: Final = (
    *("", "a", "é", "\0", "a/b", "%", "?", " ", "x" * 300, "1", "-1", "1000", "running", "list-1", "push-1"),
    *("sip:alice@home1.example", "tel:+358401234567", "mms.ua", "text/plain", "http://127.0.0.1:9/"),
    *("2030-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "2030-01-01T00:00:00", "aGk="),
)
PUSH: Final = {
    "to": ["sip:alice@home1.example"],
    "application": "mms.ua",
    "content_type": "text/plain",
    "content": "hi",
}
ANYTHING: Final = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=2),
    max_leaves=4,
)
DATE_TIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?Z")
KINDS: Final[dict[str, Callable[[Any], bool]]] = {
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: type(value) is int,
    "number": lambda value: type(value) in (int, float),
    "boolean": lambda value: isinstance(value, bool),
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "null": lambda value: value is None,
}

Schema = dict[str, Any]


class Described:
    """The description, and what follows from it."""

    def __init__(self, document: Schema) -> None:
        self.document = document
        self.operations = [
            (method, path, operation)
            for path, methods in document["paths"].items()
            for method, operation in methods.items()
        ]

    def meant(self, schema: Schema) -> Schema:
        """What a reference leads to."""
        found: Any = schema
        while "$ref" in found:
            steps = found["$ref"].removeprefix("#/").split("/")
            found = self.document
            for step in steps:
                found = found[step]
        return dict(found)

    def faults(self, schema: Schema, value: Any, at: str = "$") -> Iterator[str]:
        """What of a value is other than its schema says."""
        schema = self.meant(schema)
        if one_of := schema.get("oneOf"):
            if all(any(self.faults(one, value)) for one in one_of):
                yield f"{at}: none of the possible"
            return
        kinds = schema.get("type", list(KINDS))
        if not any(KINDS[kind](value) for kind in ([kinds] if isinstance(kinds, str) else kinds)):
            yield f"{at}: {value!r} is not {kinds}"
        if "enum" in schema and value not in schema["enum"]:
            yield f"{at}: {value!r} is not one of {schema['enum']}"
        if schema.get("format") == "date-time" and not DATE_TIME.fullmatch(value):
            yield f"{at}: {value!r} is no time"
        if isinstance(value, list):
            for number, one in enumerate(value):
                yield from self.faults(schema.get("items", {}), one, f"{at}[{number}]")
        if isinstance(value, dict):
            known, others = schema.get("properties", {}), schema.get("additionalProperties")
            yield from (
                f"{at}: {name} is missing" for name in schema.get("required", ()) if name not in value
            )
            yield from (
                f"{at}: {name} is not described" for name in value if name not in known and not others
            )
            for name, one in value.items():
                yield from self.faults(known.get(name, others or {}), one, f"{at}.{name}")

    def values(self, schema: Schema) -> st.SearchStrategy[Any]:
        """Values of a schema, a few of them wrong."""
        schema = self.meant(schema)
        if "enum" in schema:
            return st.sampled_from(schema["enum"]) | ANYTHING
        if one_of := schema.get("oneOf"):
            return st.one_of(*map(self.values, one_of))
        match schema.get("type"):
            case "object":
                members = {name: self.values(one) for name, one in schema.get("properties", {}).items()}
                return st.fixed_dictionaries({}, optional=members)
            case "array":
                return st.lists(self.values(schema.get("items", {})), max_size=3)
            case "integer":
                return st.integers(-1, 1_001)
            case "boolean":
                return st.booleans()
            case _:
                return st.sampled_from(WORDS)

    def requests(self) -> st.SearchStrategy[Any]:
        """Requests of all operations: method, path as described, path, query, body."""
        return st.sampled_from(self.operations).flatmap(lambda one: self._requests(*one))

    def _requests(self, method: str, path: str, operation: Schema) -> st.SearchStrategy[Any]:
        query = {
            one["name"]: self.values(one["schema"])
            for one in operation.get("parameters", ())
            if one["in"] == "query"
        }
        names = st.sampled_from([word for word in WORDS if word])
        steps = st.lists(names, min_size=path.count("{"), max_size=path.count("{"))
        body: st.SearchStrategy[Any] = st.none()
        if "requestBody" in operation:
            (described,) = operation["requestBody"]["content"].values()
            made = self.values(described["schema"])
            body = made | made.map(lambda one: {**PUSH, **one} if isinstance(one, dict) else one)
        return st.tuples(
            st.just(method),
            st.just(path),
            steps.map(lambda words: re.sub(r"{.*?}", lambda _: quote(words.pop(), safe=""), path)),
            st.fixed_dictionaries({}, optional=query),
            body,
        )


@pytest.fixture(scope="module")
def described(redis_only: Stack) -> Described:
    return Described(create(redis_only.config).openapi_schema.to_schema())


def test_every_answer_is_one_that_the_description_promises(redis_only: Stack, described: Described) -> None:
    client.load_functions(redis_only.store)
    transport = httpx.ASGITransport(create(redis_only.config), raise_app_exceptions=False)  # type: ignore[arg-type]
    loop = asyncio.Runner()
    api = httpx.AsyncClient(transport=transport, base_url="http://api.example", auth=("trusted", PASSWORD))
    loop.run(api.put("/v1/lists/list-1"))
    loop.run(api.post("/v1/pushes", json={**PUSH, "push_id": "push-1"}))
    statuses = set()

    @settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(described.requests())
    def ask(request: tuple[str, str, str, dict[str, Any], Any]) -> None:
        method, template, path, query, body = request
        asked = {name: json.dumps(one).strip('"') for name, one in query.items()}
        sent = {"json": body} if body is not None else {}
        answer = loop.run(api.request(method.upper(), path, params=asked, **sent))
        statuses.add(answer.status_code)

        promised = described.document["paths"][template][method]["responses"]
        assert str(answer.status_code) in promised, answer.text
        contents = promised[str(answer.status_code)].get("content", {})
        assert bool(contents) == bool(answer.content)
        if contents:
            kind = answer.headers["content-type"].partition(";")[0]
            assert list(described.faults(contents[kind]["schema"], answer.json())) == []

    ask()
    loop.run(api.aclose())
    loop.close()
    assert {200, 201, 400, 404} <= statuses


@pytest.mark.parametrize(
    ("method", "path", "statuses"),
    [
        ("post", "/v1/pushes", {"200", "201", "400", "403", "409", "413", "415", "422", "429", "503"}),
        ("put", "/v1/lists/{name}", {"200", "201", "400", "401", "422", "503"}),
        ("get", "/v1/pushes/{push}", {"200", "401", "404", "429", "503"}),
    ],
)
def test_answers_that_need_more_than_a_request_are_promised_too(
    described: Described, method: str, path: str, statuses: set[str]
) -> None:
    assert statuses <= set(described.document["paths"][path][method]["responses"])
