"""The processes of all nodes, as they show themselves, and what operators have told their node."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

RECORD_VERSION: Final = 1
SERVING: Final = "serving"
DRAINING: Final = "draining"
DRAINED: Final = "drained"
CHECK: Final = "check"
TAKE: Final = "take"
"What a process is to do about a reload."
CHECKED: Final = "checked"
TAKING: Final = "taking"
TAKEN: Final = "taken"
REFUSED: Final = "refused"
"What it has done."
LEVELS: Final = ("debug", "info", "warning", "error")
"Levels of the log, the one that writes most first."


class Change(NamedTuple):
    """One key that is another now than when the process read its configuration."""

    key: str
    "As in the file: `delivery.lifetime_s`, `initiator.mmsc.rate`."
    old: str
    "As TOML; empty: there was none. Secrets are stars."
    new: str
    restart: str = ""
    "What has to be started again before it counts; empty: nothing."


class Sign(NamedTuple):
    """One live process, as of its last sign of life."""

    version: int
    name: str
    "Another after each start."
    node: str
    kind: str
    "`sip`, `api`, `notifier` or `msrp`."
    pid: int
    started_ms: int
    at_ms: int
    "Of this sign, by the clock of its machine."
    state: str
    "`serving`, `draining` or `drained`."
    busy: str
    "What it still has to end before it is drained; empty: nothing."
    log_level: str
    clock_ms: int
    "By how much its clock is before that of Redis, as far as the way there lets it tell."
    tables: Mapping[str, str]
    "Table of its configuration to a digest of it, without secrets."
    reload: str = ""
    "The reload that it answered last; empty: none since its start."
    phase: str = ""
    "What of that it has done: `checked`, `taking`, `taken` or `refused`."
    problem: str = ""
    "Why it refused."
    changes: tuple[Change, ...] = ()
    release: str = ""


class Orders(NamedTuple):
    """What an operator has told the processes of a node."""

    drain_ms: int = 0
    "Since when it is to be drained; 0: it is to serve."
    log_level: str = ""
    "Empty: as the configuration says."
    log_until_ms: int = 0
    "From then on as the configuration says again."
    reload: str = ""
    "Name of a reload; empty: none yet."
    phase: str = ""
    "`check` or `take`."

    def level(self, configured: str, now_ms: int) -> str:
        """Return the level of the log now."""
        return self.log_level if self.log_level and now_ms < self.log_until_ms else configured


def orders_of(fields: Mapping[str, str]) -> Orders:
    """Return what the fields of a node's orders say; what cannot be read says nothing."""
    level = fields.get("log_level", "")
    return Orders(
        _number(fields.get("drain_ms", "")),
        level if level in LEVELS else "",
        _number(fields.get("log_until_ms", "")),
        fields.get("reload", ""),
        fields.get("phase", ""),
    )


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0


def state_of(orders: Orders, busy: str) -> str:
    """Return what a process is in: `busy` says what it still has to end."""
    if not orders.drain_ms:
        return SERVING
    return DRAINING if busy else DRAINED


def node_state(signs: Iterable[Sign]) -> str:
    """Return what a node is in: it is drained when all of its processes are."""
    states = {sign.state for sign in signs}
    if states <= {DRAINED}:
        return DRAINED
    return SERVING if states == {SERVING} else DRAINING


def by_node(signs: Iterable[Sign]) -> dict[str, list[Sign]]:
    """Return the processes of each node, nodes and processes in order of their names."""
    found: dict[str, list[Sign]] = {}
    for sign in sorted(signs, key=lambda one: (one.node, one.kind, one.pid)):
        found.setdefault(sign.node, []).append(sign)
    return found


def named(nodes: Iterable[str], wanted: str) -> list[str]:
    """Return the node of that name, else all whose name has `wanted` in it."""
    known = list(nodes)
    return [wanted] if wanted in known else [node for node in known if wanted in node]


def differing(signs: Iterable[Sign]) -> dict[str, list[str]]:
    """Return the tables that are not the same in all processes, each with the nodes that have another."""
    values: dict[str, dict[str, set[str]]] = {}
    for sign in signs:
        for table, digest in sign.tables.items():
            values.setdefault(table, {}).setdefault(digest, set()).add(sign.node)
    return {table: sorted(set().union(*found.values())) for table, found in values.items() if len(found) > 1}
