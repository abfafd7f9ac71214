"""What Kamailio counts without Python shows in the counters, each of it once."""

import importlib
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from unittest.mock import MagicMock

import pytest

CONFIGURATION = (Path(__file__).resolve().parents[2] / "kamailio.cfg").read_text()


@pytest.fixture
def statistics() -> dict[str, int]:
    """Kamailio's own."""
    return {}


@pytest.fixture
def shown() -> Counter[tuple[str, str]]:
    """Name and label of the counters, and what they say."""
    return Counter()


@pytest.fixture
def metrics(
    monkeypatch: pytest.MonkeyPatch, statistics: dict[str, int], shown: Counter[tuple[str, str]]
) -> Iterator[ModuleType]:
    def read(name: str) -> int | None:
        return statistics.get(name.removeprefix("$stat(").removesuffix(")"))

    def add(name: str, number: int, label: str) -> None:
        shown[name, label] += number

    fake = MagicMock(name="KSR")
    fake.pv.get.side_effect = read
    fake.xhttp_prom.counter_inc_l1.side_effect = add
    monkeypatch.setitem(sys.modules, "KSR", fake)
    monkeypatch.delitem(sys.modules, "metrics", raising=False)
    yield importlib.import_module("metrics")
    sys.modules.pop("metrics", None)


def test_what_is_counted_natively_is_carried_over_once(
    metrics: ModuleType, statistics: dict[str, int], shown: Counter[tuple[str, str]]
) -> None:
    counts = metrics.NativeCounts()
    statistics |= {"registers_received": 3, "registers_shed": 2}
    for _ in range(3):
        counts.carry_over()
    statistics |= {"registers_received": 4, "subscribes_shed": 7}
    counts.carry_over()

    assert shown == {
        ("sip_requests_received_total", "REGISTER"): 4,
        ("sip_requests_shed_total", "registers"): 2,
        ("sip_requests_shed_total", "subscribes"): 7,
    }


def test_a_statistic_that_has_run_over_goes_on(
    metrics: ModuleType, statistics: dict[str, int], shown: Counter[tuple[str, str]]
) -> None:
    """Kamailio shows it as a C int."""
    counts = metrics.NativeCounts()
    for value in (2**31 - 5, -(2**31) + 5, -1, 4):
        statistics["registers_shed"] = value
        counts.carry_over()

    assert shown["sip_requests_shed_total", "registers"] == 2**32 + 4


def test_each_statistic_of_the_configuration_is_carried_over(metrics: ModuleType) -> None:
    declared = re.findall(r'"statistics", "variable", "([a-z_]+)"', CONFIGURATION)
    counted = re.findall(r'update_stat\("([a-z_]+)"', CONFIGURATION)

    assert set(declared) == set(counted) == {one for one, _, _ in metrics._NATIVE}
