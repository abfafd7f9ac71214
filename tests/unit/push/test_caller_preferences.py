"""Caller preferences: who is kept, in which order, and the words that say why."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omapush.errors import MalformedSip
from omapush.protocol.feature_sets import MOST_PREDICATES, FeatureSet
from omapush.protocol.feature_tags import accept_contact
from omapush.protocol.name_addr import parse_one
from omapush.push.caller_preferences import Matching, Target, Verdict, match

ULP = '*;+g.oma.pusheventapp="ulp.ua"'
ULP_AND_MESSAGE = f'{ULP};methods="MESSAGE"'


def target(name: str, params: str) -> Target:
    contact = parse_one(f"<sip:{name}@192.0.2.1>{params}", "Contact")
    q = contact.param("q")
    return Target(name, None if q is None else float(q), FeatureSet.of(contact.params))


ALICE = (
    target("A", ';+g.oma.pusheventapp="ulp.ua,mms.ua";methods="MESSAGE,INVITE"'),
    target("B", ';+g.oma.pusheventapp="mms.ua"'),
    target("C", ';audio;methods="INVITE,MESSAGE"'),
    target("D", ";q=0.5"),
)
"Phone, tablet, desk phone, and a legacy phone without feature tags."

RFC_CONTACTS = (
    target("u1", ';audio;video;methods="INVITE,BYE";q=0.2'),
    target("u2", ';audio="FALSE";methods="INVITE";actor="msg-taker";q=0.2'),
    target("u3", ';audio;actor="msg-taker";methods="INVITE";video;q=0.3'),
    target("u4", ';audio;methods="INVITE,OPTIONS";q=0.2'),
    target("u5", ";q=0.5"),
)


def names(matching: Matching) -> str:
    return "".join(kept.uri for kept in matching.kept)


def by_name(matching: Matching) -> Mapping[str, Verdict]:
    return {verdict.target.uri: verdict for verdict in matching.verdicts}


def verdict(accept: str, params: str) -> Verdict:
    [only] = match([target("x", params)], [accept], method="MESSAGE").verdicts
    return only


def test_the_example_of_rfc_3841_comes_out_as_printed() -> None:
    matching = match(
        RFC_CONTACTS,
        ["*;audio;require", '*;video;explicit, *;methods="BYE";class="business"'],
        ['*;actor="msg-taker";video'],
        method="INVITE",
    )
    verdicts = by_name(matching)

    assert [kept.uri for kept in matching.kept] == ["u5", "u1", "u4"]
    assert [verdicts[name].score for name in ("u5", "u1", "u4")] == [1.0, pytest.approx(5 / 6), 0.5]
    assert [verdict.target.uri for verdict in matching.verdicts[3:]] == ["u2", "u3"]
    assert verdicts["u2"].reasons == ("dropped: Accept-Contact *;audio;require: tag audio is FALSE",)
    assert verdicts["u3"].reasons == ('dropped: Reject-Contact *;actor="msg-taker";video: it fits every tag',)


@pytest.mark.req("PROP-ARI-5")
@pytest.mark.parametrize(
    ("accept", "scores", "order"),
    [
        (ULP, {"A": 1, "B": 0, "C": 0, "D": 1}, "ABCD"),
        (f"{ULP};explicit", {"A": 1, "B": 0, "C": 0, "D": 1}, "ABCD"),
        (f"{ULP};require", {"A": 1, "C": 0, "D": 1}, "ACD"),
        (f"{ULP};require;explicit", {"A": 1, "D": 1}, "AD"),
        (ULP_AND_MESSAGE, {"A": 1, "B": 0, "C": 0.5, "D": 1}, "ACBD"),
        (f"{ULP_AND_MESSAGE};explicit", {"A": 1, "B": 0, "C": 0, "D": 1}, "ABCD"),
        (f"{ULP_AND_MESSAGE};require;explicit", {"A": 1, "D": 1}, "AD"),
        (f'{ULP};require;explicit, *;methods="MESSAGE"', {"A": 1, "D": 1}, "AD"),
    ],
)
def test_the_push_examples_come_out_as_computed(accept: str, scores: Mapping[str, float], order: str) -> None:
    matching = match(ALICE, [accept], method="MESSAGE")

    assert {each.target.uri: each.score for each in matching.verdicts if each.kept} == scores
    assert names(matching) == order


@pytest.mark.parametrize(
    ("asked", "said", "score"),
    [
        ('+t="A"', '+t="a"', 1),
        ('+t="<A>"', '+t="<a>"', None),
        ('+t="a,b"', '+t="b,c"', 1),
        ('+t="!a"', '+t="a"', None),
        ('+t="!a"', '+t="a,b"', 1),
        ('+t="#>=4"', '+t="#=3"', None),
        ('+t="#1:5"', '+t="#>=5"', 1),
        ("+t", '+t="TRUE"', 1),
        ("+t", '+t="FALSE"', None),
        ('+t="a"', "audio", 0),
        ('+T="a"', '+t="a"', 1),
        ('+g.oma.pusheventapp="ulp.ua"', '+g.oma.pusheventapp="ulp"', None),
    ],
)
def test_one_tag_fits_a_contact_or_not(asked: str, said: str, score: float | None) -> None:
    required = verdict(f"*;{asked};require", f";{said}")

    assert required.kept is (score is not None)
    assert required.score == (score or 0)


@pytest.mark.req("PROP-ARI-5")
def test_a_strict_push_with_nobody_known_to_take_it_is_left_without_target() -> None:
    """An application server answers that with 480."""
    matching = match(ALICE[1:3], [accept_contact("ulp.ua", strict=True)], method="MESSAGE")

    assert matching.kept == ()
    assert not matching.implicit


def test_every_verdict_says_why_in_words() -> None:
    verdicts = by_name(match(ALICE, [f"{ULP};require", '*;methods="MESSAGE"'], method="MESSAGE"))

    assert verdicts["A"].reasons == (
        f"kept: Accept-Contact {ULP};require: fits, score 1",
        'kept: Accept-Contact *;methods="MESSAGE": fits, score 1',
    )
    assert verdicts["B"].reasons == (
        f'dropped: Accept-Contact {ULP};require: tag +g.oma.pusheventapp is "mms.ua"',
    )
    assert verdicts["C"].reasons[0] == (
        f"kept: Accept-Contact {ULP};require: it does not say +g.oma.pusheventapp, score 0/1"
    )
    assert verdicts["D"].reasons == ("kept: it has no feature tags, so no preference applies to it",)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("", 'kept: Accept-Contact *;+x="a": tag +x is "B", which was not required'),
        (";require", 'dropped: Accept-Contact *;+x="a";require: tag +x is "B"'),
    ],
)
def test_the_value_that_did_not_fit_is_shown_as_the_device_wrote_it(flags: str, words: str) -> None:
    assert verdict(f'*;+x="a"{flags}', ';+x="B"').reasons == (words,)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (";explicit", "kept: Accept-Contact *;+x;explicit: it does not say +x, score 0"),
        (";require;explicit", "dropped: Accept-Contact *;+x;require;explicit: it does not say +x"),
    ],
)
def test_silence_counts_against_a_contact_when_the_caller_is_explicit(flags: str, words: str) -> None:
    assert verdict(f"*;+x{flags}", ";audio").reasons == (words,)


def test_an_instance_is_a_feature_tag_so_its_contact_is_not_immune() -> None:
    assert not verdict(f"{ULP};require;explicit", ';+sip.instance="<urn:uuid:1>"').kept


def test_a_push_tag_that_cannot_be_read_fits_no_application() -> None:
    assert not verdict(f"{ULP};require", ';+g.oma.pusheventapp="#bad"').kept


def test_a_contact_that_does_not_say_is_not_rejected() -> None:
    matching = match([target("x", ";audio")], [], ["*;audio;video"], method="INVITE")

    assert [(each.kept, each.reasons) for each in matching.verdicts] == [
        (True, ("kept: no Reject-Contact applies to it",))
    ]


@pytest.mark.parametrize("header", ["*", "*;require;explicit", "*;foo=bar;require"])
def test_a_value_without_feature_tags_asks_nothing(header: str) -> None:
    accepted = match(ALICE, [header], method="MESSAGE")
    rejected = match(ALICE, [], [header], method="MESSAGE")

    assert names(accepted) == names(rejected) == "ABCD"
    assert by_name(accepted)["A"].score == 0
    assert by_name(accepted)["A"].reasons == (
        f"kept: Accept-Contact {header}: names no feature tag, so it asks nothing",
    )


def test_the_callee_s_q_ranks_before_the_caller_s_score() -> None:
    targets = [target("low", ";+x;q=0.3"), target("high", ";audio;q=0.4"), target("unstated", ";audio")]

    kept = match(targets, ["*;+x"], method="MESSAGE").kept

    assert [each.uri for each in kept] == ["unstated", "high", "low"]


def test_equal_targets_stay_as_they_came() -> None:
    targets = [target(name, ";audio") for name in "zax"]

    assert names(match(targets, ["*;audio"], method="INVITE")) == "zax"


def test_without_preferences_a_request_prefers_contacts_that_take_its_method() -> None:
    targets = [
        target("I", ';methods="INVITE"'),
        target("U", ";audio"),
        target("M", ';methods="message,INVITE"'),
    ]

    matching = match(targets, [], method="MESSAGE")

    assert matching.implicit
    assert names(matching) == "MU"
    assert by_name(matching)["I"].reasons == (
        'dropped: implicit preference *;methods="MESSAGE";require: tag methods is "INVITE"',
    )


@pytest.mark.parametrize(
    ("method", "event", "kept"),
    [
        ("SUBSCRIBE", "ua-profile;profile-type=device", "P"),
        ("SUBSCRIBE", "presence", "R"),
        ("SUBSCRIBE", None, "PR"),
        ("NOTIFY", "presence", "PR"),
    ],
)
def test_a_subscribe_also_prefers_contacts_that_know_its_package(
    method: str, event: str | None, kept: str
) -> None:
    targets = [target("P", ';events="ua-profile"'), target("R", ';events="!ua-profile"')]

    assert names(match(targets, [], method=method, event=event)) == kept


def test_when_nobody_takes_the_method_all_targets_stay_in_the_order_of_their_q() -> None:
    targets = [target("a", ';methods="INVITE";q=0.1'), target("b", ';methods="INVITE";q=0.9')]

    matching = match(targets, [], method="MESSAGE")

    assert names(matching) == "ba"
    assert matching.verdicts[0].reasons == (
        "kept: nobody fits, and the caller stated no preference "
        '(implicit preference *;methods="MESSAGE";require: tag methods is "INVITE")',
    )


def test_an_immune_contact_is_somebody_so_the_others_are_not_taken_back() -> None:
    assert names(match([target("a", ';methods="INVITE"'), ALICE[3]], [], method="MESSAGE")) == "D"


def test_a_stated_preference_replaces_the_implicit_one() -> None:
    assert names(match([target("a", ';methods="INVITE"')], ["*;audio"], method="MESSAGE")) == "a"


def test_nobody_registered_is_nobody_kept() -> None:
    assert match([], [], method="MESSAGE").verdicts == ()


@pytest.mark.req("PROP-ARI-1")
def test_misspelt_tags_of_caller_and_callee_meet_and_are_told_once() -> None:
    targets = [target(name, ';+g.oma.pusheventappp="ulp.ua"') for name in "ab"]

    matching = match(targets, ['*;g.oma.pusheventapp="ULP.ua";require;explicit'], method="MESSAGE")

    assert names(matching) == "ab"
    assert matching.problems == (
        "Accept-Contact: g.oma.pusheventapp read as +g.oma.pusheventapp",
        "+g.oma.pusheventappp: read as +g.oma.pusheventapp",
    )


def test_a_header_that_cannot_be_read_is_the_caller_s_fault() -> None:
    with pytest.raises(MalformedSip, match="Reject-Contact: a parameter comes twice"):
        match(ALICE, [], ["*;audio;audio"], method="MESSAGE")


def test_repeated_headers_are_bounded_together() -> None:
    with pytest.raises(MalformedSip, match=f"Accept-Contact: more than {MOST_PREDICATES} values"):
        match(ALICE, ["*;audio"] * (MOST_PREDICATES + 1), method="MESSAGE")


def test_as_many_headers_as_allowed_are_read() -> None:
    assert names(match(ALICE, ["*;audio"] * MOST_PREDICATES, method="MESSAGE")) == "CABD"


APPLICATIONS = st.lists(st.sampled_from(["ulp.ua", "mms.ua", "!mms.ua", "wml.ua"]), min_size=1, max_size=3)
FLAGS = st.sampled_from(["", ";require", ";explicit", ";require;explicit"])
VALUES = st.builds(
    lambda applications, methods, flags: (
        f'*;+g.oma.pusheventapp="{",".join(applications)}"{";methods=MESSAGE" * methods}{flags}'
    ),
    APPLICATIONS,
    st.booleans(),
    FLAGS,
)
CONTACTS = st.lists(
    st.builds(
        lambda applications, methods, q: (
            (f';+g.oma.pusheventapp="{",".join(applications)}"' if applications else "")
            + (f";methods={methods}" if methods else "")
            + (f";q={q}" if q else "")
        ),
        st.just([]) | APPLICATIONS,
        st.sampled_from(["", "MESSAGE", "INVITE"]),
        st.sampled_from(["", "0.5", "1.0", "0.0"]),
    ),
    max_size=5,
)


@given(CONTACTS, st.lists(VALUES, min_size=1, max_size=4))
def test_the_order_of_values_and_how_headers_carry_them_make_no_difference(
    contacts: list[str], values: list[str]
) -> None:
    targets = [target(str(number), params) for number, params in enumerate(contacts)]
    expected = match(targets, values, method="MESSAGE")

    joined = match(targets, [", ".join(reversed(values))], method="MESSAGE")

    assert joined.kept == expected.kept
    assert {key: each.score for key, each in by_name(joined).items() if each.kept} == {
        key: each.score for key, each in by_name(expected).items() if each.kept
    }


@given(CONTACTS, st.lists(VALUES, max_size=3), st.lists(VALUES, max_size=2))
def test_every_target_gets_one_verdict_and_those_kept_are_in_order(
    contacts: list[str], accept: list[str], reject: list[str]
) -> None:
    targets = [target(str(number), params) for number, params in enumerate(contacts)]

    matching = match(targets, accept, reject, method="MESSAGE")

    assert sorted(each.target.uri for each in matching.verdicts) == [each.uri for each in targets]
    assert [each.kept for each in matching.verdicts] == sorted(
        (each.kept for each in matching.verdicts), reverse=True
    )
    ranks = [-(1.0 if each.q is None else each.q) for each in matching.kept]
    assert ranks == sorted(ranks)
    for each in matching.verdicts:
        assert 0 <= each.score <= 1
        assert each.reasons
        assert all(reason.startswith("kept: " if each.kept else "dropped: ") for reason in each.reasons)
        assert each.kept or each.target.features.features, "an immune contact was dropped"
    assert matching.kept or not targets or not matching.implicit


@given(CONTACTS, st.lists(VALUES, min_size=1, max_size=3))
def test_requiring_more_never_keeps_more(contacts: list[str], values: list[str]) -> None:
    targets = [target(str(number), params) for number, params in enumerate(contacts)]
    stricter = [value.partition(";require")[0].partition(";explicit")[0] + ";require" for value in values]
    strictest = [f"{value};explicit" for value in stricter]

    kept = {each.uri for each in match(targets, values, method="MESSAGE").kept}
    required = {each.uri for each in match(targets, stricter, method="MESSAGE").kept}
    explicit = {each.uri for each in match(targets, strictest, method="MESSAGE").kept}

    assert explicit <= required
    assert explicit <= kept
