"""Each promise that is broken is named, and kept ones are not."""

from __future__ import annotations

from soak.ledger import Kept, Ledger
from soak.mix import KINDS, LATE_S, Mix


def told(ledger: Ledger, number: int, state: str = "delivered") -> None:
    ledger.tell(number, state, "message", wanted="delivered")


def accepted(ledger: Ledger, many: int) -> None:
    for number in range(many):
        assert ledger.begin() == number
        ledger.accept(number)


def test_pushes_that_are_told_once_are_kept_promises() -> None:
    ledger = Ledger()
    ledger.begin()
    told(ledger, 0)
    ledger.accept(0)  # the answer may come after the result
    kept = ledger.close()

    assert kept.faultless
    assert (kept.accepted, kept.told, dict(kept.states)) == (1, 1, {"message delivered": 1})


def test_each_broken_promise_is_named() -> None:
    ledger = Ledger()
    accepted(ledger, 4)
    told(ledger, 0)
    told(ledger, 1)
    told(ledger, 1)
    told(ledger, 2, "expired")
    told(ledger, 99)
    ledger.begin()
    told(ledger, 4)  # never accepted

    kept = ledger.close()

    assert not kept.faultless
    assert kept.untold == ["push 3"]
    assert kept.told_again == ["push 1, message: delivered"]
    assert kept.otherwise == ["push 2, message: expired, not delivered"]
    assert kept.unknown == ["push 99: delivered", "push 4 has a result and was never said to be taken"]


def test_of_many_broken_promises_the_first_are_named_and_all_are_counted() -> None:
    ledger = Ledger()
    accepted(ledger, 1_500)

    untold = ledger.close().untold

    assert (untold[0], untold[19], untold[20:]) == ("push 0", "push 19", ["and 1,480 more"])


def test_a_push_is_late_when_its_time_is_over_and_not_before() -> None:
    ledger = Ledger()
    accepted(ledger, 3)
    assert ledger.look(0.0, LATE_S) == 0
    told(ledger, 0)
    told(ledger, 2)
    assert ledger.look(LATE_S, LATE_S) == 0
    assert ledger.look(LATE_S + 1, LATE_S) == 1
    told(ledger, 1)
    assert ledger.look(LATE_S + 2, LATE_S) == 0

    kept = ledger.close()
    assert len(kept.late) == 1
    assert not kept.faultless


def test_each_kind_of_broken_promise_counts() -> None:
    assert Kept(1, 1).faultless
    for name in ("untold", "told_again", "unknown", "otherwise", "late"):
        kept = Kept(1, 1)
        getattr(kept, name).append("one")
        assert not kept.faultless, name


def test_the_mix_is_a_hundred_and_all_users_get_each_kind() -> None:
    assert sum(kind.share for kind in KINDS) == 100
    mix = Mix(receivers=20)
    seen = {(mix.kind(number).name, mix.user(number)) for number in range(100 * 20)}

    assert len(seen) == len(KINDS) * 20
