"""What devices take: merged from sources in any order, and asked before a push is sent."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omapush.protocol.uaprof import PushCharacteristics
from omapush.push.capabilities import (
    STRENGTH,
    Capabilities,
    Content,
    Facts,
    Source,
    check,
    merge,
    prolonged,
    replaced,
    resolved,
    summary,
    takes,
    takes_gzip,
    without,
)
from omapush.push.capability_sources import (
    compare,
    device_name,
    facts_of_answer,
    facts_of_presence,
)

AOR = "sip:alice@home1.example"
NOW = 1_800_000_000_000
LATER = NOW + 60_000
TEXT = Content("text/plain", 100, "mms.ua")


def facts(device: str = "", source: Source = "uaprof", **more: Any) -> Facts:
    base = Facts(device, source, NOW, LATER)
    return base._replace(**more)


def why(content: Content, *known: Facts, devices: tuple[str, ...] = ()) -> str | None:
    refusal = check(content, known, devices)
    return None if refusal is None else refusal.code


# Before sending -------------------------------------------------------------------------------------


@pytest.mark.req("PSA-MSG-4")
@pytest.mark.parametrize(
    ("types", "code"),
    [
        (("text/plain",), None),
        (("text/*",), None),
        (("*/*",), None),
        (None, None),
        ((), "2006"),
        (("image/png", "text/html"), "2006"),
    ],
)
def test_a_type_known_to_be_unsupported_is_not_sent(types: tuple[str, ...] | None, code: str | None) -> None:
    assert why(TEXT, facts(types=types)) == code


@pytest.mark.req("PSA-MSG-4")
def test_content_above_the_devices_size_is_not_sent() -> None:
    assert why(TEXT, facts(largest_bytes=99)) == "2006"
    assert why(TEXT, facts(largest_bytes=100)) is None


def test_nothing_known_lets_everything_go() -> None:
    assert why(TEXT) is None
    assert why(TEXT, devices=("a",)) is None


def test_one_device_that_takes_it_is_enough() -> None:
    cannot, can = facts("a", types=("image/png",)), facts("b", types=("text/plain",))

    assert why(TEXT, cannot, can) is None
    assert why(TEXT, cannot, can, devices=("a",)) == "2006"
    assert why(TEXT, cannot) == "2006"


def test_a_registered_device_of_which_nothing_is_known_may_take_it() -> None:
    assert why(TEXT, facts("a", types=("image/png",)), devices=("a", "b")) is None


def test_what_is_said_of_the_user_holds_for_each_device() -> None:
    assert why(TEXT, facts(source="answer", refused=("text/plain",)), devices=("a", "b")) == "2006"


def test_a_refusal_holds_for_its_application_alone() -> None:
    refused = facts(source="answer", application="mms.ua", refused=("text/plain",))

    assert why(TEXT, refused) == "2006"
    assert why(TEXT._replace(application="wml.ua"), refused) is None


@pytest.mark.req("PROP-CAP-5")
@pytest.mark.parametrize(("stronger", "weaker"), list(itertools.combinations(STRENGTH, 2)))
def test_of_two_sources_the_stronger_counts(stronger: Source, weaker: Source) -> None:
    yes, no = ("text/plain",), ("image/png",)

    for order in itertools.permutations((facts(source=stronger, types=yes), facts(source=weaker, types=no))):
        assert check(TEXT, order) is None
    for order in itertools.permutations((facts(source=stronger, types=no), facts(source=weaker, types=yes))):
        assert check(TEXT, order) is not None


def test_a_devices_own_refusal_is_believed_against_its_profile() -> None:
    profile = facts("a", types=("text/plain",), largest_bytes=1000)

    assert why(TEXT, profile, facts(source="answer", refused=("text/plain",))) == "2006"
    assert why(TEXT, profile, facts(source="answer", largest_bytes=50)) == "2006"


def test_gzip_is_for_devices_that_all_take_it() -> None:
    yes, no = facts("a", encodings=("gzip",)), facts("b", encodings=("deflate",))

    assert takes_gzip("mms.ua", [yes]) is True
    assert takes_gzip("mms.ua", [yes, no]) is False
    assert takes_gzip("mms.ua", [yes, facts("b")]) is None
    assert takes_gzip("mms.ua", []) is None


def test_whether_a_type_is_taken_can_be_asked_alone() -> None:
    assert takes("text/plain", "x", [facts(types=("text/*",))]) is True
    assert takes("text/plain", "x", [facts(types=("image/*",))]) is False
    assert takes("text/plain", "x", [facts()]) is None


# The record -----------------------------------------------------------------------------------------


def test_facts_that_have_run_out_are_gone_and_none_stays_for_ever() -> None:
    record = merge(None, AOR, [facts("a"), facts("b", expires_ms=NOW + 1)], NOW)

    assert [one.device for one in resolved(record, {}, NOW + 1)] == ["a"]
    assert merge(record, AOR, [], LATER).facts == ()


def test_who_takes_it_back_is_forgotten() -> None:
    record = merge(None, AOR, [facts("a", types=("text/plain",))], NOW)

    assert merge(record, AOR, [facts("a", at_ms=NOW + 5, expires_ms=NOW + 5)], NOW + 5).facts == ()


def test_a_source_that_tells_all_each_time_replaces_what_it_said_and_nothing_else() -> None:
    old = merge(None, AOR, [facts("a", "presence"), facts("b", "presence"), facts("a", "uaprof")], NOW)
    new = replaced(old, AOR, "presence", [facts("c", "presence")], NOW)

    assert {(one.device, one.source) for one in new.facts} == {("c", "presence"), ("a", "uaprof")}
    assert replaced(None, AOR, "presence", [facts("c", "presence")], NOW).facts == (facts("c", "presence"),)
    assert [one.source for one in replaced(old, AOR, "presence", [], NOW).facts] == ["uaprof"]


def test_what_a_source_said_lasts_longer_unless_it_has_run_out() -> None:
    over = facts("old", "presence", expires_ms=NOW)
    old = Capabilities(1, AOR, (facts("a", "presence"), facts("a", "uaprof"), over), NOW)
    longer = prolonged(old, "presence", LATER + 5, NOW)

    assert longer is not None
    assert [one.expires_ms for one in longer.facts] == [LATER + 5, LATER, NOW]
    assert prolonged(longer, "presence", LATER + 5, NOW) is None
    assert prolonged(None, "presence", LATER, NOW) is None


def test_a_source_that_falls_silent_takes_only_its_own_with_it() -> None:
    old = merge(None, AOR, [facts("a", "presence"), facts("a", "uaprof")], NOW)
    left = without(old, "presence")

    assert left is not None
    assert left.facts == (facts("a", "uaprof"),)
    assert without(left, "presence") is None
    assert without(None, "presence") is None


def test_a_profile_says_the_rest() -> None:
    url = "http://maker.example/p.rdf"
    record = merge(None, AOR, [facts("a", profile_url=url)], NOW)

    [without] = resolved(record, {}, NOW)
    [known] = resolved(record, {url: PushCharacteristics(types=("text/html",), largest_bytes=9)}, NOW)
    assert (without.types, known.types, known.largest_bytes) == (None, ("text/html",), 9)


FACTS = st.builds(
    Facts,
    st.sampled_from(["", "a", "b"]),
    st.sampled_from(STRENGTH),
    st.integers(NOW, NOW + 5),
    st.just(LATER),
    st.sampled_from(["", "mms.ua"]),
    st.sampled_from(["", "types"]),
    st.none() | st.lists(st.sampled_from(["text/plain", "image/*"]), max_size=2).map(tuple),
)


@pytest.mark.req("PROP-CAP-5")
@given(st.lists(FACTS, max_size=8), st.randoms(use_true_random=False))
def test_any_order_of_sources_gives_one_record(told: list[Facts], chance: random.Random) -> None:
    def all_of(order: list[Facts]) -> Capabilities:
        record = None
        for one in order:
            record = merge(record, AOR, [one], NOW)
        return merge(record, AOR, [], NOW)

    shuffled = list(told)
    chance.shuffle(shuffled)
    assert set(all_of(told).facts) == set(all_of(shuffled).facts) == set(all_of([*told, *shuffled]).facts)


@given(st.lists(FACTS, max_size=8), st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, unique=True))
def test_one_more_device_never_makes_a_push_impossible(told: list[Facts], devices: list[str]) -> None:
    if check(TEXT, told, devices) is None:
        assert check(TEXT, told, [*devices, "unheard-of"]) is None


# Sources --------------------------------------------------------------------------------------------


def learnt(code: int, accept: str = "", encoding: str = "", *, method: str = "MESSAGE") -> tuple[Facts, ...]:
    return facts_of_answer(code, accept, encoding, TEXT, method=method, now_ms=NOW, learned_s=60)


@pytest.mark.req("PROP-CAP-5")
def test_a_415_teaches_what_is_taken_instead() -> None:
    [types] = learnt(415, "image/png;q=0.5, TEXT/HTML")

    assert types.types == ("image/png", "text/html")
    assert (types.source, types.application, types.expires_ms) == ("answer", "mms.ua", NOW + 60_000)


def test_a_415_about_the_coding_does_not_blame_the_type() -> None:
    [coding] = learnt(415, "", "identity")

    assert (coding.encodings, coding.types, coding.refused) == (("identity",), None, ())


@pytest.mark.parametrize("code", [406, 415, 488])
def test_a_refusal_without_a_list_teaches_the_type_refused(code: int) -> None:
    assert [one.refused for one in learnt(code)] == [("text/plain",)]


@pytest.mark.parametrize("code", [413, 513])
def test_too_large_teaches_the_size(code: int) -> None:
    assert [one.largest_bytes for one in learnt(code)] == [99]


@pytest.mark.parametrize("code", [200, 404, 480, 500, 603])
def test_other_answers_teach_nothing(code: int) -> None:
    assert learnt(code, "text/html") == ()


@given(st.text(), st.text())
def test_any_header_of_a_refusal_teaches_or_is_passed_over(accept: str, encoding: str) -> None:
    assert learnt(415, accept, encoding)


PIDF = """<presence xmlns="urn:ietf:params:xml:ns:pidf" xmlns:c="urn:ietf:params:xml:ns:pidf:caps"
 xmlns:d="urn:ietf:params:xml:ns:pidf:data-model">{tuples}</presence>"""
TUPLE = """<tuple id="{id}"><status><basic>{basic}</basic></status>
<c:servcaps><c:type>{types}</c:type></c:servcaps>
<d:deviceID>{device}</d:deviceID></tuple>"""


@pytest.mark.req("PROP-CAP-5")
def test_presence_adds_up_the_open_services_of_each_device() -> None:
    tuples = "".join(
        TUPLE.format(id=number, basic=basic, types=types, device=device)
        for number, (basic, types, device) in enumerate(
            [
                ("open", "text/plain", "urn:uuid:A"),
                ("open", "text/html", "urn:uuid:A"),
                ("closed", "image/png", "urn:uuid:A"),
                ("open", "image/gif", ""),
            ]
        )
    )

    found = facts_of_presence(PIDF.format(tuples=tuples).encode(), now_ms=NOW, expires_ms=LATER)

    assert {one.device: one.types for one in found} == {
        "urn:uuid:a": ("text/plain", "text/html"),
        "": ("image/gif",),
    }
    assert {one.source for one in found} == {"presence"}


def test_one_device_has_one_name_however_it_is_written() -> None:
    assert device_name('"<urn:uuid:AB>"', "sip:x@y") == device_name("<urn:uuid:ab>", "") == "urn:uuid:ab"
    assert device_name("", "sip:x@y") == "sip:x@y"


# Push initiators ------------------------------------------------------------------------------------


def compared(assumed: PushCharacteristics, *known: Facts) -> str | None:
    refusal = compare(assumed, TEXT, known, NOW)
    return None if refusal is None else refusal.code


def test_assumed_capabilities_that_do_not_fit_are_2005() -> None:
    known = facts("a", types=("text/plain",), largest_bytes=500, applications=("x-wap-application:mms.ua",))

    assert compared(PushCharacteristics(types=("text/plain",), largest_bytes=500), known) is None
    assert compared(PushCharacteristics(types=("text/plain", "image/png")), known) == "2005"
    assert compared(PushCharacteristics(largest_bytes=501), known) == "2005"
    assert compared(PushCharacteristics(applications=("mms.ua",)), known) is None
    assert compared(PushCharacteristics(applications=("ulp.ua",)), known) == "2005"


def test_content_that_does_not_fit_is_2006_even_against_the_initiators_own_words() -> None:
    assert compared(PushCharacteristics(types=("image/png",))) == "2006"
    assert compared(PushCharacteristics(), facts("a", types=("image/png",))) == "2006"
    assert compared(PushCharacteristics()) is None


def test_the_summary_takes_each_property_from_the_strongest_source() -> None:
    weak = facts(source="presence", types=("a/b",), encodings=("gzip",))

    assert summary([weak, facts(types=("c/d",))]) == PushCharacteristics(types=("c/d",), encodings=("gzip",))
