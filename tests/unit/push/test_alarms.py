"""When alarms are raised and cleared: neither by one look, nor at different times on different nodes."""

from hypothesis import given
from hypothesis import strategies as st

from omapush.push import alarms
from omapush.push.alarms import CATALOGUE, MOST_STANDING, SEVERITIES, Alarm, Condition, Watched
from tests.harness import markdown
from tests.harness.markdown import ROOT

NOW = 1_800_000_000_000
DOWN = Condition("sip-down", "node1", "no answer")


def looks(*seen: list[Condition], before: Watched | None = None) -> list[list[tuple[bool, str]]]:
    """What each look of a row changed."""
    watched = before or alarms.begin(())
    found = []
    for number, conditions in enumerate(seen):
        watched, changes = alarms.look(watched, conditions, NOW + number)
        found.append([(one.is_raised, one.alarm.subject) for one in changes])
    return found


def test_what_one_look_sees_raises_nothing_and_two_in_a_row_do() -> None:
    assert looks([DOWN], [], [DOWN], [DOWN]) == [[], [], [], [(True, "node1")]]


def test_an_alarm_is_cleared_by_three_looks_in_a_row_that_do_not_see_it() -> None:
    changes = looks([DOWN], [DOWN], [], [], [DOWN], [], [], [])

    assert changes == [[], [(True, "node1")], [], [], [], [], [], [(False, "node1")]]


def test_a_next_hop_that_is_down_needs_one_look() -> None:
    assert looks([Condition("next-hop-down", "a", "")]) == [[(True, "a")]]


def test_subjects_of_one_kind_are_alarms_of_their_own() -> None:
    other = DOWN._replace(subject="node2")

    assert looks([DOWN, other], [DOWN], [DOWN, other], [DOWN, other]) == [
        [],
        [(True, "node1")],
        [],
        [(True, "node2")],
    ]


def test_what_stands_when_another_process_takes_over_is_not_raised_again_and_can_be_cleared() -> None:
    stands = Alarm(1, "sip-down", "node1", "critical", "", NOW, NOW)

    assert looks([DOWN], [], [], [], before=alarms.begin([stands])) == [[], [], [], [(False, "node1")]]


def test_an_alarm_of_a_release_that_is_not_ours_is_cleared() -> None:
    stands = Alarm(1, "no-such-alarm", "", "minor", "", NOW, NOW)

    assert looks([], before=alarms.begin([stands])) == [[(False, "")]]


def test_a_standing_alarm_says_what_was_found_last_and_since_when_it_stands() -> None:
    watched = alarms.begin(())
    for number, text in enumerate(("first", "second", "third")):
        watched, _ = alarms.look(watched, [DOWN._replace(text=text)], NOW + number)

    (alarm,) = watched.standing.values()
    assert (alarm.text, alarm.raised_ms, alarm.seen_ms) == ("third", NOW + 1, NOW + 2)


def test_what_cannot_be_looked_for_stays_as_it_is() -> None:
    watched = alarms.begin([Alarm(1, "sip-down", "node1", "critical", "", NOW, NOW)])
    for _ in range(10):
        watched, changes = alarms.look(watched, [], NOW, unknown=["sip-down"])
        assert changes == []

    assert list(watched.standing) == [("sip-down", "node1")]


def test_the_number_of_alarms_is_bounded() -> None:
    many = [Condition("next-hop-down", f"hop{number}", "") for number in range(MOST_STANDING + 50)]

    watched, changes = alarms.look(alarms.begin(()), many, NOW)

    assert len(watched.standing) == len(changes) == MOST_STANDING


CONDITIONS = st.lists(
    st.builds(Condition, st.sampled_from(sorted(CATALOGUE)), st.sampled_from(["a", "b"]), st.just("")),
    max_size=6,
    unique_by=lambda one: one[:2],
)


@given(st.lists(CONDITIONS, max_size=12))
def test_each_alarm_is_raised_and_cleared_in_turn_and_what_stands_is_what_was_raised_last(
    seen: list[list[Condition]],
) -> None:
    watched = alarms.begin(())
    stands: set[tuple[str, str]] = set()
    for number, conditions in enumerate(seen):
        watched, changes = alarms.look(watched, conditions, NOW + number)
        for one in changes:
            assert (one.alarm.key in stands) is not one.is_raised
            stands ^= {one.alarm.key}
        assert set(watched.standing) == stands


def test_the_worst_comes_first_and_of_these_the_newest() -> None:
    stands = [
        Alarm(1, name, "", CATALOGUE[name].severity, "", NOW + number, NOW)
        for number, name in enumerate(("oldest-waiting", "next-hop-paused", "sip-down", "outbox-nearly-full"))
    ]

    assert [one.name for one in alarms.by_severity(stands)] == [
        "sip-down",
        "outbox-nearly-full",
        "oldest-waiting",
        "next-hop-paused",
    ]


def test_the_catalogue_is_on_its_page_word_for_word() -> None:
    page = (ROOT / "docs" / "alarms.md").read_text()
    rows = list(markdown.rows(markdown.section(page, "Catalogue")))

    assert [row[0].strip("`") for row in rows] == list(CATALOGUE)
    assert {row[1] for row in rows} == set(SEVERITIES)
    for row in rows:
        kind = CATALOGUE[row[0].strip("`")]
        assert row[1:] == [kind.severity, kind.about, kind.cause, kind.effect, kind.action]
