"""
Who may push what to whom: the operator's, the applications' and the recipients' rules (draft 7.4).

Three layers, each asked by itself: its first rule that fits decides, and one without such a rule lets pass. A
push has to pass all of them, so no layer can allow what another one denies.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import time
from typing import Final, Literal, NamedTuple, Protocol
from zoneinfo import ZoneInfo

from omapush.push.acceptance import Accepted, NotAllowed
from omapush.push.values import PENDING, Delivery
from omapush.push.windows import DAYS, window_end

Layer = Literal["operator", "application", "recipient"]
LAYERS: Final[tuple[Layer, ...]] = ("operator", "application", "recipient")
CODE: Final = "2001"
"PAP status code of what a rule denies."


class Hours(NamedTuple):
    """When a rule holds."""

    zone: ZoneInfo
    start: time
    end: time
    days: frozenset[int]


class Rule(NamedTuple):
    """One rule; patterns are those of a shell."""

    name: str
    layer: Layer
    allows: bool
    initiators: tuple[str, ...]
    applications: tuple[str, ...]
    recipients: tuple[str, ...]
    content_types: tuple[str, ...]
    hours: Hours | None = None


class Case(NamedTuple):
    """A push to one recipient, as rules see it."""

    initiator: str
    application: str
    recipient: str
    "Address of record; empty: a push to all subscribers, which only rules about everybody fit."
    content_type: str
    at_ms: int
    "When it was submitted."


class Verdict(NamedTuple):
    """What the rules say."""

    allowed: bool
    decided: tuple[tuple[Layer, str], ...]
    "Of each layer that was asked, the rule that decided; empty: none fitted. Only the last one may deny."

    @property
    def why(self) -> str:
        """In words, for the initiator and the event log."""
        layer, name = self.decided[-1]
        return "allowed" if self.allowed else f"denied by rule {name} of the {layer} layer"


class _HoursTable(Protocol):
    @property
    def zone(self) -> str: ...
    @property
    def start(self) -> str: ...
    @property
    def end(self) -> str: ...
    @property
    def days(self) -> Sequence[str]: ...


class _RuleTable(Protocol):
    """A rule as the configuration has it."""

    @property
    def layer(self) -> Layer: ...
    @property
    def effect(self) -> str: ...
    @property
    def initiators(self) -> tuple[str, ...]: ...
    @property
    def applications(self) -> tuple[str, ...]: ...
    @property
    def recipients(self) -> tuple[str, ...]: ...
    @property
    def content_types(self) -> tuple[str, ...]: ...
    @property
    def hours(self) -> _HoursTable | None: ...


def rules_of(tables: Mapping[str, _RuleTable]) -> tuple[Rule, ...]:
    """Return the rules that the configuration has, in its order."""
    return tuple(_rule(name, table) for name, table in tables.items())


def _rule(name: str, table: _RuleTable) -> Rule:
    return Rule(
        name=name,
        layer=table.layer,
        allows=table.effect == "allow",
        initiators=table.initiators,
        applications=table.applications,
        recipients=table.recipients,
        content_types=table.content_types,
        hours=_hours(table.hours) if table.hours is not None else None,
    )


def _hours(table: _HoursTable) -> Hours:
    days = frozenset(DAYS.index(day) for day in table.days)
    return Hours(ZoneInfo(table.zone), time.fromisoformat(table.start), time.fromisoformat(table.end), days)


def judge(rules: Iterable[Rule], case: Case) -> Verdict:
    """Return what the rules say of a push to one recipient."""
    fitting = [rule for rule in rules if _fits(rule, case)]
    decided: list[tuple[Layer, str]] = []
    for layer in LAYERS:
        first = next((rule for rule in fitting if rule.layer == layer), None)
        decided.append((layer, first.name if first else ""))
        if first is not None and not first.allows:
            return Verdict(False, tuple(decided))
    return Verdict(True, tuple(decided))


def applied(rules: Sequence[Rule], accepted: Accepted) -> Accepted:
    """
    Return the submission with the result of each recipient to whom it is denied: undeliverable, 2001.

    A push to all subscribers is asked about as such here, and for each of them when it leaves.

    Raises:
        NotAllowed: nobody is left to whom it may go.
    """
    push = accepted.push
    case = Case(push.initiator, push.application, "", push.content_type, push.accepted_ms)
    if push.subscribers:
        verdict = judge(rules, case)
        if not verdict.allowed:
            raise NotAllowed("subscribers", verdict.why)
        return accepted
    results = list(accepted.results)
    refusal = ""
    for index, recipient in enumerate(accepted.recipients):
        if results[index].state != PENDING:
            continue
        verdict = judge(rules, case._replace(recipient=recipient.aor))
        if not verdict.allowed:
            refusal = verdict.why
            results[index] = results[index]._replace(state="undeliverable", code=CODE, desc=refusal)
    if refusal and all(result.state != PENDING for result in results):
        raise NotAllowed("to", refusal)
    return replace(accepted, results=tuple(results))


def of_delivery(rules: Sequence[Rule], delivery: Delivery) -> Verdict:
    """Return what the rules say of a delivery to one of all subscribers."""
    facts = (delivery.initiator, delivery.application, delivery.aor, delivery.content_type)
    return judge(rules, Case(*facts, delivery.accepted_ms))


def _fits(rule: Rule, case: Case) -> bool:
    media_type = case.content_type.partition(";")[0].strip().lower()
    pairs = (
        (rule.initiators, case.initiator),
        (rule.applications, case.application),
        (rule.recipients, case.recipient),
        (rule.content_types, media_type),
    )
    if not all(_matches(patterns, text) for patterns, text in pairs):
        return False
    return rule.hours is None or window_end(rule.hours, case.at_ms) is not None


def _matches(patterns: tuple[str, ...], text: str) -> bool:
    return any(pattern == "*" or fnmatch.fnmatchcase(text, pattern) for pattern in patterns)
