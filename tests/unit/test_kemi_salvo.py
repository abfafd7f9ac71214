"""Pushes of a batch leave together: how many at once, in which order, and those that cannot."""

import importlib
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest

from omapush.push.request import Request

_NAMES = ("salvo", "outgoing", "batch", "ksr_writer", "ksr_reader", "window", "hops", "hop_state", "metrics")


class Sending:
    """A batch, what of it was sent, and what was noted."""

    def __init__(self, salvo: Any, leaving: Any) -> None:
        self.log: list[str] = []
        self.no_way: set[str] = set()
        self.outgoing, self.batch = MagicMock(), MagicMock()
        self.outgoing.sent.side_effect = lambda taken, *_: taken
        self.outgoing.not_left.side_effect = lambda one: self.log.append(f"place of {one.reference} is free")
        self.outgoing.not_sent.side_effect = lambda taken, _: taken
        self.batch.end.side_effect = lambda taken: self.log.append(f"ended {taken}")
        self.batch.note.side_effect = lambda taken, _: self.log.append(f"noted {taken}")
        self.salvo = salvo.Salvo(self.outgoing, self.batch)
        self._leaving = leaving

    def send(self, _: Request, reference: str) -> bool:
        self.log.append(f"sent {reference}")
        return reference not in self.no_way

    def one(self, name: str) -> Any:
        request = Request("MESSAGE", "sip:a@x", "sip:psa@x", "sip:a@x", "sip:s@x", name, "", b"", 0)
        return self._leaving(name, request, name, "aaaa", "why", None)


@pytest.fixture
def sending(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sending]:
    monkeypatch.setitem(sys.modules, "KSR", MagicMock(name="KSR"))
    for name in _NAMES:
        monkeypatch.delitem(sys.modules, name, raising=False)
    salvo = importlib.import_module("salvo")
    made = Sending(salvo, importlib.import_module("outgoing").Leaving)
    monkeypatch.setattr(salvo, "ksr_writer", SimpleNamespace(send=made.send))
    yield made
    for name in _NAMES:
        sys.modules.pop(name, None)


def test_nothing_is_done_between_one_push_and_the_next(sending: Sending) -> None:
    with sending.salvo as salvo:
        for name in "abc":
            salvo.add(sending.one(name))
        assert sending.log == []

    assert sending.log == ["sent a", "sent b", "sent c", "noted a", "noted b", "noted c"]
    assert salvo.unsent == []


def test_no_more_leave_at_once_than_a_socket_takes(sending: Sending) -> None:
    names = [f"{number}" for number in range(150)]

    with sending.salvo as salvo:
        for name in names:
            salvo.add(sending.one(name))

    runs = " ".join(line.partition(" ")[0] for line in sending.log).split("noted")
    assert [run.count("sent") for run in runs if "sent" in run] == [64, 64, 22]
    assert [line for line in sending.log if line.startswith("sent")] == [f"sent {name}" for name in names]


def test_what_cannot_leave_gives_its_place_back_and_ends_without_being_noted(sending: Sending) -> None:
    sending.no_way = {"b"}

    with sending.salvo as salvo:
        for name in "abc":
            salvo.add(sending.one(name))

    assert sending.log == [
        "sent a",
        "sent b",
        "sent c",
        "noted a",
        "place of b is free",
        "ended b",
        "noted c",
    ]
    assert [one.reference for one in salvo.unsent] == ["b"]


def test_what_has_its_place_leaves_though_the_rest_of_the_batch_fails(sending: Sending) -> None:
    def one_and_no_more() -> None:
        with sending.salvo as salvo:
            salvo.add(sending.one("a"))
            raise ConnectionError("of the next one")

    with pytest.raises(ConnectionError):
        one_and_no_more()

    assert sending.log == ["sent a", "noted a"]
