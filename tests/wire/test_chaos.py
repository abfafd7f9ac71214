"""A short run of `make chaos`, and that its verdict finds what is missing."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest

from chaos import faults, report, verdict
from chaos.core import Core
from chaos.faults import Kind
from chaos.run import run
from omapush.push.values import push_ref
from tests.conftest import MakeStack
from tests.fakes.initiator import Notification
from tests.harness.sip_peer import SipPeer
from tests.harness.stack import PARTS


@pytest.mark.long
@pytest.mark.timeout(240)
def test_nothing_is_missing_after_faults_under_load(tmp_path: Path) -> None:
    kinds = (faults.KILLED, faults.FROZEN, faults.MOOD, faults.FULL, faults.STEPPED)
    done = run(tmp_path, seed=13_710, seconds=60, providers=2, rate=20, most=len(kinds), only=kinds)

    told = report.written(done)
    assert done.verdict.faultless, told
    assert done.verdict.accepted > 0
    assert done.verdict.states.total() == done.verdict.accepted
    assert {one.fault.kind for one in done.struck} == set(kinds)
    assert "Nothing is missing" in told
    assert all(str(one.fault) in told for one in done.struck)


def test_the_verdict_names_each_thing_that_is_not_as_promised(make_stack: MakeStack) -> None:
    stack = make_stack(parts=("redis", "sip"))
    with SipPeer(stack.core_port):
        for name in ("told", "untold", "otherwise"):
            stack.result(stack.submit("sip:alice@home1.example", push_id=name))
    heard = [
        Notification("told", "", "delivered", "1000", b"", 202),
        Notification("told", "", "delivered", "1000", b"", 202),
        Notification("otherwise", "", "expired", "3005", b"", 202),
        Notification("untold", "", "delivered", "1000", b"", 500),
    ]

    found = verdict.judge(stack, Core(1), ["told", "untold", "otherwise", "lost"], heard)

    assert not found.faultless
    assert (found.missing, found.untold, found.told_again) == (["lost"], ["untold"], 1)
    assert [one.partition(":")[0] for one in found.told_otherwise] == ["otherwise"]
    assert found.unbalanced == []
    stack.db.delete(*stack.db.keys(f"push:*:{push_ref('trusted', 'told')}"))
    assert verdict.judge(stack, Core(1), ["told"], heard).missing == ["told"]


def test_each_round_has_every_fault_and_the_same_seed_the_same() -> None:
    kinds = [Kind(faults.KILLED, part) for part in PARTS] + [Kind(faults.STEPPED, part) for part in PARTS]

    first, again, other = (list(islice(faults.plan(seed, kinds), len(kinds))) for seed in (5, 5, 6))

    assert first == again != other
    assert {(one.kind, one.what) for one in first} == set(kinds)
    assert all((one.by_s != 0) == (one.kind == faults.STEPPED) for one in first)
