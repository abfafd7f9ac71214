"""What the watcher has to know of an event package; the subscription itself is the same for all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from types import MappingProxyType
from typing import NamedTuple, Protocol, TypeVar

from omapush.push.watch import Core, Watch
from omapush.push.watch_rules import FinalAnswer, Notified
from omapush.store import capabilities, registrations

_Record = TypeVar("_Record")
_Rule = Callable[[_Record | None], _Record | None]
_NOTHING: Mapping[str, registrations.Rule] = MappingProxyType({})
_NO_FACTS: Mapping[str, capabilities.Rule] = MappingProxyType({})


class Effects(NamedTuple):
    """What a NOTIFY, or the answer to a SUBSCRIBE, changes besides the watch."""

    registrations: Mapping[str, registrations.Rule] = _NOTHING
    capabilities: Mapping[str, capabilities.Rule] = _NO_FACTS
    learnt: Core = Core()
    "Of the S-CSCF of the watch."

    def and_then(self, later: Effects) -> Effects:
        """Return both; where they change one record, `later` has the last word alone."""
        return Effects(
            {**self.registrations, **later.registrations},
            {**self.capabilities, **later.capabilities},
            Core(
                later.learnt.identity or self.learnt.identity, later.learnt.push_tags or self.learnt.push_tags
            ),
        )


class Document(Protocol):
    """The body of a NOTIFY, read."""

    @property
    def version(self) -> int:
        """Return its number within the dialog; NO_VERSION when the package has none."""

    @property
    def full(self) -> bool:
        """Tell whether it is all that there is to know, and not only what is new."""

    @property
    def gone(self) -> bool:
        """Tell whether it says that the watched user is not registered."""

    def effects(self, after: Watch) -> Effects:
        """Return what it changes; `after`: the watch after its NOTIFY."""


class Package(Protocol):
    """One event package."""

    notifies: str
    "Counter of its NOTIFYs, by our answer."

    def read(self, notified: Notified, watch: Watch, core: Core) -> Document:
        """
        Return what the body says.

        Raises:
            MalformedXml: it cannot be read.
        """

    def on_unread(self, watch: Watch, problem: str, at_ms: int) -> Effects:
        """Return what a body that cannot be read changes; logged here."""

    def on_notify(self, after: Watch, core: Core) -> Effects:
        """Return what a NOTIFY of whatever body changes; `after`: the watch after it."""

    def on_answer(self, after: Watch, answer: FinalAnswer) -> Effects:
        """Return what the answer to a SUBSCRIBE changes; `after`: the watch after it."""


def joined(told: Iterable[Mapping[str, _Rule[_Record]]]) -> dict[str, _Rule[_Record]]:
    """Return the rules of several for each record as one: they apply in turn."""
    by_user: dict[str, list[_Rule[_Record]]] = {}
    for rules in told:
        for aor, rule in rules.items():
            by_user.setdefault(aor, []).append(rule)
    return {aor: partial(_in_turn, rules) for aor, rules in by_user.items()}


def _in_turn(rules: list[_Rule[_Record]], record: _Record | None) -> _Record | None:
    for rule in rules:
        record = rule(record) or record
    return record
