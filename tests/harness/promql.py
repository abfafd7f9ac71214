"""What a PromQL expression asks for: metrics with their labels; no more of the language than we write."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

_TOKEN = re.compile(
    r'\s*(?:(?P<text>"(?:[^"\\]|\\.)*")|(?P<range>\[[^\]]*\])|(?P<number>[0-9][0-9.]*(?:ms|[smhdwy])?)'
    r"|(?P<name>[a-zA-Z_:][\w:]*)|(?P<sign>=~|!~|!=|==|<=|>=|[-+*/%^(){},=<>]))"
)
_GROUPING = frozenset({"by", "without", "on", "ignoring", "group_left", "group_right"})
_WORDS = frozenset({"and", "or", "unless", "bool", "offset"})
_AGGREGATIONS = frozenset({"sum", "max", "min", "avg", "count"})
FUNCTIONS = _AGGREGATIONS | {"rate", "increase", "histogram_quantile", "clamp_min", "time", "absent"}


class Selector(NamedTuple):
    """One metric that is asked for."""

    metric: str
    matchers: tuple[tuple[str, str], ...]
    "Labels with the values or patterns that they are compared with."


class Expression(NamedTuple):
    """All that an expression names."""

    selectors: tuple[Selector, ...]
    grouping: frozenset[str]
    "Labels of `by`, `on` and the like."


class NotUnderstood(ValueError):
    """An expression that is no PromQL, or more of it than is known here."""


def read(text: str) -> Expression:
    """Return what the expression names."""
    tokens = list(_tokens(text))
    selectors: list[Selector] = []
    grouping: set[str] = set()
    at = 0
    depth = 0
    while at < len(tokens):
        kind, word = tokens[at]
        following = tokens[at + 1][1] if at + 1 < len(tokens) else ""
        depth += {"(": 1, ")": -1}.get(word, 0)
        if kind == "name" and word in _GROUPING:
            labels, at = _list(tokens, at + 1, "(", ")")
            grouping.update(name for name, _ in labels)
        elif kind == "name" and word not in _WORDS:
            if following == "(" or following in _GROUPING:
                if word not in FUNCTIONS:
                    raise NotUnderstood(f"{word}: no function that is known here")
            elif following == "{":
                matchers, at = _list(tokens, at + 1, "{", "}")
                selectors.append(Selector(word, tuple(matchers)))
            else:
                selectors.append(Selector(word, ()))
        elif word in "{}":
            raise NotUnderstood("labels without a metric")
        at += 1
    if depth or not selectors:
        raise NotUnderstood("parentheses do not match" if depth else "asks for no metric")
    return Expression(tuple(selectors), frozenset(grouping))


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    at = 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        if match is None:
            raise NotUnderstood(f"at {text[at:]!r}")
        at = match.end()
        yield str(match.lastgroup), match[str(match.lastgroup)]


def _list(
    tokens: list[tuple[str, str]], at: int, opening: str, closing: str
) -> tuple[list[tuple[str, str]], int]:
    """Names between brackets, each with what it is compared with; and where the closing one is."""
    if at >= len(tokens) or tokens[at][1] != opening:
        raise NotUnderstood(f"{opening} is missing")
    names: list[tuple[str, str]] = []
    at += 1
    while at < len(tokens) and tokens[at][1] != closing:
        kind, word = tokens[at]
        if kind == "name":
            names.append((word, ""))
        elif kind == "text":
            if not names:
                raise NotUnderstood(f"{word}: a value without a label")
            names[-1] = (names[-1][0], word[1:-1])
        at += 1
    if at >= len(tokens):
        raise NotUnderstood(f"{closing} is missing")
    return names, at
