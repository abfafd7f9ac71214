"""Which requests of a sender are marked for the tracer, and when it looks."""

import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from unittest.mock import MagicMock

import pytest

from omapush.push.tracing import Switches
from omapush.push.values import push_ref

ANN = "sip:ann@home1.example"
REFS = [push_ref("pi", str(number)) for number in range(20)]


class Tables:
    """Kamailio's shared tables."""

    def __init__(self) -> None:
        self.values: dict[tuple[str, str], int | str] = {}

    def set(self, table: str, name: str, value: int | str, _lifetime_s: int = 0) -> None:
        self.values[table, name] = value

    def get(self, table: str, name: str) -> int | str | None:
        return self.values.get((table, name))

    @property
    def marked(self) -> dict[str, int | str]:
        return {name: value for (table, name), value in self.values.items() if table == "traced"}


@pytest.fixture
def tables() -> Tables:
    return Tables()


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch, tables: Tables) -> ModuleType:
    ksr = MagicMock(name="KSR")
    ksr.htable.sht_get.side_effect = tables.get
    for name in ("sht_sets", "sht_seti", "sht_setxs"):
        getattr(ksr.htable, name).side_effect = tables.set
    monkeypatch.setitem(sys.modules, "KSR", ksr)
    monkeypatch.delitem(sys.modules, "traced", raising=False)
    module = importlib.import_module("traced")
    sys.modules.pop("traced")
    return module


@pytest.fixture
def mark(traced: ModuleType) -> Callable[..., None]:
    """What a sender does about each request, once for each batch and once for each delivery."""

    def marking(ref: str, aor: str = "sip:x@home1.example") -> None:
        traced.marks.look()
        traced.marks.mark(f"call-{ref}", ref, 0, aor, 50)

    return marking


def test_only_what_was_named_is_marked(traced: ModuleType, tables: Tables, mark: Callable[..., None]) -> None:
    traced.publish(Switches(pushes=frozenset({REFS[0]}), users=frozenset({ANN})), 50)
    mark(REFS[0])
    mark(REFS[1])
    mark(REFS[2], ANN)

    assert tables.marked == {f"call-{REFS[0]}": f"{REFS[0]}.0", f"call-{REFS[2]}": f"{REFS[2]}.0"}


def test_without_any_wish_nothing_is_marked(
    traced: ModuleType, tables: Tables, mark: Callable[..., None]
) -> None:
    mark(REFS[0], ANN)
    traced.publish(Switches(100), 50)
    mark(REFS[1])
    traced.publish(Switches(), 50)
    mark(REFS[2], ANN)

    assert tables.marked == {f"call-{REFS[1]}": f"{REFS[1]}.0"}


def test_of_a_share_no_more_begin_in_a_second_than_the_operator_allows(
    traced: ModuleType, tables: Tables, mark: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [10.5]
    monkeypatch.setattr("omapush.clock.monotonic", lambda: now[0])
    traced.publish(Switches(100, users=frozenset({ANN})), 3)
    for ref in REFS[:6]:
        mark(ref)
    assert len(tables.marked) == 3

    mark(REFS[6], ANN)  # who was named is traced all the same
    assert len(tables.marked) == 4
    now[0] = 11.0
    mark(REFS[7])
    assert len(tables.marked) == 5
