"""The turns of a process that works again and again: what it sees between them, and when they end."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

import pytest

from omapush import clock, log
from omapush.config import parse

KEMI = [file.stem for file in (Path(__file__).resolve().parents[2] / "kemi").glob("*.py")]


@pytest.fixture
def push_as(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.setitem(sys.modules, "KSR", MagicMock(name="KSR"))
    for name in KEMI:
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(log, "setup", lambda *_, **__: None)
    monkeypatch.setattr("omapush.config.load", lambda: parse({}, "test.toml"))
    module = importlib.import_module("push_as")
    monkeypatch.setattr(module.ksr_reader, "number", lambda _: 0)
    yield module
    for name in KEMI:
        sys.modules.pop(name, None)


class Worker:
    """Something to do for a process, by a clock that only it moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, lasts_s: float) -> None:
        self.now = 1_000.0
        self.taken: list[object] = []
        self.runs = 0
        self.then: Callable[[], None] = lambda: None
        self._lasts_s = lasts_s
        monkeypatch.setattr(clock, "monotonic", lambda: self.now)

    def run_once(self) -> None:
        self.runs += 1
        self.now += self._lasts_s
        self.then()

    def take(self, settings: object) -> None:
        self.taken.append(settings)


def made(agent: Any, worker: Worker) -> None:
    agent._workers["results"] = worker


@pytest.mark.parametrize(("lasts_s", "runs"), [(0.010, 10), (0.003, 34), (0.25, 1)])
def test_a_process_looks_again_and_again_and_comes_round_after_a_tenth_of_a_second(
    push_as: ModuleType, monkeypatch: pytest.MonkeyPatch, lasts_s: float, runs: int
) -> None:
    agent, worker = push_as.mod_init(), Worker(monkeypatch, lasts_s)
    made(agent, worker)

    assert agent.ksr_completer_results() == 1
    assert worker.runs == pytest.approx(runs, abs=1)


def test_the_tracer_which_does_not_rest_leaves_that_to_its_timer(
    push_as: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent, worker = push_as.mod_init(), Worker(monkeypatch, 0.001)
    agent._workers["traces"] = worker

    assert agent.ksr_tracer() == 1
    assert worker.runs == 1


def test_what_an_operator_has_changed_is_taken_within_a_turn(
    push_as: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent, worker = push_as.mod_init(), Worker(monkeypatch, 0.010)
    made(agent, worker)
    other = parse({"delivery": {"retention_s": 77}}, "test.toml")
    seen = iter([None, None, other])
    monkeypatch.setattr(push_as.steering, "look", lambda: next(seen, None))
    told = MagicMock()
    monkeypatch.setattr(push_as.steering, "told", told)

    agent.ksr_completer_results()

    assert [settings.config for settings in worker.taken] == [other]  # type: ignore[attr-defined]
    assert told.call_count == 2


def test_a_defect_ends_the_turn_and_no_process(push_as: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    agent, worker = push_as.mod_init(), Worker(monkeypatch, 0.010)
    made(agent, worker)

    def stumble() -> None:
        raise RuntimeError("a defect")

    worker.then = stumble
    assert [agent.ksr_completer_results() for _ in range(2)] == [1, 1]
    assert worker.runs == 2
