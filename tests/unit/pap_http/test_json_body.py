"""Bodies of the JSON interface: no value is guessed at, and no name counts twice."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from litestar.exceptions import ClientException, SerializationException

from omapush.pap_http.json_body import decoded
from omapush.pap_http.json_lists import MemberChange
from omapush.pap_http.json_values import NewPush

LEAST = {"to": ["sip:a@b.example"], "application": "a", "content_type": "text/plain", "content": "x"}


def refused(body: str | bytes, kind: Any = NewPush) -> tuple[str, str]:
    """The member, and what is wrong with it."""
    with pytest.raises(ClientException) as caught:
        decoded(body.encode() if isinstance(body, str) else body, kind)
    extra: Any = caught.value.extra
    return extra[0]["key"], extra[0]["message"]


def with_member(written: str) -> str:
    return json.dumps(LEAST)[:-1] + f", {written}}}"


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ('"deliver_before": 1900000000', "deliver_before"),
        ('"deliver_before": 1.9e9', "deliver_before"),
        ('"deliver_after": "1900000000"', "deliver_after"),
        ('"deliver_after": true', "deliver_after"),
        ('"subscribers": "true"', "subscribers"),
        ('"subscribers": 1', "subscribers"),
        ('"push_id": 7', "push_id"),
        ('"lists": "customers"', "lists"),
        ('"lists": [1]', "lists[0]"),
        ('"content_headers": {"Content-Language": 1}', "content_headers[...]"),
    ],
)
def test_a_value_of_another_type_is_refused_by_its_name(written: str, name: str) -> None:
    assert refused(with_member(written))[0] == name


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ('"priority": "high", "priority": "high"', "priority"),
        ('"priority": "high", "priority": "low"', "priority"),
        ('"to": ["sip:c@d.example"]', "to"),
        ('"\\u0074o": ["sip:c@d.example"]', "to"),
        ('"content": "{\\"content\\": 1}"', "content"),
        ('"content_headers": {"X-Wap-A": "1", "X-Wap-A": "2"}', "content_headers.X-Wap-A"),
        ('"content_headers": {}, "content_headers": {"X-Wap-A": "2"}', "content_headers"),
        ('"content_headers": {"a\\"b": "1", "a\\u0022b": "2"}', 'content_headers.a"b'),
    ],
)
def test_a_name_that_comes_twice_is_refused(written: str, name: str) -> None:
    """RFC 7493 2.3: of two recipients' lists, nobody can tell which is meant."""
    assert refused(with_member(written)) == (name, "comes twice")


def test_in_a_large_body_it_is_said_without_the_name() -> None:
    large = "x" * 2_000_000
    assert refused(with_member(f'"content": "{large}"')) == ("data", "has a name twice")
    assert decoded(with_member(f'"push_id": "{large}"').encode(), NewPush).push_id == large


def test_the_same_holds_for_other_bodies() -> None:
    assert refused('{"add": [], "add": []}', MemberChange) == ("add", "comes twice")


names = st.sampled_from(["to", "content", "lists", 'a"b', "\\", "", "é", '"', "{", ":"])
values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=8) | names,
    lambda inner: st.lists(inner, max_size=2),
    max_leaves=4,
)


@given(
    pairs=st.lists(st.tuples(names, values | st.lists(st.tuples(names, values), max_size=4)), max_size=5),
    ascii_only=st.booleans(),
)
def test_names_are_seen_twice_exactly_when_they_are_there_twice(
    pairs: list[tuple[str, Any]], ascii_only: bool
) -> None:
    def written(value: Any) -> str:
        if isinstance(value, list) and value and all(isinstance(one, tuple) for one in value):
            members = (f"{json.dumps(name, ensure_ascii=ascii_only)} : {written(one)}" for name, one in value)
            return f"{{ {' , '.join(members)} }}"
        return json.dumps(value, ensure_ascii=ascii_only)

    def is_twice(value: Any) -> bool:
        if not (isinstance(value, list) and value and isinstance(value[0], tuple)):
            return False
        given_names = [name for name, _ in value]
        return len(set(given_names)) < len(given_names) or any(is_twice(one) for _, one in value)

    body = written(pairs or [("", 1)]).encode()
    if is_twice(pairs):
        assert refused(body, Any)[1] == "comes twice"
    else:
        assert isinstance(decoded(body, Any), dict)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xef\xbb\xbf{}",
        b'{"to": ["\xff"]}',
        json.dumps(LEAST).encode() + b"{}",
        b"{'to': []}",
        b"{} {}",
        b'{"a": 1',
    ],
)
def test_what_is_no_json_is_said_to_be_none(body: bytes) -> None:
    with pytest.raises(SerializationException):
        decoded(body, NewPush)


@pytest.mark.parametrize(
    "text", ["\\ud83d", "\\udE00", "\\ud83dx", "\\ud83d\\u0041", "\\\\\\ud83d", "a\\uDBFF\\uDBFF\\uDFFF"]
)
def test_half_a_surrogate_pair_is_named(text: str) -> None:
    with pytest.raises(SerializationException, match="half of a surrogate pair"):
        decoded(with_member(f'"push_id": "{text}"').encode(), NewPush)


def test_a_whole_pair_is_not_blamed_for_what_is_missing_elsewhere() -> None:
    with pytest.raises(SerializationException, match="truncated"):
        decoded(b'{"push_id": "\\ud83d\\ude00"', NewPush)


def test_a_whole_pair_and_an_escaped_escape_are_text() -> None:
    for text, meant in (("\\ud83d\\ude00", "\U0001f600"), ("\\\\ud83d", "\\ud83d")):
        assert decoded(with_member(f'"push_id": "{text}"').encode(), NewPush).push_id == meant


def test_every_beginning_of_a_body_is_refused_and_the_whole_is_taken() -> None:
    whole = json.dumps({**LEAST, "content_headers": {"X-Wap-A": '"'}, "lists": ["a"]}).encode()
    for end in range(len(whole)):
        with pytest.raises((SerializationException, ClientException)):
            decoded(whole[:end], NewPush)
    assert decoded(whole, NewPush).content_headers == {"X-Wap-A": '"'}
