"""Values of feature tags, and the predicates of Accept-Contact and Reject-Contact."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omapush.errors import MalformedSip
from omapush.protocol import reginfo
from omapush.protocol.feature_sets import (
    MOST_PARAMS,
    MOST_PREDICATES,
    MOST_PROBLEMS,
    MOST_TERMS,
    Feature,
    FeatureSet,
    Interval,
    Not,
    Predicate,
    String,
    Term,
    Token,
    parse_accept_contact,
    parse_feature,
    parse_reject_contact,
)
from omapush.protocol.feature_tags import PUSH_TAG, accept_contact
from omapush.protocol.name_addr import parse_one

WORDS = st.from_regex(r"[a-zA-Z][a-zA-Z0-9.]{0,5}", fullmatch=True)
NUMBERS = st.integers(-99, 99)
POSITIVE = st.one_of(
    WORDS,
    NUMBERS.map(lambda number: f"#={number}"),
    NUMBERS.map(lambda number: f"#>={number}"),
    NUMBERS.map(lambda number: f"#<={number}"),
    st.tuples(NUMBERS, NUMBERS).map(lambda pair: f"#{min(pair)}:{max(pair)}"),
)
TERMS = st.one_of(POSITIVE, POSITIVE.map(lambda text: f"!{text}"))
LISTS = st.lists(TERMS, min_size=1, max_size=4)


def feature(text: str | None) -> Feature:
    return parse_feature("+t", text)


def of_contact(params: str) -> FeatureSet:
    return FeatureSet.of(parse_one(f"<sip:alice@192.0.2.9>{params}", "Contact").params)


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("mms.ua", Token("mms.ua")),
        ("ULP.ua", Token("ulp.ua")),
        ("!Presence", Not(Token("presence"))),
        ("urn%3Aurn-7%3A3gpp-service.ims.icsi.mmtel", Token("urn%3aurn-7%3a3gpp-service.ims.icsi.mmtel")),
        ("urn:urn-7:3gpp-service.ims.icsi.mmtel", Token("urn:urn-7:3gpp-service.ims.icsi.mmtel")),
        ("<PC>", String("PC")),
        ("<a,b>", String("a,b")),
        (r"<a\"b>", String('a"b')),
        ("#=4", Interval(4, 4)),
        ("#=+4.", Interval(4, 4)),
        ("#>=4", Interval(4, math.inf)),
        ("#<=-4.5", Interval(-math.inf, -4.5)),
        ("#-4:+5.125", Interval(-4, 5.125)),
        ("!#1:5", Not(Interval(1, 5))),
    ],
)
def test_a_value_is_a_word_a_string_a_number_or_all_but_one(text: str, term: Term) -> None:
    assert feature(text).values == frozenset({term})


def test_a_list_is_a_set_of_terms_and_spaces_and_empty_terms_in_it_are_passed_over() -> None:
    assert feature(" ulp.ua , MMS.ua,ulp.UA,, ").values == frozenset({Token("ulp.ua"), Token("mms.ua")})


@pytest.mark.parametrize(
    ("text", "value"), [(None, True), ("TRUE", True), ("true", True), ("FALSE", False), (" False ", False)]
)
def test_a_bare_tag_is_true_and_false_is_not_absence(text: str | None, value: bool) -> None:
    assert feature(text).values is value


def test_the_text_of_a_value_is_kept_as_written() -> None:
    assert feature("ULP.ua, MMS.ua").text == "ULP.ua, MMS.ua"


@pytest.mark.parametrize(
    "text",
    [
        "", " ", ",", "!", "#", "!!a", "a b", "a,<b>", "!<b>", "<a>,<b>", "<a", "a>", 'a"', "a\\\\b", "a\x00",
        "#4", "#=", "#=a", "#=1e3", "#=0x10", "#=.5", "#==4", "#>4", "#=١", "#1:", "#:5", "#5:1", "#1:2:3",
        "#=" + "9" * 400, "#=" + "1" * 401, "a" * 257, f"<{'a' * 4095}>",
        ",".join("ab" * (MOST_TERMS)) + ",x" * 64,
    ],
    ids=lambda text: text[:12],
)  # fmt: skip
def test_what_is_no_value_of_a_feature_tag_is_refused_by_the_name_of_the_tag(text: str) -> None:
    with pytest.raises(MalformedSip, match=r"^\+t: ") as caught:
        feature(text)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("asked", "said", "overlap"),
    [
        ("a", "A", True),
        ("a", "b", False),
        ("a", "ab", False),
        ("<A>", "<A>", True),
        ("<A>", "<a>", False),
        ("<a>", "a", False),
        ("a,b", "b,c", True),
        ("!a", "a", False),
        ("!a", "b", True),
        ("!a", "a,b", True),
        ("!a", "!b", True),
        ("!a", "<a>", True),
        ("!a,b", "a", False),
        ("!a,b", "c", True),
        ("#>=4", "#=3", False),
        ("#>=4", "#=4", True),
        ("#1:5", "#>=5", True),
        ("#1:5", "#>=5.001", False),
        ("#<=4", "#>=4", True),
        ("!#1:5", "#2:4", False),
        ("!#1:5", "#2:6", True),
        ("!#=4", "#=4", False),
        ("#=4", "4", False),
        (None, "TRUE", True),
        (None, "FALSE", False),
        ("FALSE", "FALSE", True),
        (None, "TRUE,x", True),
        (None, "a", False),
        ("!TRUE", "FALSE", True),
    ],
)
def test_two_values_overlap_when_something_satisfies_both(
    asked: str | None, said: str | None, overlap: bool
) -> None:
    assert feature(asked).overlaps(feature(said)) is overlap
    assert feature(said).overlaps(feature(asked)) is overlap


@given(LISTS, LISTS.flatmap(lambda terms: st.tuples(st.just(terms), st.permutations(terms))))
def test_the_order_of_terms_and_their_case_make_no_difference(
    one: list[str], others: tuple[list[str], list[str]]
) -> None:
    asked = feature(",".join(one))
    other, shuffled = (feature(",".join(terms)) for terms in others)

    expected = asked.overlaps(other)

    assert asked.overlaps(shuffled) is shuffled.overlaps(asked) is expected
    assert feature(",".join(one).upper()).overlaps(shuffled) is expected


@given(LISTS, LISTS, TERMS)
def test_one_more_term_never_makes_two_values_part(one: list[str], other: list[str], term: str) -> None:
    before = feature(",".join(one)).overlaps(feature(",".join(other)))

    assert feature(",".join([*one, term])).overlaps(feature(",".join(other))) >= before


@given(POSITIVE)
def test_a_value_overlaps_itself_and_never_its_complement(text: str) -> None:
    assert feature(text).overlaps(feature(text))
    assert not feature(f"!{text}").overlaps(feature(text))


def test_a_tag_of_a_contact_is_absent_or_boolean_or_a_set() -> None:
    known = of_contact(';audio;video="FALSE";methods="INVITE,MESSAGE";q=0.5;expires=60')

    assert known.get("isfocus") is None
    assert known.get("audio") is True
    assert known.get("video") is False
    assert known.get("methods") == frozenset({Token("invite"), Token("message")})
    assert set(known.features) == {"audio", "video", "methods"}


def test_of_a_tag_given_twice_the_first_counts_and_the_base_form_wins() -> None:
    known = of_contact(';+x="a";+X="b";+audio="FALSE";audio')

    assert known.get("+x") == frozenset({Token("a")})
    assert known.get("audio") is True
    assert known.get("+audio") is None


@pytest.mark.req("PROP-ARI-1")
@pytest.mark.parametrize("name", ["g.oma.pusheventapp", "+g.oma.pusheventappp", "G.OMA.pusheventappp"])
def test_a_misspelt_push_tag_is_understood_and_told(name: str) -> None:
    known = of_contact(f';{name}="ulp.ua"')

    assert known.get(PUSH_TAG) == frozenset({Token("ulp.ua")})
    assert known.problems == (f"{name.lower()}: read as {PUSH_TAG}",)


def test_of_a_value_that_cannot_be_read_the_readable_terms_stay() -> None:
    known = of_contact(';+x="a,#=0x1,!b,c d"')

    assert known.get("+x") == frozenset({Token("a"), Not(Token("b"))})
    assert known.problems == ("+x: not a number: #=0x1",)


def test_a_tag_without_any_readable_term_is_there_and_equals_nothing() -> None:
    known = of_contact(';+x="#=0x1";+y=""')

    assert known.get("+x") == known.get("+y") == frozenset()
    assert not known.features["+x"].overlaps(feature("!a"))


def test_problems_are_told_a_few_times_only() -> None:
    assert len(of_contact("".join(f";+x{number}=#" for number in range(50))).problems) == MOST_PROBLEMS


def test_reginfo_and_contact_tell_the_same_features() -> None:
    document = (
        '<reginfo xmlns="urn:ietf:params:xml:ns:reginfo" version="0" state="full">'
        '<registration aor="sip:a@h" id="1" state="active"><contact id="2" state="active" event="created">'
        "<uri>sip:a@h</uri><unknown-param name='audio'/><unknown-param name='q'>\"0.5\"</unknown-param>"
        "<unknown-param name='+G.OMA.pusheventapp'>\"ulp.ua,mms.ua\"</unknown-param>"
        "<unknown-param name='+sip.instance'>&lt;urn:uuid:1&gt;</unknown-param>"
        "</contact></registration></reginfo>"
    )
    [registration] = reginfo.read(document.encode()).registrations

    told = FeatureSet.of(registration.contacts[0].params)

    assert told == of_contact(';audio;q=0.5;+g.oma.pusheventapp="ulp.ua,mms.ua";+sip.instance="<urn:uuid:1>"')


@given(st.lists(st.tuples(st.text(max_size=20), st.none() | st.text(max_size=40)), max_size=5))
def test_any_parameters_make_a_feature_set(params: list[tuple[str, str | None]]) -> None:
    known = FeatureSet.of((*params, ("+x", "a,#bad"), ("audio", None)))

    assert known.get("audio") is True
    assert all(name.startswith("+") or name.isalpha() for name in known.features)


def only(value: str) -> Predicate:
    [predicate] = parse_accept_contact(value)
    return predicate


@pytest.mark.req("PROP-ARI-5")
def test_a_strict_value_requires_and_is_explicit_and_a_bare_one_does_neither() -> None:
    strict = only(accept_contact("ulp.ua", strict=True))
    bare = only(accept_contact("ulp.ua", strict=False))

    assert (strict.require, strict.explicit) == (True, True)
    assert (bare.require, bare.explicit) == (False, False)
    assert strict.features == bare.features == FeatureSet.of(((PUSH_TAG, "ulp.ua"),))


def test_a_comma_inside_quotes_does_not_split_the_header_into_values() -> None:
    predicates = parse_accept_contact('*;+a="x,y";require, *;+b ,*;+c="<d,\\";e>"; explicit')

    assert [set(predicate.features.features) for predicate in predicates] == [{"+a"}, {"+b"}, {"+c"}]
    assert [(each.require, each.explicit) for each in predicates] == [(1, 0), (0, 0), (0, 1)]
    assert predicates[2].features.get("+c") == frozenset({String('d,";e')})


def test_parameters_that_are_no_feature_tags_mean_nothing() -> None:
    assert set(only('*;q=0.5;foo="bar";audio;+x').features.features) == {"audio", "+x"}


def test_require_and_explicit_mean_nothing_in_reject_contact() -> None:
    [predicate] = parse_reject_contact("*;video;require;explicit")

    assert (predicate.require, predicate.explicit) == (False, False)
    assert set(predicate.features.features) == {"video"}


@pytest.mark.parametrize("value", ["*;+g.oma.pusheventapp=ulp.ua", "* ; +g.oma.pusheventapp = ULP.ua"])
def test_a_value_without_quotes_is_accepted(value: str) -> None:
    assert only(value).features.get(PUSH_TAG) == frozenset({Token("ulp.ua")})


@pytest.mark.req("PROP-ARI-1")
def test_a_push_tag_without_its_plus_is_understood_and_told() -> None:
    predicate = only('*;g.oma.pusheventapp="ulp.ua"')

    assert predicate.features.get(PUSH_TAG) == frozenset({Token("ulp.ua")})
    assert predicate.features.problems == (f"Accept-Contact: g.oma.pusheventapp read as {PUSH_TAG}",)


@pytest.mark.parametrize(
    "value",
    [
        "", " ", ",", "*,", ";audio", "audio", "<sip:a@h>;audio", "**", "*audio", "*;", "*;;audio", "*;=a",
        "*;a=", '*;+a="b', '*;+a="b\\"', '*;+a="b"c', "*;+a=<b", "*;audio video", '*;+a="#=0x1"', '*;+a=""',
        '*;+a="b";+a="c"', '*;+a="b";+A="b"', "*;audio;audio", "*;require;require",
        '*;+g.oma.pusheventapp="a";g.oma.pusheventapp="b"', "*;" + "a" * 257,
        "*" + "".join(f";a{number}" for number in range(MOST_PARAMS + 1)),
        "*" + "".join(f";a{number}" for number in range(10_000)),
        ",".join("*" * (MOST_PREDICATES + 1)),
    ],
    ids=lambda value: value[:20] or "empty",
)  # fmt: skip
def test_what_rfc_3841_does_not_allow_is_refused_by_the_name_of_header_or_tag(value: str) -> None:
    with pytest.raises(MalformedSip, match=r"^(?:Accept-Contact|\+a): "):
        parse_accept_contact(value)


def test_as_many_parameters_and_values_as_allowed_are_read() -> None:
    value = "*" + "".join(f";+a{number}" for number in range(MOST_PARAMS))

    assert len(only(value).features.features) == MOST_PARAMS
    assert len(parse_accept_contact(",".join("*" * MOST_PREDICATES))) == MOST_PREDICATES


def test_a_value_cut_anywhere_is_read_or_refused() -> None:
    value = '*;+g.oma.pusheventapp="ulp.ua,mms.ua";require, *;+x="#-4:+5.125";+y="<A\\"B>";explicit'
    outcomes = set()

    for end in range(len(value) + 1):
        try:
            outcomes.add(len(parse_accept_contact(value[:end])))
        except MalformedSip:
            outcomes.add(0)

    assert outcomes == {0, 1, 2}


@given(st.text(st.sampled_from('*;,=" \\<>#!+a1.:'), max_size=40))
def test_any_header_value_is_read_or_refused(text: str) -> None:
    for parse in (parse_accept_contact, parse_reject_contact):
        try:
            predicates = parse(f"*;{text}")
        except MalformedSip:
            continue
        assert predicates[0].text.startswith("*")
