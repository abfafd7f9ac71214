"""What is stored of users, read together."""

from __future__ import annotations

from omapush.push.capabilities import Capabilities
from omapush.push.registration import Registration
from omapush.push.values import target
from omapush.store import codec, keys, users
from omapush.store.client import Store
from omapush.store.users import User

ALICE, BOB, CAROL = (f"sip:{name}@home1.example" for name in ("alice", "bob", "carol"))


def registered(store: Store, aor: str) -> Registration:
    record = Registration(1, aor, "sip:scscf", "", 60_000, (), (), "", "", 0, 1)
    store.db.set(keys.registration(store.layout.user_shard(aor), aor), codec.encode(record))
    return record


def capable(store: Store, aor: str) -> Capabilities:
    record = Capabilities(1, aor, (), 1)
    store.db.set(keys.capabilities(store.layout.user_shard(aor), target(aor)), codec.encode(record))
    return record


def test_each_user_has_what_is_stored_of_it_in_the_order_that_was_asked_for(store: Store) -> None:
    everybody = [f"sip:user{number}@home1.example" for number in range(20)]
    wanted = {
        aor: User(
            registered(store, aor) if number % 2 else None,
            capable(store, aor) if number % 3 else None,
        )
        for number, aor in enumerate(everybody)
    }

    asked = [*reversed(everybody), everybody[3], everybody[3]]
    assert users.read_all(store, [(aor, "mms.ua") for aor in asked]) == [wanted[aor] for aor in asked]
    assert users.read_all(store, []) == []


def test_a_broken_record_is_told_and_holds_up_nobody_else(store: Store) -> None:
    for aor in (ALICE, CAROL):
        number = store.layout.user_shard(aor)
        store.db.set(keys.registration(number, aor), b"\xc1")
        store.db.set(keys.capabilities(number, target(aor)), b"\xc1")
    known = registered(store, BOB)

    alice, bob, carol = users.read_all(store, [(aor, "mms.ua") for aor in (ALICE, BOB, CAROL)])

    assert alice.problem
    assert carol.problem
    assert (alice.registration, alice.capabilities) == (None, None)
    assert bob == User(known, None)
