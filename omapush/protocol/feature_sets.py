"""
Values of feature tags (RFC 3840 9), and the predicates of Accept-Contact and Reject-Contact (RFC 3841 10).

A tag of a contact has three states: it is absent, which says nothing; it is a boolean; or it is a set of
terms, any of which may hold.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from omapush.errors import MalformedSip, shortened
from omapush.protocol.feature_tags import PUSH_TAG, feature_params
from omapush.protocol.name_addr import NameAddr, split_quoted, unquote
from omapush.protocol.sip_uri import Params

ACCEPT_CONTACT: Final = "Accept-Contact"
REJECT_CONTACT: Final = "Reject-Contact"
MOST_PREDICATES: Final = 32
"Values in one header field."
MOST_PARAMS: Final = 64
"Parameters in one value of Accept-Contact or Reject-Contact."
MOST_TERMS: Final = 64
"Terms in the value of one tag."
LONGEST_TAG_VALUE: Final = 4096
"Characters."
MOST_PROBLEMS: Final = 8
"Problems that are told of one contact; more would only repeat them."

# token-nobang and what the field writes beside it, such as the `:` of an URN     RFC 3840 9
_WORD: Final = re.compile(r"[^\s\"<>,\\\x00-\x20\x7f-\x9f]{1,256}")
# string-value, its quoted-pairs undone                   RFC 3840 9
_STRING: Final = re.compile(r"<([^<>\x00-\x1f\x7f]*+)>")
# number; what a double holds is checked apart            RFC 3840 9
_NUMBER: Final = r"[ \t]*+([+\-]?[0-9]{1,400}(?:\.[0-9]{0,400})?)"
# numeric = "#" numeric-relation number; ranges are number ":" number            RFC 3840 9
_COMPARISON: Final = re.compile(rf"(>=|<=|=){_NUMBER}")
_RANGE: Final = re.compile(rf"{_NUMBER}:{_NUMBER}")
# ac-params / rc-params = feature-param / req-param / explicit-param / generic-param   RFC 3841 10
_PARAM: Final = re.compile(
    r"([A-Za-z0-9\-.!%*_+`'~]{1,256})[ \t\r\n]*+"
    r"(?:=[ \t\r\n]*+(?:\"((?:[^\"\\]++|\\.)*)\"|(<[^<>\"\s]*+>|[^\s;,<>\"]++)))?",
    re.DOTALL,
)
# Without `+` the push tag is a parameter that means nothing, and some drafts wrote it with a third p.
_MISSPELT: Final = dict.fromkeys((PUSH_TAG[1:], PUSH_TAG + "p", PUSH_TAG[1:] + "p"), PUSH_TAG)


@dataclass(frozen=True, slots=True)
class Token:
    """A word, in lower case: case makes no difference."""

    text: str


@dataclass(frozen=True, slots=True)
class String:
    """What stands between `<` and `>`: case makes a difference."""

    text: str


@dataclass(frozen=True, slots=True)
class Interval:
    """Numbers from `low` to `high`, both included."""

    low: float
    high: float


Value = Token | String | Interval


@dataclass(frozen=True, slots=True)
class Not:
    """Every value but these."""

    value: Value


Term = Value | Not
Values = bool | frozenset[Term]
"What a tag that is there may be. Of a value that cannot be read the set is empty: it equals nothing."


@dataclass(frozen=True, slots=True)
class Feature:
    """One tag with its value."""

    values: Values
    text: str
    "As written, without quotes; `TRUE` for a bare tag."

    def overlaps(self, other: Feature) -> bool:
        """Tell whether some value satisfies both (RFC 3841 7.2.4, RFC 2533)."""
        theirs = _terms(other.values)
        return any(_overlap(mine, term) for mine in _terms(self.values) for term in theirs)


@dataclass(frozen=True, slots=True)
class FeatureSet:
    """What a device said of itself, or what a caller asks for."""

    features: Mapping[str, Feature] = field(default_factory=dict)
    "By tag in lower case, base tags naked and all others with `+`."
    problems: tuple[str, ...] = ()
    "What could not be read or was misspelt, for the log; empty is the normal case."

    @classmethod
    def of(cls, params: Params) -> FeatureSet:
        """
        Return the feature set in contact parameters, of a Contact or of reginfo (quotes taken off).

        Never raises: other parameters are passed over, of a tag given twice the first counts, terms that
        cannot be read are left out. A tag without any that can is still there, but equals nothing.
        """
        features: dict[str, Feature] = {}
        problems = [f"{name}: read as {_MISSPELT[name]}" for name, _ in params if name in _MISSPELT]
        for name, text in _feature_params(params):
            try:
                features[name] = parse_feature(name, text)
            except MalformedSip as error:
                features[name] = _what_is_readable(name, text or "")
                problems.append(str(error))
        return cls(features, tuple(problems[:MOST_PROBLEMS]))

    def get(self, tag: str) -> Values | None:
        """Return what `tag` (lower case) may be, None when nothing is known of it."""
        feature = self.features.get(tag)
        return None if feature is None else feature.values


@dataclass(frozen=True, slots=True)
class Predicate:
    """One value of Accept-Contact or Reject-Contact: all of its tags have to fit."""

    header: str
    text: str
    "As written."
    features: FeatureSet
    require: bool = False
    explicit: bool = False

    def __str__(self) -> str:
        return f"{self.header} {shortened(self.text, 160)}"


def parse_accept_contact(value: str) -> tuple[Predicate, ...]:
    """
    Return the predicates of an Accept-Contact value, in their order.

    Parameters that are no feature tags mean nothing here (`q` of old drafts).

    Raises:
        MalformedSip: not RFC 3841 grammar, a parameter given twice, a value of a tag that cannot be
            read, or above a limit of this module.
    """
    return _predicates(value, ACCEPT_CONTACT)


def parse_reject_contact(value: str) -> tuple[Predicate, ...]:
    """
    Return the predicates of a Reject-Contact value; `require` and `explicit` mean nothing in it.

    Raises:
        MalformedSip: as for Accept-Contact.
    """
    return _predicates(value, REJECT_CONTACT)


def parse_feature(tag: str, text: str | None) -> Feature:
    """
    Return the tag whose value is `text`, without its quotes; None is a bare tag, which means TRUE.

    A string stands alone: it can be neither negated nor in a list. Numbers are decimal and fit a double.
    Spaces and empty terms, seen in the field, are passed over.

    Raises:
        MalformedSip: naming `tag`.
    """
    if text is None:
        return Feature(True, "TRUE")
    if len(text) > LONGEST_TAG_VALUE:
        raise MalformedSip(tag, f"longer than {LONGEST_TAG_VALUE} characters")
    plain = unquote(text).strip()
    if string := _STRING.fullmatch(plain):
        return Feature(frozenset({String(string[1])}), text)
    if plain.upper() in ("TRUE", "FALSE"):
        return Feature(plain.upper() == "TRUE", text)
    pieces = [piece.strip() for piece in plain.split(",")]
    if len(pieces) > MOST_TERMS:
        raise MalformedSip(tag, f"more than {MOST_TERMS} terms")
    terms = frozenset([_term(tag, piece) for piece in pieces if piece])
    if not terms:
        raise MalformedSip(tag, "has an empty value")
    return Feature(terms, text)


def _what_is_readable(tag: str, text: str) -> Feature:
    terms: set[Term] = set()
    for piece in text[:LONGEST_TAG_VALUE].split(",")[:MOST_TERMS]:
        with suppress(MalformedSip):
            terms |= _terms(parse_feature(tag, piece).values)
    return Feature(frozenset(terms), shortened(text))


def _term(tag: str, text: str) -> Term:
    return Not(_value(tag, text[1:])) if text.startswith("!") else _value(tag, text)


def _value(tag: str, text: str) -> Value:
    if text.startswith("#"):
        return _interval(tag, text)
    if not _WORD.fullmatch(text) or text.startswith("!"):
        raise MalformedSip(tag, f"not a value of a feature tag: {shortened(text)}")
    return Token(text.lower())


def _interval(tag: str, text: str) -> Interval:
    if found := _RANGE.fullmatch(text, 1):
        low, high = _double(tag, found[1]), _double(tag, found[2])
        if low > high:
            raise MalformedSip(tag, f"a range that ends before it begins: {shortened(text)}")
        return Interval(low, high)
    if found := _COMPARISON.fullmatch(text, 1):
        number = _double(tag, found[2])
        return Interval(
            -math.inf if found[1] == "<=" else number,
            math.inf if found[1] == ">=" else number,
        )
    raise MalformedSip(tag, f"not a number: {shortened(text)}")


def _double(tag: str, digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise MalformedSip(tag, f"a number that no double holds: {shortened(digits)}")
    return number


def _terms(values: Values) -> frozenset[Term]:
    return frozenset({Token(str(values).lower())}) if isinstance(values, bool) else values


def _overlap(one: Term, other: Term) -> bool:
    if isinstance(one, Not):
        # two complements always leave something over
        return isinstance(other, Not) or not _includes(one.value, other)
    if isinstance(other, Not):
        return not _includes(other.value, one)
    if isinstance(one, Interval) and isinstance(other, Interval):
        return one.low <= other.high and other.low <= one.high
    return one == other


def _includes(outer: Value, inner: Value) -> bool:
    if isinstance(outer, Interval) and isinstance(inner, Interval):
        return outer.low <= inner.low and inner.high <= outer.high
    return outer == inner


def _feature_params(params: Params) -> Params:
    spelt = tuple([(_MISSPELT.get(name, name), value) for name, value in params])
    return feature_params(NameAddr("", "", spelt))


@lru_cache(maxsize=256)  # an application asks with the same words each time
def _predicates(value: str, header: str) -> tuple[Predicate, ...]:
    pieces = split_quoted(value, ",", header)
    if len(pieces) > MOST_PREDICATES:
        raise MalformedSip(header, f"more than {MOST_PREDICATES} values")
    return tuple([_predicate(piece, header) for piece in pieces])


def _predicate(text: str, header: str) -> Predicate:
    star, *pieces = split_quoted(text, ";", header)
    if star != "*":
        raise MalformedSip(header, f"does not begin with *: {shortened(text)}")
    if len(pieces) > MOST_PARAMS:
        raise MalformedSip(header, f"more than {MOST_PARAMS} parameters in one value")
    params = tuple([_param(piece, header) for piece in pieces])
    names = {_MISSPELT.get(name, name) for name, _ in params}
    if len(names) < len(params):  # RFC 3261 7.3.1
        raise MalformedSip(header, f"a parameter comes twice: {shortened(text)}")
    features = {name: parse_feature(name, value) for name, value in _feature_params(params)}
    problems = tuple(f"{header}: {name} read as {PUSH_TAG}" for name, _ in params if name in _MISSPELT)
    is_accept = header == ACCEPT_CONTACT
    return Predicate(
        header,
        text,
        FeatureSet(features, problems),
        require=is_accept and "require" in names,
        explicit=is_accept and "explicit" in names,
    )


def _param(text: str, header: str) -> tuple[str, str | None]:
    found = _PARAM.fullmatch(text)
    if found is None:
        raise MalformedSip(header, f"not a parameter: {shortened(text) or 'empty'}")
    name, quoted, plain = found.groups()
    return name.lower(), plain if quoted is None else quoted
