"""Distribution lists in Redis: changed as a whole, paged through, each initiator's own."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from omapush.store import keys, lists
from omapush.store.client import Store
from omapush.store.lists import Change, ListInfo, TooMany

MOST = 6


def in_list(store: Store, name: str = "one") -> list[str]:
    return [member for page in lists.all_members(store, "pi", name) for member in page]


def test_a_list_is_created_once_and_up_to_a_limit(store: Store) -> None:
    assert lists.create(store, "pi", "one", most=2)
    assert not lists.create(store, "pi", "one", most=2)
    assert lists.create(store, "pi", "two", most=2)
    with pytest.raises(TooMany):
        lists.create(store, "pi", "three", most=2)
    assert lists.create(store, "other", "three", most=2)

    assert lists.page(store, "pi", after="", most=10) == [ListInfo("one", 0), ListInfo("two", 0)]
    assert lists.page(store, "pi", after="one", most=10) == [ListInfo("two", 0)]
    assert lists.owners(store) == ["other", "pi"]


def test_members_of_a_list_that_is_not_there_are_not_stored(store: Store) -> None:
    assert lists.change(store, "pi", "one", remove=[], add=["sip:a@x"], most=MOST) is None
    assert store.db.exists(keys.list_members("pi", "one")) == 0
    assert lists.show(store, "pi", "one") is None


def test_a_deleted_list_leaves_nothing(store: Store) -> None:
    lists.create(store, "pi", "one", most=1)
    lists.change(store, "pi", "one", remove=[], add=["sip:a@x"], most=MOST)

    assert lists.delete(store, "pi", "one")
    assert not lists.delete(store, "pi", "one")
    assert lists.create(store, "pi", "one", most=1)
    assert in_list(store) == []


_members = st.lists(st.sampled_from([f"sip:{letter}@x" for letter in "abcdefgh"]), max_size=6)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(_members, _members), max_size=6))
def test_changes_are_those_of_a_set_with_a_limit(
    store: Store, steps: list[tuple[list[str], list[str]]]
) -> None:
    store.db.flushall()
    lists.create(store, "pi", "one", most=1)
    model: set[str] = set()
    for remove, add in steps:
        after = (model - set(remove)) | set(add)
        came = after - model
        if came and len(after) > MOST:
            with pytest.raises(TooMany):
                lists.change(store, "pi", "one", remove=remove, add=add, most=MOST)
            after = model
        else:
            changed = lists.change(store, "pi", "one", remove=remove, add=add, most=MOST)
            assert changed == Change(len(model - after), len(came), len(after))
        model = after
        assert in_list(store) == sorted(model)


def test_long_lists_come_in_pages_and_show_who_has_a_member(store: Store) -> None:
    many = [f"sip:{number:05}@x" for number in range(2 * lists.AT_ONCE)]
    for name in ("one", "two"):
        lists.create(store, "pi", name, most=9)
        for first in range(0, len(many), lists.AT_ONCE):
            lists.change(store, "pi", name, remove=[], add=many[first : first + lists.AT_ONCE], most=10_000)
    lists.change(store, "pi", "two", remove=[many[7]], add=[], most=10_000)

    assert in_list(store) == many
    assert [len(page) for page in lists.all_members(store, "pi", "two")] == [1_000, 999]
    assert list(lists.containing(store, many[7])) == [("pi", "one")]
    assert list(lists.containing(store, many[8])) == [("pi", "one"), ("pi", "two")]
